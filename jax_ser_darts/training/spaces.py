"""The search spaces of a config: each has random architectures, and a search is worth what it adds to its own.

A space is known by the recurrent part that is searched: the CNN's cells are the same for all variants of a search.
"""

import dataclasses

from jax_ser_darts.search_space.sequence_operations import FIXED
from jax_ser_darts.settings import Search, Settings

RANDOM = "random"  # the method of the random architectures of the config's own space


@dataclasses.dataclass(frozen=True)
class Space:
    """What a search may choose after the CNN.

    Attributes:
        sequence: a group of sequence_operations.py, or FIXED.
        nodes: of a sequence cell; 0 where the part is FIXED.
    """

    sequence: str
    nodes: int

    @classmethod
    def of(cls, search: Search) -> "Space":
        """Of a section `search`."""
        return cls(search.sequence, 0 if search.sequence == FIXED else search.sequence_nodes)


def random_method(config: Settings, method: str) -> str:
    """The random architectures that a method is compared with.

    RANDOM, or for a search variant of another space `random_SEQUENCE`: random_all, random_fixed; with `_nodes_N` where
    only the nodes of its sequence cells are others than the config's. What is not searched is compared with RANDOM.
    """
    if config.train.genotype or method not in config.search.methods:
        return RANDOM
    base, space = Space.of(config.search), Space.of(config.method(method)[1])
    if space == base:
        return RANDOM
    nodes = f"_nodes_{space.nodes}" if space.nodes not in (0, config.search.sequence_nodes) else ""
    return f"{RANDOM}_{space.sequence}{nodes}"


def random_spaces(config: Settings) -> dict[str, Space]:
    """Random method -> its space: that of the config first, then those of the variants that differ; {} without any."""
    if not config.baselines.random:
        return {}
    spaces = {RANDOM: Space.of(config.search)}
    for method in () if config.train.genotype else config.search.methods:
        spaces.setdefault(random_method(config, method), Space.of(config.method(method)[1]))
    return spaces


def is_random(method: str) -> bool:
    """Whether a method draws its architectures; no search variant may be called so, see checks.py."""
    return method == RANDOM or method.startswith(f"{RANDOM}_")
