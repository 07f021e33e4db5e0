"""The named parts of the long form: `define:`, `terms:` and `tensors:`, and the formulas in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from lossdsl.config.model import NamedExpression, Passed, Sourced, Spec, TermSpec
from lossdsl.config.options import unknown_keys
from lossdsl.config.scalars import finite_number
from lossdsl.config.values import Entry, Found, Row, Scalar, Table, Unread, Value, described, is_null, named, shown
from lossdsl.config.yaml_mistakes import swallowed_lines, with_advice
from lossdsl.errors import Diagnostic, FormulaError, Place, Source, Span
from lossdsl.syntax import tree
from lossdsl.syntax.parse import MAX_NAME, parse, parse_range

_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.]+)?", re.ASCII)


def parsed(source: Source) -> Found[tree.Program | None]:
    """The program in a text, or what is wrong with it."""
    swallowed = swallowed_lines(source)
    if swallowed:
        return Found(None, swallowed)
    try:
        return Found(parse(source))
    except FormulaError as error:
        return Found(None, tuple(with_advice(finding) for finding in error.diagnostics))


def read_program(value: Value, place: Place, what: str) -> Found[tree.Program | None]:
    """A complete formula: definitions and an expression. place: the place of the finding if it is empty."""
    if isinstance(value, Unread):
        return Found(None)
    if not isinstance(value, Scalar) or value.kind in ("null", "bool"):
        where = place if isinstance(value, Scalar) and not value.text else value.place
        return Found(None, (where.says("LD405", f"{what} must be a formula, got {described(value)}"),))
    if value.kind == "number" and finite_number(value.text) is None:
        return Found(None, (value.place.says("LD405", f"{what} must be finite, got {shown(value.text)}"),))
    if _DATE.fullmatch(value.text.strip()):
        message = f"{what} must be a formula, got the date {shown(value.text)}"
        return Found(None, (value.place.says("LD405", message, "write a difference with spaces: 5 - 3"),))
    return parsed(value.source)


def read_expression(value: Value, place: Place, what: str) -> Found[Sourced | None]:
    """A single expression, as in define, terms, weight and total."""
    program = read_program(value, place, what)
    if program.value is None or not isinstance(value, Scalar):
        return Found(None, program.findings)
    findings = tuple(
        Place(value.source, binding.span).says(
            "LD405", f"{what} must be one expression; `{binding.name}` cannot be defined in it", "move it to `define:`"
        )
        for binding in program.value.bindings
    )
    read = None if findings else Sourced(program.value.expression, value.source)
    return Found(read, (*program.findings, *findings))


def bindings_of(program: tree.Program, source: Source) -> tuple[NamedExpression, ...]:
    return tuple(
        NamedExpression(binding.name, Sourced(binding.value, source), Place(source, binding.span))
        for binding in program.bindings
    )


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
        from lossdsl.config.foreign_configs import foreign_finding  # a right term needs none of it

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


_EXAMPLE = 'for example tensors: [edge, depth], or tensors: {depth: "(0, inf)"}'
_RANGE = 'a range of its values, as in depth: "(0, inf)", or null'


def read_tensors(entry: Entry | None) -> Found[tuple[Passed, ...] | None]:
    """None if the key is missing or invalid: then any name can be a tensor."""
    if entry is None or is_null(entry.value) or isinstance(entry.value, Unread):
        return Found(None)
    if isinstance(entry.value, Table):
        return _with_ranges(entry.value)
    if not isinstance(entry.value, Row):
        message = f"tensors must be a list of names or a mapping, got {described(entry.value)}"
        return Found(None, (entry.value.place.says("LD405", message, _EXAMPLE),))
    faults = tuple(fault for item in entry.value.items if (fault := _fault(item)))
    names = tuple(Passed(item.text, item.place) for item in entry.value.items if isinstance(item, Scalar))
    return Found(None, faults) if faults or len(names) < len(entry.value.items) else Found(names)


def _fault(item: Value) -> Diagnostic | None:
    if isinstance(item, Unread):
        return None
    if isinstance(item, Scalar) and item.kind == "text":
        return name_fault(item.text, item.place)
    return item.place.says("LD405", f"tensors must be a list of names, got {described(item)}", _EXAMPLE)


def _with_ranges(table: Table) -> Found[tuple[Passed, ...] | None]:
    """A mapping of names to the ranges of their values."""
    found = named(table)
    faults = [*found.findings]
    passed = []
    for entry in found.value.entries:
        fault = name_fault(entry.name, entry.place)
        interval = None
        if not fault and not is_null(entry.value) and not isinstance(entry.value, Unread):
            interval = parse_range(entry.value.text) if isinstance(entry.value, Scalar) else None
            fault = None if interval else _no_range(entry)
        faults += [fault] if fault else []
        passed.append(Passed(entry.name, entry.place, interval))
    read = not faults and not any(isinstance(entry.value, Unread) for entry in found.value.entries)
    return Found(tuple(passed) if read else None, tuple(faults))


def _no_range(entry: Entry) -> Diagnostic:
    hint = _RANGE
    if isinstance(entry.value, Row) and len(entry.value.items) == 2:
        ends = [item.text for item in entry.value.items if isinstance(item, Scalar)]
        hint = f'quote the range: {entry.name}: "[{", ".join(ends)}]"'
    message = f"{shown(entry.name)} must be {_RANGE.split(',')[0]}, got {described(entry.value)}"
    return entry.value.place.says("LD405", message, hint)


def prune(spec: Spec, lost_definitions: frozenset[str], lost_terms: frozenset[str]) -> Spec:
    """The spec without the expressions that use lost names, directly or indirectly.

    Only `total` can use terms; every expression can use definitions.
    """
    lost = _closure(spec, lost_definitions)
    terms = tuple(term for term in spec.terms if not (_mentions(term.value, lost) or _mentions(term.weight, lost)))
    kept = {term.name for term in terms}
    unknown = lost | lost_terms | {term.name for term in spec.terms if term.name not in kept}
    return replace(
        spec,
        definitions=tuple(item for item in spec.definitions if item.name not in lost),
        terms=terms,
        total=None if spec.total and _mentions(spec.total, unknown) else spec.total,
    )


def _closure(spec: Spec, lost: frozenset[str]) -> frozenset[str]:
    """The lost definitions and all definitions that need one of them."""
    while True:
        more = {item.name for item in spec.definitions if item.name not in lost and _mentions(item.value, lost)}
        if not more:
            return lost
        lost = lost | more


def _mentions(value: Sourced, names: frozenset[str]) -> bool:
    return bool(names) and any(
        isinstance(node, tree.Name) and node.text in names for node, _ in tree.walk(value.expression)
    )
