"""A genotype: which operation on which edge. Read off alphas, kept as JSON, checked when read."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ser_darts.errors import UserError
from jax_ser_darts.files import write_json
from jax_ser_darts.search_space import operations
from jax_ser_darts.search_space.operations import NONE
from jax_ser_darts.search_space.sequence_operations import SEQUENCE_OPERATIONS

EDGES_PER_NODE = 2
CNN_CELLS = ("normal", "reduction")
SEQUENCE = "sequence"
BETAS = "betas"
_FORM = (
    'a genotype is an object with the keys "normal" and "reduction", and "sequence" if it has sequence cells'
)
CELLS = (*CNN_CELLS, SEQUENCE)


def num_edges(nodes: int) -> int:
    """Edges of a cell: node i is reached from the cell's two inputs and the i nodes before it."""
    return sum(2 + i for i in range(nodes))


def edge_index(node: int, source: int) -> int:
    """Row of the edge source -> node in a cell's alphas. Sources 0, 1 are the inputs, 2 + i is node i."""
    return sum(2 + i for i in range(node)) + source


def incoming(edges: int) -> list[slice]:
    """Of each node of a cell with so many edges: the rows of those that reach it."""
    nodes = next(nodes for nodes in itertools.count() if num_edges(nodes) >= edges)
    return [slice(edge_index(node, 0), edge_index(node + 1, 0)) for node in range(nodes)]


def allowed(cell: str) -> list[str]:
    """The operations that a kind of cell may have."""
    names = SEQUENCE_OPERATIONS if cell == SEQUENCE else operations.names()
    return [name for name in names if name != NONE]


class GenotypeError(UserError):
    """A genotype that no network can be built from; the message says where and why."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """A chosen edge.

    Attributes:
        operation: a registered one (see operations.py), or of SEQUENCE_OPERATIONS in a sequence cell; not `none`.
        source: 0 and 1 are the cell's inputs, 2 + i is the output of node i.
    """

    operation: str
    source: int


@dataclasses.dataclass(frozen=True)
class Genotype:
    """The cells that were found: per node, its incoming edges.

    Attributes:
        normal, reduction: of the CNN.
        sequence: of the sequence cells after it; None where the fixed LSTM with attention follows.
    """

    normal: tuple[tuple[Edge, ...], ...]
    reduction: tuple[tuple[Edge, ...], ...]
    sequence: tuple[tuple[Edge, ...], ...] | None = None

    def __post_init__(self):
        for cell_name in self.cells:
            cell = getattr(self, cell_name)
            if not cell:
                raise GenotypeError(f"the {cell_name} cell has no node")
            for node, edges in enumerate(cell):
                where = f"{cell_name} cell, node {node}"
                if not edges:
                    raise GenotypeError(f"{where}: no incoming edge")
                for edge in edges:
                    if edge.operation not in allowed(cell_name):
                        raise GenotypeError(
                            f"{where}: operation {edge.operation!r} is not one of {', '.join(allowed(cell_name))}, "
                            "nor registered by an extension"
                        )
                    if not 0 <= edge.source < 2 + node:
                        raise GenotypeError(f"{where}: source {edge.source} is not in 0..{1 + node}")
                sources = [edge.source for edge in edges]
                if len(set(sources)) != len(sources):
                    raise GenotypeError(f"{where}: two edges from the same source {sources}")

    @property
    def cells(self) -> tuple[str, ...]:
        """The kinds of cell there are: normal, reduction, and sequence if it was searched."""
        return CNN_CELLS if self.sequence is None else (*CNN_CELLS, SEQUENCE)

    def to_json(self) -> dict:
        """Plain lists and strings, a key for each of `cells`: {"normal": [[["sep_conv_3x3", 0], ...], ...], ...}."""
        return {
            name: [[[edge.operation, edge.source] for edge in node] for node in getattr(self, name)]
            for name in self.cells
        }

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the JSON file, whole or not at all."""
        write_json(pathlib.Path(path), self.to_json())

    def operations(self, cell: str) -> list[str]:
        """Operations of a cell ("normal", "reduction" or "sequence"), in order."""
        return [edge.operation for node in getattr(self, cell) for edge in node]

    def cnn_operations(self) -> set[str]:
        """Operations of the CNN's cells."""
        return {name for cell in CNN_CELLS for name in self.operations(cell)}

    def skip_share(self, cell: str = "normal") -> float:
        """Share of skip connections among a cell's edges: the sign of a collapsed search."""
        operations = self.operations(cell)
        return operations.count("skip_connect") / len(operations)

    def __str__(self) -> str:
        """A line a cell, for people: n0 = sep_conv_3x3(c-2) + skip_connect(c-1)."""

        def show(cell):
            return "; ".join(
                f"n{i} = " + " + ".join(f"{e.operation}({source_name(e.source)})" for e in node)
                for i, node in enumerate(cell)
            )

        return "\n".join(f"{name + ':':<11}{show(getattr(self, name))}" for name in self.cells)


def source_name(source: int) -> str:
    """How people call a source: c-2 and c-1 are the outputs of the cells before, n0 is the first node."""
    return ("c-2", "c-1")[source] if source < 2 else f"n{source - 2}"


def from_json(value: Mapping) -> Genotype:
    """The genotype of a parsed JSON object.

    Raises:
        GenotypeError: what is wrong, and where.
    """
    if not isinstance(value, Mapping) or set(value) - {SEQUENCE} != set(CNN_CELLS):
        raise GenotypeError(_FORM)
    cells = {}
    for name, cell in value.items():
        try:
            cells[name] = tuple(
                tuple(Edge(operation=str(operation), source=_whole(source)) for operation, source in node)
                for node in cell
            )
        except (TypeError, ValueError) as error:
            raise GenotypeError(
                f"{name} cell: every node is a list of [operation, source] pairs, e.g. "
                f'[["sep_conv_3x3", 0], ["skip_connect", 1]] ({error})'
            ) from error
    return Genotype(**cells)


def _whole(source: Any) -> int:
    if not isinstance(source, int) or isinstance(source, bool):
        raise TypeError(f"source {source!r} is not a whole number")
    return source


def load(path: str | pathlib.Path) -> Genotype:
    """Reads a genotype file.

    Raises:
        GenotypeError: naming the file.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
        return from_json(json.loads(text, object_pairs_hook=_each_key_once))
    except FileNotFoundError:
        raise GenotypeError(f"no genotype file {path}") from None
    except OSError as error:
        raise GenotypeError(f"{path}: cannot be read ({error.strerror})") from error
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error
    except (RecursionError, ValueError) as error:
        raise GenotypeError(f"{path}: not JSON ({error}); {_FORM}") from error


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict:
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GenotypeError(f"the key {', '.join(twice)} comes more than once")
    return dict(pairs)


def kinds_of(alphas: Mapping) -> dict:
    """The alphas `[edges, operations]` of each kind of cell, without the edges' betas."""
    return {name: values for name, values in alphas.items() if name != BETAS}


def derive(
    alphas: Mapping[str, np.ndarray | Mapping[str, np.ndarray]],
    operations: Sequence[str],
    sequence_operations: Sequence[str] = (),
) -> Genotype:
    """The discrete cells of the relaxed ones: per node the two strongest incoming edges (DARTS, section 2.4).

    An edge is as strong as its best operation besides `none`, see `strengths`.

    Args:
        alphas: "normal", "reduction" and, if it is searched, "sequence", `[edges, operations]` each. "betas" are
            `[edges]` of some of these kinds, where edges are normalised.
        operations: names of the columns of the first two.
        sequence_operations: names of the columns of "sequence".
    """
    cells, betas = {}, alphas.get(BETAS)
    for name, values in kinds_of(alphas).items():
        names = sequence_operations if name == SEQUENCE else operations
        choices = [k for k, operation in enumerate(names) if operation != NONE]
        weights = strengths(values, betas.get(name) if isinstance(betas, Mapping) else None)
        nodes = []
        for rows in incoming(len(weights)):
            edges = weights[rows, choices]
            strongest = np.argsort(-edges.max(axis=1), kind="stable")[:EDGES_PER_NODE]
            nodes.append(
                tuple(
                    Edge(operation=names[choices[int(edges[s].argmax())]], source=int(s))
                    for s in sorted(strongest)
                )
            )
        cells[name] = tuple(nodes)
    return Genotype(**cells)


def strengths(alphas: np.ndarray, betas: np.ndarray | None = None) -> np.ndarray:
    """How strong each candidate is on each edge: its softmax weight, times that of the edge where there are betas.

    The weight of an edge is a softmax over all that reach the same node (PC-DARTS, Xu et al. 2020, section 3.3).

    Args:
        alphas: `[edges, operations]`.
        betas: `[edges]`, or None.

    Returns:
        `[edges, operations]`.
    """
    weights = softmax(np.asarray(alphas, np.float64))
    if betas is None:
        return weights
    betas = np.asarray(betas, np.float64)
    return weights * np.concatenate([softmax(betas[rows]) for rows in incoming(len(betas))])[:, None]


def softmax(alphas: np.ndarray) -> np.ndarray:
    """Weights of the candidates on each edge: softmax over the last axis."""
    powers = np.exp(alphas - alphas.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def random_genotype(
    rng: np.random.Generator,
    *,
    nodes: int,
    operations: Sequence[str],
    sequence_nodes: int = 0,
    sequence_operations: Sequence[str] = (),
) -> Genotype:
    """A genotype drawn evenly from the space: two sources a node, one operation an edge.

    Without `sequence_operations` it has no sequence cell.
    """
    shapes = dict.fromkeys(CNN_CELLS, (num_edges(nodes), len(operations)))
    if sequence_operations:
        shapes[SEQUENCE] = num_edges(sequence_nodes), len(sequence_operations)
    alphas = {name: rng.gumbel(size=shape) for name, shape in shapes.items()}
    return derive(alphas, operations, sequence_operations)
