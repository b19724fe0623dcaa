"""Where two genotypes differ, edge by edge."""

from jax_ser_darts.search_space.genotype import CELLS, Genotype, source_name


def differences(first: Genotype, second: Genotype) -> list[str]:
    """A line for each edge that the two do not share; none where they are the same.

    Edges are told apart by where they start and end: the order in which a file names them does not matter.

    Returns:
        Lines such as "normal cell, n1 <- c-2: sep_conv_3x3 in the first, skip_connect in the second" or
        "sequence cell, n0 <- c-1: lstm_2 in the first, no edge in the second".
    """
    lines = []
    for cell in CELLS:
        edges = [_edges(genotype, cell) for genotype in (first, second)]
        for node, source in sorted(set(edges[0]) | set(edges[1])):
            before, after = (cell_edges.get((node, source), "no edge") for cell_edges in edges)
            if before != after:
                where = f"{cell} cell, n{node} <- {source_name(source)}"
                lines.append(f"{where}: {before} in the first, {after} in the second")
    return lines


def _edges(genotype, cell):
    """{(node, source): operation} of a cell; empty where there is none."""
    return {
        (node, edge.source): edge.operation
        for node, edges in enumerate(getattr(genotype, cell) or ())
        for edge in edges
    }
