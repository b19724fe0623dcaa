"""Archives the results of a grid.

python -m jax_ser_darts.archive collect WORKDIR FOLDER     what is done in a workdir, into a folder
python -m jax_ser_darts.archive rebuild FOLDER OUTPUT      tables and page, from that folder (or a workdir) alone
python -m jax_ser_darts.archive restore FOLDER WORKDIR     as done jobs of a workdir: --mode=compare does the others
"""

import argparse
import pathlib
import sys
from collections.abc import Callable

from jax_ser_darts.archive.store import collect, rebuild, restore
from jax_ser_darts.commands import print_anything
from jax_ser_darts.errors import UserError

COMMANDS: dict[str, Callable[..., str]] = {"collect": collect, "rebuild": rebuild, "restore": restore}


def main(arguments: list[str] | None = None) -> int:
    """The command; a user's mistake is one message and exit status 1."""
    print_anything()
    parser = argparse.ArgumentParser(
        prog="python -m jax_ser_darts.archive", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("collect", help="archives what is done in a workdir")
    command.add_argument("workdir", type=pathlib.Path)
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument(
        "--commit",
        help="of the code that did, on this machine and with these versions, the jobs that do not know it",
    )
    command = commands.add_parser("rebuild", help="makes tables and page from an archive, or from a workdir")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("output", type=pathlib.Path)
    command = commands.add_parser("restore", help="puts an archive back into a workdir, to resume from it")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("workdir", type=pathlib.Path)
    options = vars(parser.parse_args(arguments))
    try:
        print(COMMANDS[options.pop("command")](**options))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
