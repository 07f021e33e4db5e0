"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lossdsl.config.allow_comments import Answer, answered
from lossdsl.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of a check.

    Attributes:
        diagnostics: the findings in the order of the file.
        allowed: the warnings that a comment `# lossdsl: allow CODE -- reason` allows, each with its reason.
        tensors: the names of the tensors that each call passes in addition to pred and target, sorted.

    >>> import lossdsl
    >>> report = lossdsl.check("bce + focal(gamma=-1)")
    >>> report.ok, [(finding.code, finding.line, finding.column) for finding in report.diagnostics]
    (False, [('LD204', 1, 19)])
    """

    diagnostics: tuple[Diagnostic, ...]
    allowed: tuple[Diagnostic, ...] = ()
    tensors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error, so that the loss can be compiled. Warnings do not count."""
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics) or "ok"


def report_of(diagnostics: Iterable[Diagnostic], answers: Iterable[Answer], tensors: Iterable[str] = ()) -> Report:
    """The report on findings, some of which a comment may allow."""
    found = in_reading_order(answered(diagnostics, answers))
    open_ones = tuple(finding for finding in found if finding.allowed is None)
    return Report(open_ones, tuple(finding for finding in found if finding.allowed is not None), tuple(sorted(tensors)))


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings without duplicates, in the order of the file."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=_place))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return (diagnostic.file or "", diagnostic.line or 0, diagnostic.column or 0)
