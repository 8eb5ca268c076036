"""What happens to rows that cannot be used: stop and name them, or set them aside."""

from __future__ import annotations

from collections.abc import Sequence

from zaowu.errors import UserError, nearest
from zaowu.records.records import BadRow

CHOICES = ("stop", "skip")
NUM_NAMED = 10  # row numbers that one sentence lists


def checked(on_bad_row: str | None) -> str | None:
    """`on_bad_row` itself; a UserError when it is neither None, "stop" nor "skip"."""
    if on_bad_row is None or on_bad_row in CHOICES:
        return on_bad_row
    hint = nearest(str(on_bad_row), CHOICES)
    raise UserError(f"--on-bad-row: expected stop or skip, got {on_bad_row!r}.{hint}")


def kind(bad: BadRow) -> str:
    """Rows of one kind have the same problem: "expected 2 fields, got 3" and "..., got 4" are one kind."""
    expected = bad.problem.split(", got ")[0]
    return f"{bad.column}: {expected}" if bad.column else expected


def refusal(bad_rows: Sequence[BadRow], *, hint: str = "") -> UserError:
    """One UserError for all of `bad_rows` (at least one): the first in full, the others by their numbers.

    `hint` is a further sentence about the likely cause.
    """
    first = bad_rows[0]
    same = [bad for bad in bad_rows[1:] if kind(bad) == kind(first)]
    sentences = [f"{first}.", "Mend the row, or pass --on-bad-row skip."]
    if same:
        is_one = len(same) == 1
        sentences.append(
            f"{len(same)} other {'row has' if is_one else 'rows have'} the same problem ({numbers(same, first)})."
        )
    if others := [bad for bad in bad_rows if kind(bad) != kind(first)]:
        is_one = len(others) == 1
        example = f"{numbers(others[:1], first)}: {others[0].problem}"
        sentences.append(
            f"{len(others)} {'row has' if is_one else 'rows have'} another problem ({'' if is_one else 'such as '}"
            f"{example})."
        )
    return UserError(" ".join([*sentences, hint]).rstrip())


def numbers(bad_rows: Sequence[BadRow], first: BadRow) -> str:
    """`4130, 5102, 7719`, cut short when there are many; the source is named where it is another one."""
    shown = [bad.place if bad.source == first.source else f"{bad.source}: {bad.place}" for bad in bad_rows[:NUM_NAMED]]
    return ", ".join(shown) + (", …" if len(bad_rows) > NUM_NAMED else "")
