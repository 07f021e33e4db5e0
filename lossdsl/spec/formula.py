"""Values to expressions: the formula inside a scalar."""

from __future__ import annotations

import re

from lossdsl.errors import FormulaError, Place, Source
from lossdsl.spec.advice import swallowed_lines, with_advice
from lossdsl.spec.model import NamedExpression, Sourced
from lossdsl.spec.scalars import finite_number
from lossdsl.spec.values import Found, Scalar, Unread, Value, described, shown
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse

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
