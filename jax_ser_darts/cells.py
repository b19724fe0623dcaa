"""Checks, compares and draws genotype files.

    python -m jax_ser_darts.cells check FILE...
    python -m jax_ser_darts.cells compare FIRST SECOND
    python -m jax_ser_darts.cells draw FILE DRAWING.svg

`check` prints the cells of each file, or what is wrong and where (status 2). `compare` prints the edges
that differ (status 1), or that none do (status 0). `draw` makes a PNG, SVG or PDF.
"""

import argparse
import pathlib
import sys

from jax_ser_darts.commands import print_anything
from jax_ser_darts.errors import UserError
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.similarity import differences

FORMATS = (".png", ".svg", ".pdf")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m jax_ser_darts.cells", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="are these genotypes valid?").add_argument("files", nargs="+")
    compare = commands.add_parser("compare", help="which edges differ?")
    compare.add_argument("first")
    compare.add_argument("second")
    draw = commands.add_parser("draw", help="cells as graphs")
    draw.add_argument("file")
    draw.add_argument("drawing")
    options = parser.parse_args(arguments)
    return {"check": _check, "compare": _compare, "draw": _draw}[options.command](options)


def _check(options):
    status = 0
    for path in options.files:
        try:
            print(f"{path}:\n{genotypes.load(path)}")
        except genotypes.GenotypeError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
    return status


def _compare(options):
    try:
        first, second = (genotypes.load(path) for path in (options.first, options.second))
    except genotypes.GenotypeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    lines = differences(first, second)
    print("\n".join(lines) if lines else "no edge differs")
    return int(bool(lines))


def _draw(options):
    from jax_ser_darts.report import cells, style  # matplotlib takes a second to import

    path = pathlib.Path(options.drawing)
    try:
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"{path}: drawings end in {', '.join(FORMATS)}")
        genotype = genotypes.load(options.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with style.settings():
            style.write(cells.draw_all(genotype.to_json()), path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
