"""Read a formula, a mapping or a file. Each function returns the parts that could be read, and the findings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lossdsl.config import python_data as data
from lossdsl.config.allow_comments import answers_in
from lossdsl.config.long_form import formula_reading, reading_of
from lossdsl.config.model import Reading
from lossdsl.config.page import open_page
from lossdsl.config.search import reading_at
from lossdsl.config.values import Row, Scalar, Table, Value
from lossdsl.config.yaml_nodes import locate
from lossdsl.config.yaml_text import compose
from lossdsl.errors import Diagnostic, Place, Source


def read_formula(text: str) -> Reading:
    """Read a formula."""
    source = Source(text)
    return replace(formula_reading(source), answers=answers_in(source))


def read_mapping(mapping: Mapping[str, Any], path: str = "loss") -> Reading:
    """Read the YAML form from Python data: dicts, OmegaConf, any Mapping and Sequence. It is not changed.

    Places are key paths that start with `path`.
    """
    value = data.value_of(mapping, path)
    reading = reading_of(value.value, Place(Source("", path=path)))
    answers = tuple(answer for text in _texts(value.value) for answer in answers_in(text.source))
    return replace(reading, diagnostics=(*value.findings, *reading.diagnostics), answers=answers)


def read_file(path: str | os.PathLike[str], key: str = "loss") -> Reading:
    """Read the loss at a dotted key, such as "train.loss", in a YAML or JSON file.

    The rest of the file is not checked. An empty key means that the whole file is the loss.
    """
    page = open_page(path)
    if page.value is None:
        return Reading(None, page.findings)
    root = compose(page.value)
    if root.value is None:
        return Reading(None, root.findings)
    located = locate(page.value, root.value, key)
    if located.value is None:
        return Reading(None, located.findings)
    reading = reading_at(page.value, located.value)
    return replace(reading, diagnostics=_in_order((*located.findings, *reading.diagnostics)))


def _texts(value: Value) -> Iterator[Scalar]:
    match value:
        case Scalar():
            yield value
        case Table(entries=entries):
            yield from (text for entry in entries for text in _texts(entry.value))
        case Row(items=items):
            yield from (text for item in items for text in _texts(item))


def _in_order(findings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """As one reads the file."""
    return tuple(sorted(findings, key=lambda finding: (finding.line or 0, finding.column or 0)))
