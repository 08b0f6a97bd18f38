"""The command line: ``thermo-theory VERB``. Results go to stdout, progress and messages to stderr.

Exit codes: 0 done; 1 a failure while working, or ``--strict`` and a symmetry or physics claim disagrees; 2 the request
was wrong (one line names what, where and what would be right; nothing is written); 130 interrupted.

Heavy packages (torch, xarray, matplotlib) are imported inside the verbs that need them: `list` and `derive` need none.
"""

from __future__ import annotations

import difflib
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

# Each registers its verbs, in the order of the help.
# isort: off
from empirics.cli import theory, runs, judging, schedule  # noqa: F401

# isort: on
from empirics.cli.app import DEBUG, DONE, FAILED, INTERRUPTED, PROGRAM, WRONG, RequestError, missing, say
from empirics.cli.app import app as program

__all__ = ["main"]


#: Letters of a message that are shown: an input may be long, and the message quotes it.
LONGEST = 900

#: Errors of the system that mean that a path of the request can be none: a name too long, links in a ring, a file where
#: a folder would have to be, or a folder in place of a file.
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


# Errors ------------------------------------------------------------------------------------------
def _one_line(text: str) -> str:
    """Write a message in one line that is not too long, and that cannot steer a terminal."""
    line = " ".join(text.split())
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]} ... {plain[-LONGEST // 2 :]}"


def _usage(error: Any) -> str:
    """Describe an unreadable command line in one line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = _one_line(error.format_message()).replace("Value error, ", "").rstrip(".")
    near = []
    if message.startswith("No such command") and "Did you mean" not in message and context is not None:
        near = difflib.get_close_matches(message.split("'")[1], list(context.command.commands), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{path}: {message}{hint} (see {path} --help)"


def _failed(error: Exception, debug: bool) -> int:
    """Report an exception in one line and return its exit code."""
    from empirics.experiment import ExperimentError
    from empirics.running.files import FullDiskError, no_room

    if debug:
        traceback.print_exception(error)
    if hasattr(error, "format_message"):  # click's usage errors, wherever this version of typer keeps click
        say(_usage(error))
        return WRONG
    if isinstance(error, RequestError | ExperimentError):
        say(f"{PROGRAM}: {_one_line(str(error))}")
        return WRONG
    if isinstance(error, FullDiskError):
        say(f"{PROGRAM}: {_one_line(str(error))}")
        return FAILED
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(("empirics", "thermo_theory")):
        say(f"{PROGRAM}: {missing(error)}")
        return FAILED
    if no_room(error):
        say(f"{PROGRAM}: no room to write ({_one_line(str(error))}): free some space and ask again")
        return FAILED
    if isinstance(error, OSError) and error.errno in NO_PATH:
        say(f"{PROGRAM}: {_one_line(f'{error.filename}: {error.strerror}')}")
        return WRONG
    hint = "" if debug else f" (traceback: {PROGRAM} --debug ..., or {DEBUG}=1)"
    say(f"{PROGRAM}: {type(error).__name__}: {_one_line(str(error)) or 'no message'}{hint}")
    return FAILED


def _unread() -> int:
    """End where the reader of the pipe has closed it: the rest of the buffer must not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; default: those of this process.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["derive", "ideal-gas-law", "--latex", "--markdown"])
    2
    """
    settings = {"debug": os.environ.get(DEBUG, "") not in ("", "0")}
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        code = program(words, prog_name=PROGRAM, standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # click's way to end then
            return _unread()
        # Of a user's code: the program itself never ends like this.
        say(f"{PROGRAM}: a Python file of yours ended the program by sys.exit({error.code!r}); leave that out")
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        say("\ninterrupted")
        return INTERRUPTED
    except Exception as error:
        return _failed(error, settings["debug"])
    return code if isinstance(code, int) else DONE
