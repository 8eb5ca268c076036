"""What the command line prints: results, tables, and one sentence for whatever went wrong."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from zaowu.errors import nearest, shorten

KINDS = {"int_parsing": "a whole number", "float_parsing": "a number"}  # what a flag takes


def print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """A ruled table on a terminal, tab-separated lines in a pipe."""
    if not sys.stdout.isatty():
        for row in [header, *rows]:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as it is: a bracket in a text is no markup
    Console().print(table)


def show_note(sentence: str, quiet: bool) -> None:
    if not quiet:
        print(sentence, file=sys.stderr)


def fail(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def usage(error: Any) -> int:
    """What the command line itself refuses: an unknown flag or command, a missing argument."""
    message = error.format_message()
    if not message:  # nothing was typed after the command's name, and its help stands there already
        return 2
    if hasattr(error, "possibilities"):
        message = error.message + "." + nearest(error.option_name, error.possibilities or ())
    elif hasattr(error.__cause__, "errors"):  # a value that is not of the flag's kind
        wrong = error.__cause__.errors()[0]
        kind = KINDS.get(wrong["type"], wrong["msg"])
        message = f"{error.param.opts[0]}: expected {kind}, got '{shorten(wrong['input'])}'."
    elif not message.endswith((".", "?")):
        message += "."
    context = getattr(error, "ctx", None)
    where = f" See '{context.command_path} --help'." if context is not None else " See 'zaowu --help'."
    return fail(message + where, 2)


def bug(error: Exception) -> int:
    """Our fault: a short message, and a log that helps to mend it."""
    import traceback

    from zaowu.bases.cache import home

    log = home() / "logs" / f"{os.getpid()}.txt"
    trace = "".join(traceback.format_exception(error))
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(trace, "utf-8")
    except OSError:
        return fail(trace, 3)
    return fail(f"This is a bug in Zaowu, not your mistake ({type(error).__name__}: {error}). The log: {log}", 3)
