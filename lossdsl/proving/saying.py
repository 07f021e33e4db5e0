"""How a finding about a part of the user's text is put."""

from __future__ import annotations

from lossdsl.errors import Diagnostic, Place, Severity
from lossdsl.proving.interval import Interval


def says(
    origin: Place,
    code: str,
    message: str,
    hint: str | None = None,
    severity: Severity = "warning",
    replacement: str | None = None,
) -> Diagnostic:
    """A finding at a place; replacement: the text that would mend it there."""
    edit = None if replacement is None else origin.replaced(replacement)
    return origin.says(code, message, hint, edit, severity)


def written(origin: Place) -> str:
    """What stands at a place, on one line."""
    return origin.text


def lies(value: Interval) -> str:
    """`in [0, 1]`, or the one number that it is."""
    return str(value) if value.is_number else f"in {value}"
