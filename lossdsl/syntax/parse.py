"""Text to tree. Lark's LALR parser calls the builder bottom-up, so no input is deep enough to overflow the stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from lark import Lark, Token, UnexpectedInput
from lark.lark import PostLex

from lossdsl.errors import Diagnostic, FormulaError, Place, Source, Span
from lossdsl.stack import with_room
from lossdsl.syntax import tree
from lossdsl.syntax.build import Misplaced, Padded, TreeBuilder


def grammar_text() -> str:
    """The grammar, which is inside the package in a wheel, and next to it in a checkout or editable install."""
    packed = files("lossdsl") / "_grammar" / "loss.lark"
    if packed.is_file():
        return packed.read_text(encoding="ascii")
    return (Path(__file__).parents[2] / "grammar" / "loss.lark").read_text(encoding="ascii")


_COMMENT = re.compile(r"#[^\n]*")
_OPENING = {"LPAR", "LSQB"}
_CLOSING = {"RPAR", "RSQB"}
_WANTS_MORE = {"PLUS", "MINUS", "STAR", "SLASH", "POWER", "COMMA", "EQUAL", "COMPARE", "VBAR", "COLON"}


class Layout(PostLex):
    """Drops newlines that are white space. A `;` is never dropped: in a wrong place it is a syntax error."""

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth, previous = 0, ""
        for token in stream:
            if token.type in _OPENING:
                depth += 1
            elif token.type in _CLOSING:
                depth -= 1
            unwanted = depth > 0 or previous in _WANTS_MORE
            if token.type == "_NEWLINE" and unwanted and ";" not in _COMMENT.sub("", token):
                continue
            previous = token.type
            yield token


MAX_LENGTH = 65_536
MAX_DEPTH = 64
MAX_NODES = 20_000
MAX_NAME = 64
MAX_NUMBER = 2.0**128 - 2.0**103
"""From here on a number is infinite in float32, in which losses of half and single precision are computed."""
MIN_NUMBER = 2.0**-150
"""Down to here a number is 0 in float32."""


def check_length(source: Source) -> None:
    if len(source.text) > MAX_LENGTH:
        message = f"the text has {len(source.text):,} characters; the limit is {MAX_LENGTH:,}"
        raise FormulaError([Place(source, Span(MAX_LENGTH, MAX_LENGTH + 1)).says("LD110", message)])


def check_size(source: Source, result: tree.Program | tuple[tree.Declaration, ...]) -> None:
    """Depth, number of nodes and length of names, found without recursion."""
    roots = result if isinstance(result, tuple) else (result,)
    for count, (node, depth) in enumerate(pair for root in roots for pair in tree.walk(root)):
        fault, hint = _fault(node, depth, count)
        if fault:
            raise FormulaError([Place(source, node.span).says("LD110", fault, hint)])


def _fault(node: tree.Node, depth: int, count: int) -> tuple[str, str | None]:
    if depth > MAX_DEPTH:
        return f"the formula is nested more than {MAX_DEPTH} levels deep", "give the inner parts names: inner = ..."
    if count >= MAX_NODES:
        return f"the formula has more than {MAX_NODES:,} parts", None
    name = node.text if isinstance(node, tree.Name) else getattr(node, "name", "")
    if len(name) > MAX_NAME:
        return f"the name `{name[:16]}...` has {len(name)} characters; the limit is {MAX_NAME}", None
    return "", None


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
        from lossdsl.syntax.syntax_errors import explain_failure  # a right formula needs none of it

        raise FormulaError([explain_failure(source, start, failure)]) from None
    except Padded as number:
        from lossdsl.syntax.syntax_errors import explain_zeros

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
