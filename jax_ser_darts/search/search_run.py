"""What one search is of: its folder, its batches; and the seconds that it takes."""

import dataclasses
import functools
import pathlib
from collections.abc import Generator, Mapping
from typing import Any

from jax_ser_darts.data.batches import train_batches
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.prefetch import prefetch
from jax_ser_darts.devices import hosts, parallel
from jax_ser_darts.search.searcher import Searcher

ALPHAS_STREAM = 1  # added to the seed of the alphas' batches


@dataclasses.dataclass(frozen=True)
class SearchRun:
    """One search.

    Attributes:
        searcher: the method's, with what is compiled.
        method: a name of config.search.variants.
        fold: its test part is not touched.
        seed: of the params, the alphas, the dropout and the order of the batches.
    """

    searcher: Searcher
    method: str
    fold: Fold
    seed: int

    @functools.cached_property
    def order(self) -> str:
        """One of `bilevel.HYPERGRADIENTS`."""
        return self.searcher.experiment.config.method(self.method)[0]

    @property
    def folder(self) -> pathlib.Path:
        """Where it writes."""
        return self.searcher.experiment.search_folder(self.method, self.fold, self.seed)

    @property
    def name(self) -> str:
        """For people."""
        return f"search, {self.method}, seed {self.seed}, fold {self.fold.index}"

    def batches(self, first_step: int) -> Generator[Any, None, None]:
        """Pairs of batches on the devices: (params' part, alphas' part), from a step on, without end."""
        searcher = self.searcher
        streams = [
            train_batches(
                part.data,
                normalisation=part.normalisation,
                batch_size=searcher.settings.batch_size,
                frames=searcher.experiment.frames,
                seed=self.seed + stream,
                step=first_step,
                weights=part.weights,
                share=(hosts.index(), hosts.count()),
            )
            for stream, part in zip(
                (0, ALPHAS_STREAM), searcher.experiment.search_parts(self.fold), strict=True
            )
        ]
        put = lambda pair: tuple(parallel.shard(batch, searcher.devices) for batch in pair)
        return prefetch(zip(*streams, strict=True), put)

    def first_pair(self, first_step: int) -> tuple[Any, Any]:
        """The first pair of `batches`."""
        batches = self.batches(first_step)
        pair = next(batches)
        batches.close()
        return pair


@dataclasses.dataclass
class Times:
    """Seconds of a search, those before it was stopped included.

    Attributes:
        seconds: of all epochs and decisions, without compilation.
        overhead_s: those of the epochs outside their steps: waiting for batches, metrics, checkpoints.
        compiling: of compilation.
    """

    seconds: float = 0.0
    overhead_s: float = 0.0
    compiling: float = 0.0

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> "Times":
        """What a checkpoint has of them, among other things."""
        return cls(**{field.name: extra[field.name] for field in dataclasses.fields(cls)})
