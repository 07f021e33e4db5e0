"""The outcome of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lossdsl.errors import Diagnostic
from lossdsl.spec.answers import Answer, answered


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found. `ok`: nothing that stops a loss from being compiled.

    allowed: the warnings that a comment `# lossdsl: allow CODE -- reason` answers, each with its reason.
    tensors: the names of the tensors that each call passes beside pred and target, in the order of the alphabet.
    """

    diagnostics: tuple[Diagnostic, ...]
    allowed: tuple[Diagnostic, ...] = ()
    tensors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics) or "ok"


def report_of(diagnostics: Iterable[Diagnostic], answers: Iterable[Answer], tensors: Iterable[str] = ()) -> Report:
    """The report on findings some of which may be answered."""
    found = in_reading_order(answered(diagnostics, answers))
    open_ones = tuple(finding for finding in found if finding.allowed is None)
    return Report(open_ones, tuple(finding for finding in found if finding.allowed is not None), tuple(sorted(tensors)))


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each finding once, in the order of the file."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=_place))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return (diagnostic.file or "", diagnostic.line or 0, diagnostic.column or 0)
