"""Text that another program resolves first: `${...}`, `{{ ... }}`, and `$` and `@` of MONAI."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lossdsl.config.page import Page
from lossdsl.config.values import Entry, Found, Row, Scalar, Table, Unread, Value, shown
from lossdsl.errors import Diagnostic, Place, Span

CODE = "LD409"
_COMMENT = re.compile(r"#[^\n]*")


@dataclass(frozen=True, slots=True)
class Interpolation:
    """One syntax: the program that resolves it, and the hint."""

    pattern: re.Pattern[str]
    by: str
    hint: str


_TEMPLATE = Interpolation(
    re.compile(r"\{\{[^\n]*?(?:\}\}|$)|\{%[^\n]*?(?:%\}|$)", re.MULTILINE),
    "Jinja fills it in",
    "render the file first, or write the value itself",
)
_KINDS = (
    Interpolation(
        re.compile(r"\$\{[^}\n]*\}?"),
        "OmegaConf or Hydra fills it in",
        "write the value itself, or pass the resolved config: lossdsl.compile(cfg.loss)",
    ),
    _TEMPLATE,
    Interpolation(
        re.compile(r"\A\s*[$@][^\n]*"),
        "MONAI's ConfigParser fills it in",
        'write the value itself, or pass the parsed content: lossdsl.compile(parser.get_parsed_content("loss"))',
    ),
)


def interpolated(value: Value) -> bool:
    """Whether a value contains text that another program resolves."""
    return bool(without_interpolations(value).findings)


def told_once(findings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """The first finding of a loss for all of them, since the hint is the same."""
    if len(findings) < 2:
        return findings
    first, *others = findings
    more = f" and {len(others)} more places" if len(others) > 1 else " and another place"
    return (replace(first, message=first.message.replace(" is not resolved", f"{more} are not resolved")),)


def without_interpolations(value: Value) -> Found[Value]:
    """The value without the text that other programs resolve, and a finding for each."""
    match value:
        case Scalar(kind="text"):
            finding = _finding(value)
            return Found(Unread(value.place), (finding,)) if finding else Found(value)
        case Row():
            items = [without_interpolations(item) for item in value.items]
            row = replace(value, items=tuple(item.value for item in items))
            return Found(row, tuple(finding for item in items for finding in item.findings))
        case Table():
            found = [without_interpolations(entry.value) for entry in value.entries]
            entries = (_with(entry, new.value) for entry, new in zip(value.entries, found, strict=True))
            return Found(Table(tuple(entries), value.place), tuple(f for new in found for f in new.findings))
        case _:
            return Found(value)


def _with(entry: Entry, value: Value) -> Entry:
    return entry if value is entry.value else replace(entry, value=value)


def _finding(scalar: Scalar) -> Diagnostic | None:
    text = _COMMENT.sub(lambda found: " " * len(found[0]), scalar.text)
    for kind in _KINDS:
        if found := kind.pattern.search(text):
            return _says(Place(scalar.source, Span(*found.span())), found[0].strip(), kind)
    return None


def _says(place: Place, text: str, kind: Interpolation) -> Diagnostic:
    return place.says(CODE, f"{shown(text)} is not resolved here: {kind.by}", kind.hint)


def template_at(page: Page, start: int, end: int) -> Diagnostic | None:
    """The finding for the first `{{ ... }}` or `{% ... %}` between two offsets of a file, where there is one."""
    found = _TEMPLATE.pattern.search(page.text, start, end)
    return _says(page.at(*found.span()), found[0], _TEMPLATE) if found else None
