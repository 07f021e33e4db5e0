"""Build the tree: the parser calls one method per grammar rule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lark import Token, Transformer

from lossdsl.errors import Diagnostic, Edit, Span
from lossdsl.syntax import tree
from lossdsl.tasks import TASKS


class Misplaced(Exception):
    """Text that fits the grammar but is not allowed. It carries the diagnostic."""

    def __init__(
        self, message: str, span: Span, hint: str | None = None, code: str = "LD101", edit: Edit | None = None
    ):
        super().__init__(message)
        self.diagnostic = Diagnostic(code, message, span=span, hint=hint, edit=edit)


class Padded(Exception):
    """A number with leading zeros, such as 010."""

    def __init__(self, span: Span):
        super().__init__()
        self.span = span


def span_of(item: Any) -> Span:
    if isinstance(item, Token):
        return Span(item.start_pos or 0, item.end_pos or 0)
    span: Span = item.span
    return span


def _across(items: list[Any]) -> Span:
    return span_of(items[0]).to(span_of(items[-1]))


class TreeBuilder(Transformer[Token, Any]):
    """One method per grammar rule; each gets the tokens and nodes of the rule."""

    def program(self, items: list[Any]) -> tree.Program:
        return tree.Program(tuple(items[:-1]), items[-1], _across(items))

    def binding(self, items: list[Any]) -> tree.Binding:
        name, value = items
        _refuse_dots(name)
        return tree.Binding(str(name), value, span_of(name))

    def library(self, items: list[Any]) -> tuple[tree.Declaration, ...]:
        return tuple(items)

    def declaration(self, items: list[Any]) -> tree.Declaration:
        keyword, name, *rest = items
        _refuse_dots(name)
        parameters = [item for item in rest if isinstance(item, tree.ParameterSyntax)]
        cases = [item for item in rest if isinstance(item, tree.Case)]
        _refuse_repeats([(item.name, item.span) for item in parameters])
        _refuse_repeats([(f"for {task}", item.span) for item in cases for task in item.tasks])
        _refuse_repeats([("=", item.span) for item in cases if not item.tasks])
        _refuse_repeats([(item.name, item.span) for item in rest if isinstance(item, tree.Binding)])
        return tree.Declaration(
            name=str(name),
            parameters=tuple(parameters),
            range=next(item for item in rest if isinstance(item, tree.Range)),
            bindings=tuple(item for item in rest if isinstance(item, tree.Binding)),
            cases=tuple(cases),
            span=span_of(keyword).to(span_of(items[-1])),
        )

    def case(self, items: list[Any]) -> tree.Case:
        *head, expression = items
        tasks = head[1:]
        for task in tasks:
            if str(task) not in TASKS:
                raise Misplaced(f"`{task}` is not a task", span_of(task), f"tasks: {', '.join(TASKS)}")
        return tree.Case(tuple(str(task) for task in tasks), expression, _across(items))

    def parameter(self, items: list[Any]) -> tree.ParameterSyntax:
        name, *rest = items
        allowed = [item for item in rest if isinstance(item, (Token, tuple, tree.Range))]
        default = next((item for item in rest if item not in allowed), None)
        _refuse_dots(name)
        lists = 0
        while isinstance(allowed[0], tuple):
            lists, allowed[0] = lists + 1, allowed[0][0]
        interval = allowed[0] if isinstance(allowed[0], tree.Range) else None
        words = [str(item) for item in allowed if isinstance(item, Token)]
        decides_task = "task" in words
        if decides_task:
            words[words.index("task") : words.index("task") + 1] = TASKS
        return tree.ParameterSyntax(str(name), interval, tuple(words), default, lists, decides_task, span_of(name))

    def several(self, items: list[Any]) -> tuple[Any]:
        return (items[1],)

    def interval(self, items: list[Any]) -> tree.Range:
        opening, low, high, closing = items
        interval = tree.Range(low, high, opening == "(", closing == ")", _across([opening, closing]))
        if not (low < high or low in interval):
            raise Misplaced("the range is empty", interval.span, "write the lower end first: [0, 1]")
        return interval

    def whole(self, items: list[Any]) -> tree.Range:
        word, interval = items
        assert isinstance(interval, tree.Range)
        return replace(interval, whole=True, span=span_of(word).to(interval.span))

    def bound(self, items: list[Any]) -> float:
        sign = -1.0 if items[0] == "-" else 1.0
        token = items[-1]
        if token.type == "NAME" and token != "inf":
            raise Misplaced(f"`{token}` is not a number", span_of(token), "the ends of a range are numbers or inf")
        return sign * (math.inf if token == "inf" else _value(token))

    def sum(self, items: list[Any]) -> tree.Expression:
        return self._chain(tree.Sum, "+", items)

    def product(self, items: list[Any]) -> tree.Expression:
        return self._chain(tree.Product, "*", items)

    def _chain(self, kind: type[tree.Sum] | type[tree.Product], first: str, items: list[Any]) -> tree.Expression:
        if len(items) == 1:
            expression: tree.Expression = items[0]
            return expression
        operators = [first, *(str(token) for token in items[1::2])]
        starts = [items[0], *items[1::2]]
        parts = tuple(
            tree.Part(operator, operand, span_of(start).to(span_of(operand)))
            for operator, start, operand in zip(operators, starts, items[::2], strict=True)
        )
        return kind(parts, _across(items))

    def negative(self, items: list[Any]) -> tree.Expression:
        return tree.Negative(items[1], _across(items))

    def positive(self, items: list[Any]) -> tree.Expression:
        return _placed(items[1], _across(items))

    def power(self, items: list[Any]) -> tree.Expression:
        base, _, exponent = items
        return tree.Power(base, exponent, _across(items))

    def number(self, items: list[Any]) -> tree.Number:
        (token,) = items
        return tree.Number(_value(token), span_of(token))

    def name(self, items: list[Any]) -> tree.Name:
        return tree.Name(str(items[0]), span_of(items[0]))

    def group(self, items: list[Any]) -> tree.Expression:
        # The brackets leave no node, but they belong to the place.
        return _placed(items[1], _across(items))

    def call(self, items: list[Any]) -> tree.Call:
        name, _, *arguments, closing = items
        keywords = tuple(item for item in arguments if isinstance(item, tree.Keyword))
        positional = tuple(item for item in arguments if not isinstance(item, tree.Keyword))
        _check_arguments(str(name), arguments)
        function = tree.Name(str(name), span_of(name))
        return tree.Call(function, positional, keywords, span_of(name).to(span_of(closing)))

    def keyword(self, items: list[Any]) -> tree.Keyword:
        name, value = items
        _refuse_dots(name)
        return tree.Keyword(str(name), value, span_of(name).to(span_of(value)))

    def quoted(self, items: list[Any]) -> tree.Keyword:
        name, word = items
        return self.keyword([name, tree.Name(word[1:-1], span_of(word))])

    def comparison(self, items: list[Any]) -> tree.Comparison:
        left, operator, right = items
        return tree.Comparison(str(operator), left, right, span_of(left).to(span_of(right)))

    def listing(self, items: list[Any]) -> tree.Listing:
        return tree.Listing(tuple(items[1:-1]), _across([items[0], items[-1]]))


def _placed(expression: tree.Expression, span: Span) -> tree.Expression:
    return replace(expression, span=span)


def _refuse_dots(name: Token) -> None:
    if "." in name:
        hint = "write the name without the part before the dot"
        raise Misplaced(f"`{name}` cannot be defined: a name with a dot belongs to a plugin", span_of(name), hint)


def _refuse_repeats(found: Sequence[tuple[str, Span]]) -> None:
    seen: set[str] = set()
    for word, span in found:
        if word in seen:
            raise Misplaced(f"`{word}` is given twice", span, "remove one of the two", code="LD105")
        seen.add(word)


def _value(token: Token) -> float:
    if re.match(r"0_*[0-9]", token):
        raise Padded(span_of(token))
    value = float(token.replace("_", ""))
    if math.isinf(value):
        raise Misplaced(f"`{_short(token)}` is too large a number", span_of(token))
    if value == 0 and re.match(r"[0_.]*[1-9]", token):
        raise Misplaced(f"`{_short(token)}` is too small a number: it would be 0", span_of(token))
    return value


def _short(text: str, width: int = 32) -> str:
    return text if len(text) <= width else f"{text[:width]}..."


def _check_arguments(function: str, arguments: list[Any]) -> None:
    seen: set[str] = set()
    for index, argument in enumerate(arguments):
        if isinstance(argument, tree.Keyword):
            if argument.name in seen:
                raise Misplaced(
                    f"`{argument.name}` is given twice", argument.span, "remove one of the two", code="LD105"
                )
            seen.add(argument.name)
        elif function == "where" and isinstance(arguments[0], tree.Keyword):
            raise _no_comparison(arguments[0])
        elif seen:
            hint = "write tensors first, then name=value"
            if isinstance(argument, tree.Number):
                hint = "write a parameter as name=value, and a decimal number with a point: 0.5"
            raise Misplaced("a tensor cannot follow a parameter", argument.span, hint)
        if isinstance(argument, tree.Comparison) and (function != "where" or index > 0):
            hint = "write where(condition, value_if_true, value_if_false)"
            raise Misplaced("a comparison is only allowed as the first argument of where", argument.span, hint, "LD104")


def _no_comparison(keyword: tree.Keyword) -> Misplaced:
    """`where(y = 1, a, b)`. With no more than a space on each side of the sign, nothing else is between the two."""
    name_end = keyword.span.start + len(keyword.name)
    between = Span(name_end, keyword.value.span.start)
    edit = Edit(between, " == ", "safe") if between.end - between.start <= len(" = ") else None
    return Misplaced("`=` sets a parameter and does not compare", keyword.span, "to compare, write ==", "LD104", edit)
