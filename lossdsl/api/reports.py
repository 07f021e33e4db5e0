"""The outcome of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lossdsl.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found. `ok`: nothing that stops a loss from being compiled."""

    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics) or "ok"


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each finding once, in the order of the file."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=_place))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return (diagnostic.file or "", diagnostic.line or 0, diagnostic.column or 0)
