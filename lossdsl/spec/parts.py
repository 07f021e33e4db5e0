"""The named parts of the long form: `define:` and `terms:`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from lossdsl.errors import Diagnostic, Place, Span
from lossdsl.spec.formula import read_expression
from lossdsl.spec.keys import unknown_keys
from lossdsl.spec.model import NamedExpression, Sourced, TermSpec
from lossdsl.spec.values import Entry, Found, Row, Table, Unread, described, is_null, named, shown
from lossdsl.syntax import tree
from lossdsl.syntax.limits import MAX_NAME

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TERM_KEYS = ("expr", "weight")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """The parts that could be read, and the names of those that could not."""

    items: tuple[T, ...] = ()
    lost: frozenset[str] = frozenset()


def read_definitions(entry: Entry | None) -> Found[Named[NamedExpression]]:
    return _read(entry, "define must map names to expressions", _definition)


def read_terms(entry: Entry | None) -> Found[Named[TermSpec]]:
    return _read(entry, "terms must map names to terms", _term)


def _read(entry: Entry | None, rule: str, read: Callable[[Entry], Found[T | None]]) -> Found[Named[T]]:
    if entry is None or is_null(entry.value) or isinstance(entry.value, Unread):
        return Found(Named())
    if not isinstance(entry.value, Table):
        place = entry.place if isinstance(entry.value, Row) else entry.value.place
        hint = f"for example {entry.name}: {{region: dice}}"
        return Found(Named(), (place.says("LD405", f"{rule}, got {described(entry.value)}", hint),))
    table = named(entry.value)
    found = [(part, _named(part, read)) for part in table.value.entries]
    items = tuple(one.value for _, one in found if one.value is not None)
    # A name that is no word, such as my-region, is met in other formulas as the words in it.
    lost = frozenset(word for part, one in found if one.value is None for word in _NAME.findall(part.name))
    return Found(Named(items, lost), (*table.findings, *(finding for _, one in found for finding in one.findings)))


def _named(part: Entry, read: Callable[[Entry], Found[T | None]]) -> Found[T | None]:
    refusal = name_fault(part.name, part.place)
    found = read(part)
    return Found(None, (refusal, *found.findings)) if refusal else found


def name_fault(name: str, place: Place) -> Diagnostic | None:
    """The finding for an invalid name of a part, or None."""
    if not _NAME.fullmatch(name):
        hint = "a name starts with a letter or _, followed by letters, digits or _"
        return place.says("LD405", f"{shown(name)} cannot be a name", hint)
    if len(name) > MAX_NAME:
        return place.says("LD405", f"the name {shown(name, 20)} is longer than {MAX_NAME} characters")
    return None


def _definition(part: Entry) -> Found[NamedExpression | None]:
    found = read_expression(part.value, part.place, f"the definition of {shown(part.name)}")
    return Found(NamedExpression(part.name, found.value, part.place) if found.value else None, found.findings)


def _term(part: Entry) -> Found[TermSpec | None]:
    what = f"the term {shown(part.name)}"
    if not isinstance(part.value, Table):
        found = read_expression(part.value, part.place, what)
        whole = TermSpec(part.name, found.value, _one(part), part.place) if found.value else None
        return Found(whole, found.findings)
    if "expr" not in {entry.name for entry in part.value.entries}:
        from lossdsl.spec.foreign import foreign_finding  # a right term needs none of it

        foreign = foreign_finding(part.value)
        if foreign:
            return Found(None, (foreign,))
    table = named(part.value)
    parts = {entry.name: entry for entry in table.value.entries if entry.name in _TERM_KEYS}
    value: Found[Sourced | None] = Found(None, (part.place.says("LD406", f"{what} has no expr", "add expr: ..."),))
    if "expr" in parts:
        value = read_expression(parts["expr"].value, parts["expr"].place, what)
    weight: Found[Sourced | None] = Found(None)
    if "weight" in parts:
        weight = read_expression(parts["weight"].value, parts["weight"].place, f"the weight of {shown(part.name)}")
    term = TermSpec(part.name, value.value, weight.value or _one(part), part.place) if value.value else None
    unknown = unknown_keys(table.value, _TERM_KEYS)
    return Found(term, (*table.findings, *unknown, *value.findings, *weight.findings))


def _one(part: Entry) -> Sourced:
    """The default weight of a term: 1, at the place of the term's name."""
    name = part.place.source
    offsets = (part.place.span.start,) * 2 if part.place.span else ()
    path = f"{name.path}.weight" if name.path else ""
    source = replace(name, text="1", path=path, document=name.text if offsets else None, offsets=offsets)
    return Sourced(tree.Number(1.0, Span(0, 1)), source)
