"""The entry of the command line, ``bimt``: it runs a command and ends the process with an exit code.

0 if all went well; 2 for a mistake of the user's, said in one line on stderr; 1 for a run that cannot go on, or a
machine that cannot do it (a full disk); 128 + its number for a signal. The command line has no science: commands read
options, call the library and print what that gives.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
from collections.abc import Sequence

from bimt_tf.errors import InputError

__all__ = ["main"]

LONGEST = 2_000  # characters of an error
BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows does not have


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``bimt``; ends the process with the exit codes of the module's docstring."""
    _open_streams()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:  # what reads our output has ended: nothing is left to say, and nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def _open_streams() -> None:
    """Write to nowhere where a stream was closed before the start; spell bytes of a name that no encoding has."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        narrow = codecs.lookup(out.encoding).name != "utf-8"  # the C locale's, whose handler fails on a line of a table
        if out.errors == "strict" or (narrow and out.errors == "surrogateescape"):
            out.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    """Run a command; its exit code. Libraries are loaded here, so that Ctrl-C is answered while they are."""
    from cyclopts import CycloptsError

    from bimt_tf.cli.commands import bimt

    try:
        bimt(arguments, exit_on_error=False, print_error=False)
    except (CycloptsError, InputError) as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 1)
    except MemoryError:
        return _fail("not enough memory: a smaller model, a smaller batch or fewer examples would do", 1)
    except Exception as error:
        from bimt_tf.runs.stopping import Interrupted, RunFailed

        if isinstance(error, Interrupted):
            return _fail(str(error), 128 + error.signum)
        if isinstance(error, RunFailed):
            return _fail(str(error), 1)
        raise
    return 0


def _fail(text: str, code: int) -> int:
    """Say what is wrong in one line; its middle is left out where a user's word makes it longer than a page."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    sys.stderr.write(f"bimt: {line}\n")
    return code


if __name__ == "__main__":
    main()
