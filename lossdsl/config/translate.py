"""Calls that a config of another framework writes as data, as a formula with the names that losses have here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lossdsl import words
from lossdsl.config.options import read_options
from lossdsl.config.scalars import finite_number, whole_number
from lossdsl.config.values import Entry, Row, Scalar, Table, Value, is_null
from lossdsl.errors import LossError
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.registry.model import Loss
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse


def written_here(name: str) -> str | None:
    """The formula for a loss of another library, such as `CrossEntropyLoss`; None if there is none."""
    word = words.word(name.rpartition(".")[2], "loss")
    return word.write or None if word else None


def is_the_same(path: str) -> bool:
    """Whether the loss of this path has the same value as the formula, apart from arguments."""
    word = words.word(path.rpartition(".")[2], "loss")
    return path.partition(".")[0] in ("torch", "nn") and word is not None and word.same


def takes_probabilities(path: str) -> bool:
    return path.rpartition(".")[2] == "BCELoss"


_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WEIGHTS = ("loss_weight", "weight", "coef", "coefficient")
# Arguments that say how a loss is logged or averaged, as it is averaged here anyway.
_WITHOUT_MEANING = {"loss_name": None, "reduction": "mean", "ignore_index": "-100", "name": None, "use_sigmoid": None}


@dataclass(frozen=True, slots=True)
class Call:
    """A loss as other frameworks write it: a name and arguments. space: the namespace of a name without a module.

    own: a name of lossdsl means that loss, not a class with the same name in a registry.
    """

    name: str
    arguments: tuple[Entry, ...] = ()
    space: str = ""
    weight: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Translation:
    """The translation of a call. formula: empty if there is none. why: the reason, or a remark.

    exact: whether the value is the same. options: options of the loss. left_out: arguments that have no
    place in it.
    """

    formula: str = ""
    exact: bool = True
    options: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    why: str = ""


def translated(calls: Sequence[Call], options: Sequence[Entry] = ()) -> Translation:
    """The sum of calls. It has no formula if one of them has none."""
    parts = [_translated(call) for call in calls]
    lost = next((part for part in parts if not part.formula), None)
    if lost or not parts:
        return lost or Translation()
    return summed(parts, options)


def summed(parts: Sequence[Translation], options: Sequence[Entry] = ()) -> Translation:
    """The sum of translations, with the options of all."""
    formula = " + ".join(part.formula for part in parts).replace("+ -", "- ")
    if not _is_formula(formula):
        return Translation()
    right = [entry for entry in options if not read_options({entry.name: entry}).findings]
    beside = [(entry.name, text) for entry in right if (text := written(entry.value)) not in (None, "none")]
    own = [option for part in parts for option in part.options]
    settings = {name: text for name, text in (*beside, *own) if text}
    wrong = [entry.name for entry in options if entry not in right]
    clashing = [name for name, text in (*beside, *own) if settings[name] != text]
    given = tuple((name, text) for name, text in settings.items() if name not in clashing)
    left_out = tuple(dict.fromkeys([*wrong, *clashing, *(name for part in parts for name in part.left_out)]))
    # An option of one part acts on all of them here.
    exact = all(part.exact for part in parts) and not (own and len(parts) > 1)
    return Translation(formula, exact, given, left_out)


def _is_formula(text: str) -> bool:
    """Whether a text is one expression on one line, without a comment that would hide what follows."""
    if "#" in text or "\n" in text:
        return False
    try:
        return not parse(text).bindings
    except LossError:
        return False


def known(name: str) -> bool:
    """Whether a name is the name of a loss in lossdsl or another library."""
    registry = default_registry()
    return bool(registry.candidates(name) or registry.shortened(name) or written_here(name))


def speaks_of_a_loss(text: str) -> bool:
    """Whether a text is a formula that uses a loss."""
    try:
        program = parse(text)
    except LossError:
        return False
    return any(isinstance(node, tree.Name) and known(node.text) for node, _ in tree.walk(program.expression))


def number(value: Value) -> str | None:
    """The text of a finite number."""
    if not isinstance(value, Scalar) or value.kind != "number":
        return None
    found = finite_number(value.text)
    return None if found is None else re.sub(r"e([-+])0", r"e\1", f"{found:.15g}").replace("e+", "e")


def written(value: Value) -> str | None:
    """A value as an argument of a call; None if it cannot be one."""
    match value:
        case Scalar(kind="number"):
            return number(value)
        case Scalar(kind="null"):
            return "none"
        case Scalar(kind="bool"):
            return value.text.lower()
        case Scalar():
            return value.text if _WORD.fullmatch(value.text) else None
        case Row():
            items = [written(item) for item in value.items]
            return f"[{', '.join(item for item in items if item)}]" if all(items) and items else None
        case _:
            return None


def multiplied(weight: str, formula: str) -> str:
    """`0.5*dice`, with brackets around a sum."""
    if weight in ("", "1"):
        return formula
    try:
        program = parse(formula)
    except LossError:
        return ""
    inner = f"({formula})" if program.bindings or isinstance(program.expression, tree.Sum) else formula
    return f"{weight}*{inner}"


def _translated(call: Call) -> Translation:
    found = _loss_of(call)
    if isinstance(found, Translation):
        return found
    formula, loss, exact = found
    weight = call.weight
    given: dict[str, str] = {}
    options: list[tuple[str, str]] = [("input", "probs")] if takes_probabilities(call.name) else []
    left_out: list[str] = []
    for entry in _flat(call.arguments, loss):
        text = written(entry.value)
        if text is not None and entry.name in _taken(loss):
            given[entry.name] = text
        elif entry.name in _WEIGHTS and not weight and (factor := number(entry.value)):
            weight = factor
        elif entry.name in ("ignore_index", "ignore_label") and whole_number(text or "") not in (None, -100):
            options.append(("ignore_index", text or ""))
        elif (
            entry.name in ("weight", "class_weight", "class_weights", "weights")
            and isinstance(entry.value, Row)
            and text
        ):
            options.append(("class_weight", text))
        elif not _is_idle(entry, loss):
            left_out.append(entry.name)
    if given:
        formula += f"({', '.join(f'{name}={text}' for name, text in given.items())})"
    return Translation(multiplied(weight, formula), exact and not left_out, tuple(options), tuple(left_out))


def _loss_of(call: Call) -> tuple[str, Loss | None, bool] | Translation:
    """The translation of a name: the text, the loss if the text is its name, and whether the value is the same."""
    registry = default_registry()
    names = [call.name, *([f"{call.space}.{call.name}"] if call.space else [])]
    for name in [*names, *(short for name in names if (short := registry.shortened(name)))]:
        found = registry.candidates(name)
        if len(found) == 1:
            here = found[0].name if found[0].own else found[0].full_name
            return here, _loaded(name, registry), call.own or not found[0].own
        absence = registry.absence(name) if "." in name else None
        if absence:
            return Translation(why=f"for {name}: {absence.instead}")
        advice = registry.advice(name)
        if advice:
            return Translation(why=f"for `{name}`: {advice}")
    text = _written_for(call)
    if text is None:
        why = f"lossdsl has no `{call.name}`; write its formula, or wrap its function with lossdsl.adapt"
        return Translation(why=why)
    return text, _loaded(text, registry) if _WORD.fullmatch(text) else None, is_the_same(call.name)


def _written_for(call: Call) -> str | None:
    """The formula for a name of another library. In mmsegmentation, CrossEntropyLoss can use a sigmoid."""
    text = written_here(call.name)
    sigmoid = any(entry.name == "use_sigmoid" and written(entry.value) == "true" for entry in call.arguments)
    return "bce" if text == "ce" and sigmoid else text


def _loaded(name: str, registry: Registry) -> Loss | None:
    found = registry.candidates(name)
    try:
        return registry.load(found[0]) if len(found) == 1 else None
    except LossError:
        return None


def _taken(loss: Loss | None) -> frozenset[str]:
    return frozenset(parameter.name for parameter in loss.parameters) if loss else frozenset()


def _flat(entries: Iterable[Entry], loss: Loss | None) -> Iterator[Entry]:
    """The arguments. Those of a mapping such as soft_dice_kwargs are listed separately if the loss takes any."""
    for entry in entries:
        inner = entry.value.entries if isinstance(entry.value, Table) else ()
        yield from inner if {item.name for item in inner} & _taken(loss) else (entry,)


def _is_idle(entry: Entry, loss: Loss | None) -> bool:
    """Whether an argument has no effect in lossdsl."""
    accepted = {word for word, _ in loss.documentation.accepted} if loss else set()
    if entry.name in accepted or is_null(entry.value) or (isinstance(entry.value, Table) and not entry.value.entries):
        return True
    if entry.name not in _WITHOUT_MEANING:
        return False
    only = _WITHOUT_MEANING[entry.name]
    return only is None or written(entry.value) == only
