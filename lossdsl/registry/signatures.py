"""Check the parameters of a definition or kernel: each default must be an allowed value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lossdsl.errors import Diagnostic, Place, Source, Span
from lossdsl.syntax import tree
from lossdsl.syntax.printing import numbers_allowed
from lossdsl.syntax.tree import ParameterSyntax


def signature_faults(parameters: Iterable[ParameterSyntax], source: Source | None) -> tuple[Diagnostic, ...]:
    """The problems in the signature of a definition, each with its place in the source, if there is one."""

    def fault(code: str, message: str, span: Span, hint: str) -> Diagnostic:
        return Place(source, span).says(code, message, hint) if source else Diagnostic(code, message, hint=hint)

    return tuple(
        fault(code, message, span, f"`{parameter.name}` takes {allowed_values(parameter)}")
        for parameter in parameters
        for code, message, span in _faults(parameter)
    )


def allowed_values(parameter: ParameterSyntax) -> str:
    """`[0, 1] or none`, `image or batch`."""
    return " or ".join([*numbers_allowed(parameter), *parameter.words])


def plain_number(written: tree.Expression) -> float | None:
    """A number with or without a sign."""
    match written:
        case tree.Number(value=number):
            return number
        case tree.Negative(operand=operand):
            positive = plain_number(operand)
            return None if positive is None else -positive
        case tree.Name(text="inf"):
            return float("inf")
    return None


def _faults(parameter: ParameterSyntax) -> Iterator[tuple[str, str, Span]]:
    name, written = parameter.name, parameter.default
    repeated = next((word for word in parameter.words if parameter.words.count(word) > 1), None)
    if repeated:
        yield "LD105", f"`{repeated}` is given twice as a choice of `{name}`", parameter.span
    if written is None or (isinstance(written, tree.Name) and written.text in parameter.words):
        return
    span = written.span if written.span != tree.NOWHERE else parameter.span
    numbers = None if parameter.interval is None else _numbers(written, parameter.lists)
    if numbers is None:
        yield "LD205", f"`{written}` cannot be the default of `{name}`", span
    elif parameter.interval is not None:
        outside = [number for number in numbers if number not in parameter.interval]
        if outside:
            yield "LD204", f"the default of `{name}` is {tree.Number(outside[0])}, outside its range", span


def _numbers(written: tree.Expression, depth: int) -> list[float] | None:
    """The numbers in a list of this depth; a single number is a list of one. None for anything else."""
    if depth == 0 or (depth == 1 and not isinstance(written, tree.Listing)):
        number = plain_number(written)
        return None if number is None else [number]
    if not isinstance(written, tree.Listing) or not written.items:
        return None
    if depth > 1 and not all(isinstance(item, tree.Listing) for item in written.items):
        return None
    inner = [_numbers(item, depth - 1) for item in written.items]
    return None if None in inner else [number for numbers in inner for number in numbers or ()]
