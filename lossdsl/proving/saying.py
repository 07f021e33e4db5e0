"""How a finding about a part of the user's text is put."""

from __future__ import annotations

from lossdsl.checking.resolved import Origin
from lossdsl.errors import Diagnostic, Edit, Severity
from lossdsl.proving.interval import Interval


def says(
    origin: Origin,
    code: str,
    message: str,
    hint: str | None = None,
    severity: Severity = "warning",
    replacement: str | None = None,
) -> Diagnostic:
    """A finding at a place; replacement: the text that would mend it there."""
    edit = None if replacement is None else Edit(origin.span, replacement)
    return Diagnostic(code, message, origin.source, origin.span, hint, severity, edit)


def written(origin: Origin) -> str:
    """What stands at a place, on one line."""
    return origin.text


def lies(value: Interval) -> str:
    """`in [0, 1]`, or the one number that it is."""
    return str(value) if value.is_number else f"in {value}"
