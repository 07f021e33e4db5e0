"""The two YAML forms: a scalar is a formula, a mapping is the long form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lossdsl.config.interpolation import CODE, interpolated, told_once, without_interpolations
from lossdsl.config.model import NamedExpression, Options, Reading, Sourced, Spec
from lossdsl.config.named_parts import (
    bindings_of,
    parsed,
    prune,
    read_definitions,
    read_expression,
    read_program,
    read_tensors,
    read_terms,
)
from lossdsl.config.options import OPTIONS, read_given, read_options, unknown_keys
from lossdsl.config.targets import LOAD, Target, target_of
from lossdsl.config.values import Entry, Found, Scalar, Table, Unread, Value, described, is_null, named
from lossdsl.errors import Diagnostic, Place, Source
from lossdsl.syntax import tree

_KEYS = (*OPTIONS, "tensors", "define", "terms", "total", "expr")
_EXAMPLE = "for example 0.5*bce + 0.5*dice"


def formula_reading(source: Source) -> Reading:
    """Read a formula."""
    return _formula(parsed(source), source)


def reading_of(value: Value, place: Place) -> Reading:
    """Read a loss in either form. place: the place of the finding if there is none."""
    target = target_of(value) if isinstance(value, Table) else Found(None)
    if target.value:
        return _made(target.value, target.findings)
    foreign = _foreign(value)
    if foreign:
        return Reading(None, (foreign,))
    given = without_interpolations(value)
    reading = _own_reading(given.value, place)
    return replace(reading, diagnostics=(*told_once(given.findings), *reading.diagnostics))


def _foreign(value: Value) -> Diagnostic | None:
    if isinstance(value, Scalar):
        return None
    from lossdsl.config.foreign_configs import foreign_finding  # a formula needs none of it

    return foreign_finding(value)


def _made(target: Target, findings: tuple[Diagnostic, ...]) -> Reading:
    """The loss of `_target_: lossdsl.compile`. Options next to its source override those inside of the source."""
    place, source = target.entry.place, target.argument("source")
    if target.function == LOAD:
        hint = "pass its path and key to lossdsl.load or lossdsl check"
        return Reading(None, (*findings, place.says(CODE, "this loss is in another file", hint)))
    options = read_options(target.options)
    findings = (*findings, *options.findings)
    if source is None or is_null(source.value):
        return Reading(None, (*findings, place.says("LD406", "source is missing", "add source: 0.5*bce + 0.5*dice")))
    if interpolated(source.value):
        message = "this loss is not checked: its source is filled in at run time"
        found = source.place.says(CODE, message, "write the formula here, or check the value that is filled in")
        return Reading(None, (*findings, replace(found, severity="warning")))
    reading = reading_of(source.value, source.place)
    return replace(with_options(reading, target.options), diagnostics=(*findings, *reading.diagnostics))


def with_options(reading: Reading, entries: Mapping[str, Entry]) -> Reading:
    """The loss with its options overridden. Problems of the new options are reported elsewhere."""
    spec = reading.spec
    if spec is None:
        return reading
    given = read_given(entries).value
    places = {**spec.places, **{name: entries[name].value.place for name in given}}
    return replace(reading, spec=replace(spec, options=replace(spec.options, **given), places=places))


def _own_reading(value: Value, place: Place) -> Reading:
    match value:
        case Unread():
            return Reading(None, ())
        case Scalar(kind="null"):
            return Reading(None, (place.says("LD406", "the loss is missing", _EXAMPLE),))
        case Scalar():
            return _formula(read_program(value, place, "a loss"), value.source)
        case Table():
            return _long_form(value, place)
        case _:
            message = f"a loss must be a formula or a mapping, got {described(value)}"
            hint = "quote a formula that starts with - or [; write several named terms below `terms:`"
            return Reading(None, (value.place.says("LD405", message, hint),))


def _formula(program: Found[tree.Program | None], source: Source) -> Reading:
    if program.value is None:
        return Reading(None, program.findings)
    total = Sourced(program.value.expression, source)
    return Reading(Spec(bindings_of(program.value, source), (), total, Options()), program.findings)


def _long_form(table: Table, place: Place) -> Reading:
    found = named(table)
    table, refused = found.value, found.findings
    entries = {entry.name: entry for entry in table.entries if entry.name in _KEYS}
    options = read_options(entries)
    tensors = read_tensors(entries.get("tensors"))
    define = read_definitions(entries.get("define"))
    terms = read_terms(entries.get("terms"))
    bindings, total = _totals(entries)
    places = {entry.name: entry.value.place for entry in table.entries if entry.name in OPTIONS}
    named_parts = (*define.value.items, *bindings.value)
    spec = Spec(named_parts, terms.value.items, total.value, options.value, tensors.value, places)
    spec = prune(spec, define.value.lost, terms.value.lost)
    findings = (*refused, *unknown_keys(table, _KEYS), *_shape(entries, place), *options.findings, *tensors.findings)
    findings += (*define.findings, *terms.findings, *bindings.findings, *total.findings)
    return Reading(spec if spec.definitions or spec.terms or spec.total else None, findings)


def _totals(entries: Mapping[str, Entry]) -> tuple[Found[tuple[NamedExpression, ...]], Found[Sourced | None]]:
    """The names that `expr` defines, and the expression of `expr` or `total`. With `terms`, that of `total` counts."""
    nothing: Found[tuple[NamedExpression, ...]] = Found(())
    summed = _given(entries, "total")
    total = read_expression(summed.value, summed.place, "total") if summed else Found(None)
    whole = _given(entries, "expr")
    if whole is None:
        return nothing, total
    program = read_program(whole.value, whole.place, "expr")
    if program.value is None or not isinstance(whole.value, Scalar) or _given(entries, "terms"):
        return nothing, Found(total.value, (*total.findings, *program.findings))
    source = whole.value.source
    findings = (*total.findings, *program.findings)
    return Found(bindings_of(program.value, source)), Found(Sourced(program.value.expression, source), findings)


def _given(entries: Mapping[str, Entry], name: str) -> Entry | None:
    """An entry that exists and is not null; null is the same as a missing entry."""
    entry = entries.get(name)
    return None if entry is None or is_null(entry.value) else entry


def _shape(entries: Mapping[str, Entry], place: Place) -> tuple[Diagnostic, ...]:
    """Exactly one of `terms` and `expr`; `total` only with `terms`."""
    terms, whole, total = (_given(entries, name) for name in ("terms", "expr", "total"))
    if terms and whole:
        message = "a loss has either terms or expr, not both"
        return (whole.place.says("LD405", message, "if the formula uses the terms, move it to `total:`"),)
    if terms and isinstance(terms.value, Table) and not terms.value.entries:
        return (terms.place.says("LD406", "terms is empty", "add a term: region: {expr: dice, weight: 0.5}"),)
    if whole and total:
        return (total.place.says("LD405", "total can be used with terms, not with expr", "remove one of the two"),)
    if total and not (terms or whole):
        return (total.place.says("LD405", "total needs terms, but there are none", "rename total to expr"),)
    if not (terms or whole):
        empty = next((entries[name].place for name in ("terms", "expr") if name in entries), place)
        return (empty.says("LD406", "the loss has neither terms nor expr", "add expr: 0.5*bce + 0.5*dice"),)
    return ()
