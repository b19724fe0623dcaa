"""The flags that say how large a measured step is, and how it is compiled."""

from collections.abc import Sequence

import jax
from absl import flags

from jax_ser_darts.benchmark.cases import DARTS_V2, Setting
from jax_ser_darts.devices import compilation
from jax_ser_darts.models.relaxed import EDGES, SCAN
from jax_ser_darts.search_space.genotype import Genotype
from jax_ser_darts.search_space.sequence_operations import FIXED, SEQUENCES

_BATCH = flags.DEFINE_integer("batch", 16, "Utterances a batch, over all devices.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 128, "Frames an utterance.", lower_bound=4)
_COEFFICIENTS = flags.DEFINE_integer("coefficients", 128, "Coefficients a frame.", lower_bound=4)
_CELLS = flags.DEFINE_integer("cells", 4, "Cells; two of them halve.", lower_bound=1)
_NODES = flags.DEFINE_integer("nodes", 4, "Nodes a cell.", lower_bound=1)
_CHANNELS = flags.DEFINE_integer("channels", 8, "Channels of the first cell.", lower_bound=2)
_SEQUENCE = flags.DEFINE_enum(
    "sequence", FIXED, SEQUENCES, "Sequence cells, searched: see config.search.sequence."
)
_SEQUENCE_CELLS = flags.DEFINE_integer("sequence_cells", 4, "How many, of --nodes nodes.", lower_bound=1)
_SEQUENCE_WIDTH = flags.DEFINE_integer("sequence_width", 16, "Units of each of their nodes.", lower_bound=1)
_EDGES = flags.DEFINE_enum(
    "edges", SCAN, EDGES, "How the supernet's edges are compiled: see config.search.edges."
)
_REMAT = flags.DEFINE_boolean("remat", False, "See config.search.remat.")
_CUSTOM_KERNELS = flags.DEFINE_boolean("custom_kernels", True, "False: plain XLA convolutions and autodiff.")
_FAST_MATH = flags.DEFINE_boolean("fast_math", True, "See config.fast_math.")

_SIZES = (
    _BATCH,
    _FRAMES,
    _COEFFICIENTS,
    _CELLS,
    _NODES,
    _CHANNELS,
    _SEQUENCE,
    _SEQUENCE_CELLS,
    _SEQUENCE_WIDTH,
)
_COMPILED = (_EDGES, _REMAT, _CUSTOM_KERNELS, _FAST_MATH)


def sizes() -> dict:
    """Name -> value of the flags that say how large a step is."""
    return {flag.name: flag.value for flag in _SIZES}


def given() -> dict:
    """Name -> value of all these flags."""
    return {flag.name: flag.value for flag in (*_SIZES, *_COMPILED)}


def setting(devices: Sequence[jax.Device], genotype: Genotype = DARTS_V2) -> Setting:
    """What the flags ask for, on these devices."""
    compiler_options = compilation.options(devices[0].platform, fast_math=_FAST_MATH.value)
    return Setting(
        **sizes(),
        edges=_EDGES.value,
        remat=_REMAT.value,
        custom_kernels=_CUSTOM_KERNELS.value,
        devices=devices,
        compiler_options=compiler_options,
        genotype=genotype,
    )
