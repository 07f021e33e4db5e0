"""Parse text to a tree. Lark's LALR parser builds it bottom-up, so deep input cannot overflow the stack."""

from __future__ import annotations

from functools import lru_cache

from lark import Lark, UnexpectedInput

from lossdsl.errors import Diagnostic, FormulaError, Source
from lossdsl.stack import with_room
from lossdsl.syntax import tree
from lossdsl.syntax.build import Misplaced, Padded, TreeBuilder
from lossdsl.syntax.layout import Layout
from lossdsl.syntax.limits import check_length, check_size
from lossdsl.syntax.resources import grammar_text


@with_room
def parse(text: str | Source) -> tree.Program:
    """Parse a formula: any number of lines `name = expression`, then one expression.

    Args:
        text: the formula.

    Returns:
        The syntax tree. `str(tree)` is its canonical text.

    Raises:
        FormulaError: the text is not a formula. The finding has the place and a hint.

    >>> import lossdsl
    >>> print(lossdsl.parse("0.5*bce+dice( smooth = 1 )"))
    0.5*bce + dice(smooth=1)
    """
    if not isinstance(text, (str, Source)):
        raise FormulaError([Diagnostic("LD101", f"a formula must be a string, not {type(text).__name__}")])
    source = text if isinstance(text, Source) else Source(text)
    program = _parse(source, "program")
    assert isinstance(program, tree.Program)
    return program


def parse_library(text: str | Source) -> tuple[tree.Declaration, ...]:
    """Parse the definitions of a .loss file."""
    source = text if isinstance(text, Source) else Source(text)
    declarations = _parse(source, "library")
    assert isinstance(declarations, tuple)
    return declarations


def parse_range(text: str) -> tree.Range | None:
    """Parse a range such as `(0, 1]`; None if the text is not a range."""
    try:
        (declaration,) = parse_library(f"loss range() -> {text}\n    = 0\n")
    except (FormulaError, ValueError):
        return None
    return declaration.range if "\n" not in text else None


def _parse(source: Source, start: str) -> tree.Program | tuple[tree.Declaration, ...]:
    check_length(source)
    parser = _parser()
    text = _with_final_newline(source.text) if start == "library" else source.text
    try:
        result: tree.Program | tuple[tree.Declaration, ...] = parser.parse(text, start=start)  # type: ignore[assignment]
    except UnexpectedInput as failure:
        from lossdsl.syntax.explain import explain_failure  # a right formula needs none of it

        raise FormulaError([explain_failure(source, start, failure)]) from None
    except Padded as number:
        from lossdsl.syntax.explain import explain_zeros

        raise FormulaError([explain_zeros(source, number.span)]) from None
    except Misplaced as fault:
        raise FormulaError([fault.diagnostic.at(source)]) from None
    check_size(source, result)
    return result


def _with_final_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(
        grammar_text(),
        parser="lalr",
        start=["program", "library"],
        maybe_placeholders=False,
        postlex=Layout(),
        transformer=TreeBuilder(),
    )
