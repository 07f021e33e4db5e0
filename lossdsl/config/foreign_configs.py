"""Configs of other frameworks: they are recognised, and one finding shows the formula to write instead.

`KINDS` lists how each kind is recognised, its message, and the calls that it makes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lossdsl.config.interpolation import CODE
from lossdsl.config.options import OPTIONS
from lossdsl.config.translate import Call, Translation, known, multiplied, number, speaks_of_a_loss, summed, translated
from lossdsl.config.values import Entry, Row, Scalar, Table, Value, is_null
from lossdsl.errors import Diagnostic, Place

_EXAMPLE = "write a formula: 0.5*bce + 0.5*dice"
_PATH = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_OWN = frozenset({"expr", "terms", "define", "total"})
_HYDRA = frozenset({"_target_", "_convert_", "_recursive_", "_partial_"})
_BUNDLE = frozenset({"_requires_", "_disabled_", "_desc_", "_mode_"})
_ARGUMENTS = ("args", "params", "kwargs", "config")
_NAMES = ("types", "losses", "loss_type", "loss_types", "names")
_COEFFICIENTS = ("coef", "coefs", "loss_weight", "loss_weights", "weights", "weight")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A config of another framework. place: the key that shows which one."""

    place: Place
    translation: Translation


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of config. message: what it is. recognise: returns None for any other value.

    stay: how to use a formula with that framework.
    """

    name: str
    message: str
    recognise: Callable[[Value], Recognised | None]
    stay: str = ""


def foreign_finding(value: Value) -> Diagnostic | None:
    """The finding for a config of another framework; None for any other value."""
    if not isinstance(value, (Table, Row)):
        return None
    for kind in KINDS:
        found = kind.recognise(value)
        if found:
            hint = _hint(found.translation)
            return found.place.says(CODE, kind.message, f"{hint}; {kind.stay}" if kind.stay else hint)
    return None


def _hint(found: Translation) -> str:
    if not found.formula:
        return found.why or _EXAMPLE
    options = "".join(f", {name}: {text}" for name, text in found.options)
    text = f'{{expr: "{found.formula}"{options}}}' if options else found.formula
    said = f"write `{text}`" if found.exact else f"the nearest is `{text}`; its smoothing and averaging may differ"
    names = ", ".join(f"`{name}`" for name in found.left_out)
    return f"{said}; {names} {'is' if len(found.left_out) == 1 else 'are'} omitted" if names else said


def _entries(value: Value) -> Mapping[str, Entry]:
    return {entry.name: entry for entry in value.entries} if isinstance(value, Table) else {}


def _word(entry: Entry | None) -> str:
    """The class path that is the value of a key; empty for anything else."""
    value = entry.value if entry else None
    return value.text if isinstance(value, Scalar) and value.kind == "text" and _PATH.fullmatch(value.text) else ""


def _without(entries: Mapping[str, Entry], names: frozenset[str]) -> tuple[Entry, ...]:
    return tuple(entry for name, entry in entries.items() if name not in names)


def _hydra(value: Value) -> Call | None:
    entries = _entries(value)
    name = _word(entries.get("_target_"))
    # A name without a module is that of a MONAI bundle, whose parser knows where its classes are.
    space = "" if "." in name else "monai"
    return Call(name, _without(entries, _HYDRA | _BUNDLE), space) if name else None


def _lightning(value: Value) -> Call | None:
    entries = _entries(value)
    name = _word(entries.get("class_path"))
    arguments = [_entries(entries[key].value) for key in ("init_args", "dict_kwargs") if key in entries]
    return Call(name, tuple(entry for table in arguments for entry in table.values())) if name else None


def _keras(value: Value) -> Call | None:
    entries = _entries(value)
    name = _word(entries.get("class_name"))
    inner = _entries(entries["config"].value) if "config" in entries else {}
    return Call(name, _without(inner, frozenset({"name", "dtype"})), "keras") if name else None


def _typed(value: Value) -> Call | None:
    entries = _entries(value)
    name = _word(entries.get("type"))
    return _with_inner(name, _without(entries, frozenset({"type"}))) if name and not _OWN & {*entries} else None


def _named(value: Value) -> Call | None:
    entries = _entries(value)
    name = _word(entries.get("name"))
    is_loss = known(name) or name.lower().endswith("loss")
    return _with_inner(name, _without(entries, frozenset({"name"}))) if is_loss and not _OWN & {*entries} else None


def _with_inner(name: str, entries: tuple[Entry, ...]) -> Call:
    """The call with the arguments that are below `args` or a similar key."""
    inner = [item for e in entries if e.name in _ARGUMENTS for item in _entries(e.value).values()]
    return Call(name, (*(entry for entry in entries if entry.name not in _ARGUMENTS), *inner))


_Reader = Callable[[Value], Call | None]


def _calls(read: _Reader, key: str) -> Callable[[Value], Recognised | None]:
    """Recognises one call, a list of calls, and a mapping of names to calls."""

    def recognise(value: Value) -> Recognised | None:
        one = read(value)
        if one:
            return Recognised(_entries(value)[key].place, translated([one]))
        values = value.items if isinstance(value, Row) else [entry.value for entry in _entries(value).values()]
        calls = [read(item) for item in values]
        if not calls or not all(calls) or _OWN & {*_entries(value)}:
            return None
        return Recognised(_entries(values[0])[key].place, translated([call for call in calls if call]))

    return recognise


def _one_of(value: Value) -> Call | None:
    """A call in any of the forms, or a name alone."""
    if isinstance(value, Scalar):
        return Call(value.text, own=True) if value.kind == "text" and _PATH.fullmatch(value.text) else None
    return next((call for read in (_hydra, _lightning, _keras, _typed, _named) if (call := read(value))), None)


def _parallel(value: Value) -> Recognised | None:
    """`{losses: [...], coef: [...]}`: a list of losses and a list of weights."""
    entries = _entries(value)
    lists, weights = (
        [entries[name] for name in names if name in entries and _is_full(entries[name].value)]
        for names in (_NAMES, _COEFFICIENTS)
    )
    if len(lists) != 1 or len(weights) != 1 or _OWN & {*entries}:
        return None
    (losses,), (numbers,) = lists, weights
    return Recognised(losses.place, _paired(losses, numbers))


def _is_full(value: Value) -> bool:
    return isinstance(value, Row) and bool(value.items)


def _paired(losses: Entry, numbers: Entry) -> Translation:
    assert isinstance(losses.value, Row)
    assert isinstance(numbers.value, Row)
    items, factors = losses.value.items, [number(item) for item in numbers.value.items]
    if not all(factors):
        return Translation()
    mixed = [_parallel(item) for item in items]
    whole = [m.translation if m else _sum([_one_of(item)]) for m, item in zip(mixed, items, strict=True)]
    if any(not each.formula for each in whole):
        return next(each for each in whole if not each.formula)
    first = whole[0]
    if losses.name == "types" and len(factors) > 1 and all(each == first for each in whole):
        # PaddleSeg has a weight for each output of the network there.
        weights = ", ".join(factor for factor in factors if factor)
        return Translation(f"multiscale({first.formula}, weights=[{weights}])", first.exact, first.options)
    if len(factors) != len(whole):
        return Translation()
    pairs = zip(factors, whole, strict=True)
    return summed([replace(each, formula=multiplied(factor or "", each.formula)) for factor, each in pairs])


def _sum(calls: list[Call | None]) -> Translation:
    return translated([call for call in calls if call]) if all(calls) else Translation()


def _weights(value: Value) -> Recognised | None:
    """`{bce: 0.5, dice: 0.5}`, also as a list of such mappings."""
    tables = [value] if isinstance(value, Table) else list(value.items) if isinstance(value, Row) else []
    entries = [entry for table in tables for entry in _entries(table).values()]
    losses = [entry for entry in entries if entry.name not in OPTIONS]
    if not all(isinstance(table, Table) for table in tables) or not losses or _OWN & {e.name for e in entries}:
        return None
    if not all(_factor(e.value) or isinstance(e.value, Table) for e in losses) or not any(
        known(e.name) for e in losses
    ):
        return None
    calls = [_weighted(entry) for entry in losses]
    return Recognised(losses[0].place, translated(calls, [e for e in entries if e.name in OPTIONS]))


def _weighted(entry: Entry) -> Call:
    if isinstance(entry.value, Table):
        return Call(entry.name, tuple(_entries(entry.value).values()), own=True)
    return Call(entry.name, weight=_factor(entry.value), own=True)


def _factor(value: Value) -> str:
    """A weight as a factor: a number, also as a string, or a formula without a loss, such as a schedule."""
    if not isinstance(value, Scalar) or value.kind != "text":
        return number(value) or ""
    text = "" if speaks_of_a_loss(value.text) else multiplied("1", value.text)
    return text if _is_factor(text) else f"({text})"


def _terms(value: Value) -> Recognised | None:
    """`{expr: bce, weight: 0.5}` instead of a loss: alone, in a list, or below names without `terms:`."""
    entries = _entries(value)
    if "expr" in entries and "weight" in entries and not {"terms", "total"} & {*entries}:
        others = [entry for name, entry in entries.items() if name in OPTIONS]
        return Recognised(entries["weight"].place, _of_terms([value], others))
    rows = value.items if isinstance(value, Row) else [e.value for e in entries.values() if e.name not in OPTIONS]
    if not rows or not all("expr" in _entries(row) for row in rows) or _OWN & {*entries}:
        return None
    others = [entry for name, entry in entries.items() if name in OPTIONS]
    return Recognised(_entries(rows[0])["expr"].place, _of_terms(rows, others))


def _of_terms(rows: list[Value] | tuple[Value, ...], options: list[Entry]) -> Translation:
    parts = []
    for row in rows:
        entries = _entries(row)
        formula, weight = entries["expr"].value, entries["weight"].value if "weight" in entries else None
        if not isinstance(formula, Scalar) or not (weight is None or isinstance(weight, Scalar)):
            return Translation()
        factor = "" if weight is None or is_null(weight) else number(weight) or multiplied("1", weight.text)
        if not factor and weight is not None and not is_null(weight):
            return Translation()
        parts.append(Translation(multiplied(factor if _is_factor(factor) else f"({factor})", formula.text)))
    return summed(parts, options) if all(part.formula for part in parts) else Translation()


def _is_factor(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.]*(?:\([^()]*\))?", text))


def _names(value: Value) -> Recognised | None:
    """`[bce, 0.5*dice]`. A list of one may be a formula that begins with a minus."""
    if not isinstance(value, Row) or len(value.items) < 2:
        return None
    texts = [item.text for item in value.items if isinstance(item, Scalar) and item.kind == "text"]
    named = [translated([Call(text, own=True)]) if known(text) else Translation(text) for text in texts]
    if len(texts) < len(value.items) or not all(known(text) or speaks_of_a_loss(text) for text in texts):
        return None
    return Recognised(value.place, summed(named))


KINDS = (
    Kind("Hydra", "`_target_` names a class that Hydra or a MONAI bundle imports; lossdsl expects a formula",
         _calls(_hydra, "_target_"), "with Hydra, use `_target_: lossdsl.compile` with the formula as `source`"),
    Kind("Lightning", "`class_path` names a class that Lightning's jsonargparse imports; lossdsl expects a formula",
         _calls(_lightning, "class_path"),
         "with Lightning, use `class_path: lossdsl.compile` with the formula as `source`"),
    Kind("Keras", "`class_name` names a Keras class; lossdsl expects a formula", _calls(_keras, "class_name")),
    Kind("term", "`expr` and `weight` belong to a term: write terms below `terms:`, or one formula", _terms),
    Kind("parallel lists", "a list of losses with a list of weights; lossdsl expects a formula", _parallel),
    Kind("registry", "`type` names a class in a registry, as in mmsegmentation; lossdsl expects a formula",
         _calls(_typed, "type")),
    Kind("names", "`name` names a class of another library; lossdsl expects a formula", _calls(_named, "name")),
    Kind("weights", "a mapping of names to weights is not a loss; lossdsl expects a formula", _weights),
    Kind("list", "a list of losses is not supported; lossdsl expects a formula", _names),
)  # fmt: skip
