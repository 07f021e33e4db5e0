"""The parameters of a loss as they are written in a call: names, words, ranges and lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from lossdsl import words
from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    Local,
    NumberList,
    Numbers,
    ParameterOf,
    PerClass,
    Resolved,
    Word,
    every,
)
from lossdsl.checking.vocabulary import REDUCTION_WORDS, WORDS, as_word
from lossdsl.errors import Diagnostic, Place, Source, Span, nearest, respelt
from lossdsl.registry.model import Loss, Parameter, allowed_values, plain_number
from lossdsl.syntax import tree
from lossdsl.syntax.printing import shown


def needed(bindings: Mapping[str, Resolved], roots: Iterable[Resolved]) -> tuple[str, ...]:
    """The names that the roots use, each after the names that it uses. Raises CycleError for a circular definition."""
    graph: dict[str, set[str]] = {}
    waiting = [name for root in roots for name in _locals(root, bindings)]
    while waiting:
        name = waiting.pop()
        if name not in graph:
            graph[name] = _locals(bindings[name], bindings)
            waiting.extend(graph[name])
    return tuple(TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).static_order())


def cycle(bindings: Mapping[str, Resolved]) -> tuple[str, ...]:
    """The names of a circular definition, empty if there is none."""
    try:
        needed(bindings, bindings.values())
    except CycleError as error:
        found: list[str] = error.args[1]
        return tuple(reversed(found))
    return ()


def cycle_faults(bindings: Mapping[str, Resolved]) -> Iterator[Diagnostic]:
    """The finding for a circular definition."""
    names = cycle(bindings)
    if names:
        hint = "define one of them without using the others"
        if len(set(names)) == 1:
            hint = f"a definition cannot refer to itself; give the value of `{names[0]}` another name"
        yield bindings[names[0]].origin.says("LD210", f"circular definition: {' -> '.join(names)}", hint)


def _locals(value: Resolved, bindings: Mapping[str, Resolved]) -> set[str]:
    return {node.name for node in every([value]) if isinstance(node, Local) and node.name in bindings}


_NO_SOURCE = Source("")
Number = Callable[[tree.Expression], float | None]


def written_list(parameter: Parameter, written: tree.Expression, number: Number, origin: Place) -> Numbers | None:
    """The list, None if it does not have the right depth. A single number is a list of one."""
    items: tree.Expression = written
    if parameter.lists == 1 and not isinstance(written, tree.Listing):
        items = tree.Listing((written,), written.span)
    values = _values(items, parameter.lists, number)
    return None if values is None else Numbers(values, origin)


def default_list(parameter: Parameter) -> NumberList:
    """The list that is the default in a signature."""
    assert parameter.default is not None
    found = written_list(parameter, parameter.default, plain_number, Place(_NO_SOURCE, parameter.span))
    assert found is not None, f"default of {parameter.name}"
    return found.values


def flat(values: NumberList) -> tuple[float, ...]:
    """All numbers of a list of any depth."""
    return tuple(number for value in values for number in (flat(value) if isinstance(value, tuple) else (value,)))


def flat_items(written: tree.Expression) -> tuple[tree.Expression, ...]:
    """The items of a list of any depth; an expression that is not a list is its own item."""
    if not isinstance(written, tree.Listing):
        return (written,)
    return tuple(item for inner in written.items for item in flat_items(inner))


def _values(written: tree.Expression, depth: int, number: Number) -> NumberList | None:
    if not isinstance(written, tree.Listing) or not written.items:
        return None
    read = [number(item) if depth == 1 else _values(item, depth - 1, number) for item in written.items]
    values = tuple(value for value in read if value is not None)
    return values if len(values) == len(read) else None


_REDUCTION = Parameter("reduction", None, REDUCTION_WORDS, tree.Name("mean"))

Evaluate: TypeAlias = Callable[[tree.Expression, frozenset[str]], Resolved]
Bound: TypeAlias = tuple[tuple[tuple[str, Resolved], ...], Resolved | None, list[Diagnostic]]


def bind_parameters(loss: Loss, call: tree.Call, evaluate: Evaluate, source: Source) -> Bound:
    """The parameters of a call and its `reduction`; problems are reported."""
    known = {parameter.name: parameter for parameter in loss.parameters}
    bound: list[tuple[str, Resolved]] = []
    reduction: Resolved | None = None
    faults = _missing(loss, call, Place(source, call.span))
    around = frozenset(word for keyword in call.keywords for word in _words(keyword))
    for keyword in call.keywords:
        origin = Place(source, keyword.span)
        refused = _refused(loss, keyword, around, origin)
        if refused:
            faults.append(refused)
        elif keyword.name == "reduction":
            reduction = evaluate(keyword.value, frozenset(REDUCTION_WORDS))
            faults += _word_faults(_REDUCTION, reduction, Place(source, keyword.value.span))
        elif keyword.name not in known:
            faults.append(_unknown(loss, keyword.name, known, origin))
        else:
            parameter = known[keyword.name]
            place = Place(source, keyword.value.span)
            value = _value(parameter, keyword.value, evaluate, place)
            if value is None:
                message = f"`{keyword.name}` takes {allowed_values(parameter)}, not `{keyword.value}`"
                faults.append(place.says("LD205", message, default_hint(parameter)))
                continue
            faults += _value_faults(loss, parameter, value, keyword.value, source)
            bound.append((keyword.name, value))
    return tuple(bound), reduction, faults


def _missing(loss: Loss, call: tree.Call, origin: Place) -> list[Diagnostic]:
    """Required parameters that are missing in the call."""
    written = {keyword.name for keyword in call.keywords}
    missing = [p for p in loss.parameters if p.default is None and p.name not in written]
    return [
        origin.says("LD202", f"`{loss.name}` needs `{p.name}`", f"`{p.name}` takes {allowed_values(p)}")
        for p in missing
    ]


def _value(parameter: Parameter, written: tree.Expression, evaluate: Evaluate, place: Place) -> Resolved | None:
    """The value of a parameter, None if it is not allowed."""
    if isinstance(written, tree.Listing) and parameter.interval is None:
        return None
    if parameter.interval and not parameter.lists and (infinite := infinity(written)) is not None:
        return Constant(infinite, place)
    if not parameter.words and isinstance(written, tree.Name) and (written.text in WORDS or as_word(written.text)):
        return None
    if parameter.lists and not isinstance(written, tree.Name):
        return written_list(parameter, written, lambda item: _number(item, evaluate), place)
    return evaluate(written, frozenset(parameter.words))


def _number(item: tree.Expression, evaluate: Evaluate) -> float | None:
    """The number of an item of a list, None if it is not constant."""
    infinite = infinity(item)
    return constant_value(evaluate(item, frozenset())) if infinite is None else infinite


def infinity(written: tree.Expression) -> float | None:
    """`inf` or `-inf`, which is only a number as a parameter, in a range and in a comparison."""
    if isinstance(written, tree.Negative):
        positive = infinity(written.operand)
        return None if positive is None else -positive
    return math.inf if isinstance(written, tree.Name) and written.text == "inf" else None


def _refused(loss: Loss, keyword: tree.Keyword, around: frozenset[str], origin: Place) -> Diagnostic | None:
    """What the definition refuses with a reason: a parameter, one of its values as in `reduction=sum`, any list as in
    `alpha=list`, or such a word beside others of the same call, as in `sigmoid=true and softmax=true`.

    around: the words of all keywords of the call."""
    for refused, instead in loss.documentation.refused:
        word, *others = refused.split(" and ")
        if word in _words(keyword) and around.issuperset(others):
            return origin.says("LD203", f"`{loss.name}` does not take `{refused}`", instead)
    return None


def _words(keyword: tree.Keyword) -> tuple[str, ...]:
    """The forms in which a refusal can name a keyword."""
    kind = f"{keyword.name}=list" if isinstance(keyword.value, tree.Listing) else ""
    return (keyword.name, f"{keyword.name}={keyword.value}", kind)


def _unknown(loss: Loss, name: str, known: dict[str, Parameter], origin: Place) -> Diagnostic:
    names = ", ".join((*known, "reduction"))
    word = words.word(name, "parameter")
    hint = f"{word.hint};" if word else nearest(name, (*known, "reduction"))
    suggestion = f"{hint} parameters: {names}" if hint else f"parameters: {names}"
    edit = respelt(origin.source, name_of_keyword(origin.extent, name), name, (*known, "reduction"), "parameter")
    return origin.says("LD203", f"`{loss.name}` has no parameter `{name}`", suggestion, edit)


def name_of_keyword(span: Span, name: str) -> Span:
    """The span of the name in `name=value`."""
    return Span(span.start, span.start + len(name))


def _value_faults(
    loss: Loss, parameter: Parameter, value: Resolved, written: tree.Expression, source: Source
) -> list[Diagnostic]:
    if isinstance(value, ParameterOf):
        return []
    if parameter.interval is None or isinstance(value, Word):
        return _word_faults(parameter, value, Place(source, written.span))
    return [
        out_of_range(loss, parameter, number, Place(source, span))
        for number, span in _constants(value, written)
        if number is not None and number not in parameter.interval
    ]


def _constants(value: Resolved, written: tree.Expression) -> list[tuple[float | None, Span]]:
    """The numbers in a value with their places, None for a number that is not constant."""
    if isinstance(value, Numbers):
        spans = [item.span for item in flat_items(written)]
        return list(zip(flat(value.values), spans, strict=True))
    if isinstance(value, PerClass):
        return [(constant_value(item), item.origin.extent) for item in value.items]
    return [(constant_value(value), written.span)]


def out_of_range(loss: Loss, parameter: Parameter, number: float, origin: Place) -> Diagnostic:
    message = f"`{parameter.name}` of `{loss.name}` is {shown(number)}, outside {allowed_values(parameter)}"
    if parameter.interval and parameter.interval.whole and not number.is_integer():
        message = f"`{parameter.name}` of `{loss.name}` must be a whole number, not {shown(number)}"
    return origin.says("LD204", message, default_hint(parameter))


def default_hint(parameter: Parameter) -> str | None:
    return f"the default is {parameter.default}" if parameter.default else None


def _word_faults(parameter: Parameter, value: Resolved, origin: Place) -> list[Diagnostic]:
    if isinstance(value, ParameterOf) or (isinstance(value, Word) and value.text in parameter.words):
        return []
    word = words.word(value.text, "choice") if isinstance(value, Word) else None
    hint = nearest(value.text, parameter.words) if isinstance(value, Word) else None
    if word and word.write_has(parameter.name):
        hint = word.hint
    message = f"`{parameter.name}` takes {allowed_values(parameter)}"
    edit = (
        respelt(origin.source, origin.extent, value.text, parameter.words, "choice")
        if isinstance(value, Word)
        else None
    )
    return [origin.says("LD205", message, hint or default_hint(parameter), edit)]


def constant_value(value: Resolved) -> float | None:
    """The value of a constant expression, None if it is not constant."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Chain):
        result = constant_value(value.first)
        for function, operand in value.rest:
            result = _folded(function, result, constant_value(operand))
        return result
    if isinstance(value, Apply):
        return _folded(value.function, *(constant_value(argument) for argument in value.arguments))
    return None


def _folded(function: str, *numbers: float | None) -> float | None:
    if function not in _CONSTANT or any(number is None for number in numbers):
        return None
    try:
        return float(_CONSTANT[function](*numbers))
    except (ZeroDivisionError, OverflowError, TypeError):
        return None


_CONSTANT: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "negative": lambda a: -a,
}
