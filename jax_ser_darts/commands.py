"""What the commands with absl flags share: `--help` that ends well, and one line for what a user can mend."""

import ast
import functools
import io
import os
import re
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
    print_anything()
    app.run(
        functools.partial(_guarded, main, status=status),
        flags_parser=parse or functools.partial(parse_flags, status=status),
    )


def print_anything() -> None:
    """Lets names of any script be printed where the terminal knows ASCII alone: they are written out (\\u5f20)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
    print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
    return status


def printable(text: str) -> str:
    """A text as a terminal may have it, on one line: names and files of others may hold what would control it.

    What is no printable character becomes an escape, and so does a byte of a name that is no UTF-8.
    """
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    is_byte = "\udc80" <= one <= "\udcff"  # as Python keeps it
    return f"\\x{ord(one) - 0xDC00:02x}" if is_byte else one.encode("unicode_escape").decode()


def parse_flags(argv: list[str], *, status: int) -> list[str]:
    """absl's parser; a mistake ends the process with `status`, `--help` with 0."""
    show_help(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(fail(f"{error}; see --help", status=status))


def parse_config_flags(argv: list[str], *, status: int) -> list[str]:
    """As `parse_flags`, where --config is a flag: one line where the config that it names is not as it must be."""
    show_help(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:  # with a traceback, where the config's own file has refused its variant
        cause = re.sub(r"^\w+Error: ", "", str(error).strip().splitlines()[-1].strip())
        reason = f"{_no_literal(argv) or cause}\n--help explains the flags."
    except (AttributeError, KeyError, OSError, SyntaxError, TypeError, ValueError) as error:
        cause = _no_literal(argv) or f"the config does not take these flags: {error.args[0]}"
        reason = (
            f"{cause}\nA setting is given as --config.SECTION.NAME=VALUE; "
            "python -m jax_ser_darts.main --config=NAME --show prints every one."
        )
    sys.exit(fail(reason, status=status))


def _no_literal(argv: list[str]) -> str:
    """Which setting has a value that is no literal of Python, such as {angry:happy} without quotes; "" if none has."""
    for argument in argv[1:]:
        flag, given, value = argument.partition("=")
        if given and flag.startswith(("--config.", "-config.")) and value.lstrip()[:1] in ("(", "[", "{"):
            try:
                ast.literal_eval(value)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                return (
                    f"{flag}: {value} is no value; put words in quotes, and the whole in others: "
                    "\"{'angry':'angry'}\" or \"('a','b')\""
                )
    return ""


def show_help(argv: list[str]) -> None:
    """Where help is asked for, prints the command's docstring and its flags, and ends the process."""
    asked = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    if HELP & set(asked):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
