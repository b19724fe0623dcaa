"""What the commands with absl flags share: `--help` that ends well, and one line for what a user can mend."""

import functools
import os
import sys
from collections.abc import Callable

from absl import app, flags

from jax_ser_darts import extras
from jax_ser_darts.errors import UserError

HELP = frozenset(("--help", "-help", "-h", "-?"))


def start(main: Callable[[list[str]], int | None], *, status: int, parse: Callable | None = None) -> None:
    """Runs a command as absl does, and ends the process with its exit status.

    Args:
        main: takes what is left of the arguments, the program's name first; returns the exit status.
        status: of a mistake in the flags, and of an error that a user can mend.
        parse: takes all arguments and returns those that are no flags; `parse_flags` by default.
    """
    app.run(
        functools.partial(_guarded, main, status=status),
        flags_parser=parse or functools.partial(parse_flags, status=status),
    )


def _guarded(main, argv, *, status):
    try:
        with extras.explained():
            status_of_main = main(argv)
            sys.stdout.flush()
            return status_of_main
    except BrokenPipeError:  # the reader has enough; the interpreter flushes standard output when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        return fail(error, status=status)


def fail(error: object, *, status: int) -> int:
    """Prints the one line of a mistake; returns the status."""
    print(f"error: {error}", file=sys.stderr)
    return status


def parse_flags(argv: list[str], *, status: int) -> list[str]:
    """absl's parser; a mistake ends the process with `status`, `--help` with 0."""
    show_help(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(fail(f"{error}; see --help", status=status))


def show_help(argv: list[str]) -> None:
    """Where help is asked for, prints the command's docstring and its flags, and ends the process."""
    asked = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    if HELP & set(asked):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
