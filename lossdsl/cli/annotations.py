"""Findings as workflow commands, which GitHub Actions shows next to the lines of a pull request."""

from __future__ import annotations

from lossdsl.cli.findings import HARMLESS
from lossdsl.errors import Diagnostic


def as_annotation(diagnostic: Diagnostic) -> str:
    """`::error file=a.yaml,line=2,endLine=2,col=7,endColumn=10,title=LD201::unknown loss`.

    Columns count characters from 1, and `endColumn` is exclusive; only a finding on a single line has columns.
    An allowed finding is a notice with the reason.
    """
    properties = {**_place(diagnostic), "title": diagnostic.code}
    listed = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
    message = f"{diagnostic.message}\n{diagnostic.hint}" if diagnostic.hint else diagnostic.message
    if not diagnostic.file and diagnostic.source:
        message = f"{diagnostic.source.label}: {message}"
    kind: str = diagnostic.severity
    if diagnostic.allowed is not None:
        kind, message = "notice", f"allowed: {diagnostic.allowed}\n{message}"
    return f"::{kind} {listed}::{_escaped(message)}"


def _place(diagnostic: Diagnostic) -> dict[str, str | int]:
    if not diagnostic.file:
        return {}
    place: dict[str, str | int] = {"file": diagnostic.file}
    if diagnostic.source and diagnostic.span:
        line, column = diagnostic.source.place(diagnostic.span.start)
        end_line, end_column = diagnostic.source.place(diagnostic.span.end)
        place |= {"line": line, "endLine": end_line}
        if line == end_line:
            place |= {"col": column, "endColumn": end_column}
    return place


def _escaped(text: str, more: str = "") -> str:
    for sign in ("%", "\r", "\n", *more):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text.translate(HARMLESS)
