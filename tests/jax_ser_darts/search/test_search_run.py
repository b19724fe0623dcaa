"""What of a search outlives its process."""

import dataclasses

from jax_ser_darts.search.search_run import Times


def test_times_are_read_from_what_a_checkpoint_has_beside_its_arrays():
    times = Times(seconds=7.5, overhead_s=0.25, compiling=31.0)
    assert Times.of({**dataclasses.asdict(times), "epochs": 3, "decided": 2}) == times
