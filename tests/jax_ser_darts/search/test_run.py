"""What a search is called, and what of it outlives the process."""

import dataclasses

from jax_ser_darts.search.run import Times


def test_times_are_read_from_what_a_checkpoint_has_beside_its_arrays():
    times = Times(seconds=7.5, outside=0.25, compiling=31.0)
    assert Times.of({**dataclasses.asdict(times), "epochs": 3, "decided": 2}) == times


def test_a_search_that_starts_has_taken_no_time():
    assert dataclasses.astuple(Times()) == (0.0, 0.0, 0.0)
