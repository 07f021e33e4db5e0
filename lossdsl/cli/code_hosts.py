"""Findings for code hosts and editors: SARIF 2.1.0, and the workflow commands of GitHub Actions."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lossdsl.cli.code_pages import explained
from lossdsl.cli.findings import HARMLESS
from lossdsl.cli.fixes import replacement
from lossdsl.cli.inputs import unopened
from lossdsl.errors import Diagnostic, Source


def as_annotation(diagnostic: Diagnostic) -> str:
    """`::error file=a.yaml,line=2,endLine=2,col=7,endColumn=10,title=LD201::unknown loss`.

    Columns count characters from 1, and `endColumn` is exclusive; only a finding on a single line has columns.
    An allowed finding is a notice with the reason.
    """
    properties = {**_properties(diagnostic), "title": diagnostic.code}
    listed = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
    message = f"{diagnostic.message}\n{diagnostic.hint}" if diagnostic.hint else diagnostic.message
    if not diagnostic.file and diagnostic.source:
        message = f"{diagnostic.source.label}: {message}"
    kind: str = diagnostic.severity
    if diagnostic.allowed is not None:
        kind, message = "notice", f"allowed: {diagnostic.allowed}\n{message}"
    return f"::{kind} {listed}::{_escaped(message)}"


def _properties(diagnostic: Diagnostic) -> dict[str, str | int]:
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


SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"


def as_sarif(findings: Sequence[Diagnostic]) -> str:
    """One run with a result for each finding, which is suppressed if it is allowed, and a rule for each code.

    Columns count UTF-16 code units from 1.
    """
    rules = sorted({finding.code for finding in findings})
    run = {
        "tool": {"driver": {"name": "lossdsl", **_version(), "rules": [_rule(code) for code in rules]}},
        "columnKind": "utf16CodeUnits",
        "invocations": [{"executionSuccessful": not unopened(findings)}],
        "results": [_result(finding, rules.index(finding.code)) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _version() -> dict[str, str]:
    try:
        return {"version": version("lossdsl")}
    except PackageNotFoundError:  # a checkout that is not installed
        return {}


def _rule(code: str) -> dict[str, Any]:
    documentation = explained(code)
    if documentation is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": documentation.title},
        "fullDescription": {"text": documentation.meaning},
        "help": {"text": f"{documentation.meaning}\n\n{documentation.fix}", "markdown": documentation.markdown},
    }


def _result(finding: Diagnostic, index: int) -> dict[str, Any]:
    message = f"{finding.message}\n{finding.hint}" if finding.hint else finding.message
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": message},
    }
    if finding.allowed is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.allowed}]
    location = _location(finding)
    if location:
        result["locations"] = [location]
    fix = _fix(finding)
    if fix:
        result["fixes"] = [fix]
    return result


def _location(finding: Diagnostic) -> dict[str, Any] | None:
    source = finding.source
    if source is None:
        return None
    if not source.file:
        return {"logicalLocations": [{"fullyQualifiedName": source.label}]}
    physical: dict[str, Any] = {"artifactLocation": _artifact(source.file)}
    if finding.span:
        start, end = (source.offset(position) for position in (finding.span.start, finding.span.end))
        physical["region"] = _region(source, start, end)
    return {"physicalLocation": physical}


def _artifact(file: str) -> dict[str, str]:
    """A path below the current folder is relative to it; any other is a full URI."""
    path = Path(file)
    try:
        relative = path.resolve().relative_to(Path.cwd().resolve())
    except (OSError, ValueError):
        return {"uri": path.absolute().as_uri()}
    return {"uri": quote(os.fsencode(relative.as_posix())), "uriBaseId": _ROOT}


def _region(source: Source, start: int, end: int) -> dict[str, int]:
    start_line, start_column = _place(source, start)
    end_line, end_column = _place(source, max(start, end))
    return {"startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column}


def _place(source: Source, offset: int) -> tuple[int, int]:
    """Line and column, in which a character outside of the basic plane counts as two."""
    line, column = source.place_in_page(offset)
    before = source.line(line)[: column - 1]
    return line, column + sum(ord(character) > 0xFFFF for character in before)


def _fix(finding: Diagnostic) -> dict[str, Any] | None:
    source = finding.source
    made = replacement(source.page, finding) if source and source.file else None
    if source is None or source.file is None or made is None or finding.edit is None:
        return None
    region = _region(source, made.start, made.end)
    change = {"deletedRegion": region, "insertedContent": {"text": made.text}}
    description = {"text": finding.hint or finding.message}
    return {
        "description": description,
        "artifactChanges": [{"artifactLocation": _artifact(source.file), "replacements": [change]}],
        "properties": {"applicability": finding.edit.applicability},
    }
