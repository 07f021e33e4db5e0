"""Losses of this process: defined with `lossdsl.define`, `@lossdsl.loss` or `adapt`, without being installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from lossdsl.errors import Diagnostic, FormulaError, Place, Source
from lossdsl.registry.loss_files import read_documentation
from lossdsl.registry.model import LOCAL, Formula, Loss, Provider
from lossdsl.syntax.parse import parse_library

# By the module that registered it, namespace and name: a cell of a notebook that is run again replaces its own loss,
# two modules never replace each other's.
_Key: TypeAlias = tuple[str, str, str]
_REGISTERED: dict[_Key, Loss] = {}
# What one thread registers for a time, where that is not to become known to the others.
_APART: ContextVar[dict[_Key, Loss] | None] = ContextVar("apart", default=None)


def register(loss: Loss, module: str) -> None:
    """Register a loss in this process."""
    apart = _APART.get()
    (_REGISTERED if apart is None else apart)[module, loss.namespace, loss.name] = loss


def local_losses() -> tuple[Loss, ...]:
    """The registered losses, in an order that does not depend on the order of registration."""
    known = _REGISTERED.copy()  # at once: another thread may register meanwhile
    known |= _APART.get() or {}
    return tuple(known[key] for key in sorted(known))


@contextmanager
def trial(loss: Loss) -> Iterator[None]:
    """Register a loss and check it inside of the context; an error undoes the registration."""
    with apart():
        register(loss, loss.provider.distribution)
        yield
    register(loss, loss.provider.distribution)


@contextmanager
def apart() -> Iterator[None]:
    """Losses that this thread registers inside of the context are only visible to it, and removed at the end."""
    token = _APART.set(dict(_APART.get() or {}))
    try:
        yield
    finally:
        _APART.reset(token)


@contextmanager
def unregistered() -> Iterator[None]:
    """Losses that any thread registers inside of the context are removed at the end."""
    before = _REGISTERED.copy()
    try:
        yield
    finally:
        _REGISTERED.clear()
        _REGISTERED.update(before)


_COMMENT = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*")
_WORD = re.compile(r"\s*loss[ \t]+")
_HEAD = re.compile(r"\s*[A-Za-z_]\w*\s*(\()", re.ASCII)
_RANGE = re.compile(r"\s*->\s*[\[(][^\])]*[\])]")
_BODY = re.compile(r"[ \t]*(?==|for\b)")
_ANYTHING = " -> (-inf, inf)"


def read_definition(text: str) -> Formula:
    """Read `name(parameters) -> range = formula` as a loss of this process.

    The word `loss` before it and comments above it are optional; without a range any value is allowed.
    Raises FormulaError at the place in the text.
    """
    if not isinstance(text, str):
        raise FormulaError([Diagnostic("LD101", f"a definition must be a string, not {type(text).__name__}")])
    source = _completed(text)
    try:
        declaration, *more = parse_library(source)
    except ValueError:
        raise FormulaError([Place(Source(text)).says("LD101", "there is no definition")]) from None
    if more:
        message = "only one definition is allowed"
        raise FormulaError([Place(source, more[0].span).says("LD109", message)])
    documentation = read_documentation(_comment_of(text), declaration, source)
    provider = Provider("lossdsl.define", "", "")
    return Formula(declaration.name, LOCAL, declaration, documentation, provider=provider, source=source)


def _comment_of(text: str) -> str:
    match = _COMMENT.match(text)
    lines = match.group().splitlines() if match else []
    return "\n".join(line.strip() for line in lines)


def _completed(text: str) -> Source:
    """The text with the optional parts added, so that every character keeps its offset."""
    comment = _COMMENT.match(text)
    start = comment.end() if comment else 0
    word = _WORD.match(text, start)
    head = _HEAD.match(text, word.end() if word else start)
    if head is None:
        return Source(text)
    closing = _closing(text, head.start(1))
    declared = _RANGE.match(text, closing)
    after = declared.end() if declared else closing
    body = _BODY.match(text, after)
    pieces = [
        ("" if word else "loss ", head.start()),
        *((text[i], i) for i in range(word.start() if word else head.start(), after)),
        ("" if declared else _ANYTHING, after),
        ("\n    " if body else "", after),
        *((text[i], i) for i in range(body.end() if body else after, len(text))),
    ]
    offsets = [offset for piece, offset in pieces for _ in piece]
    return Source("".join(piece for piece, _ in pieces), document=text, offsets=(*offsets, len(text)))


def _closing(text: str, opening: int) -> int:
    """The offset after the bracket that closes the one at `opening`, or the end of the text."""
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] in "([") - (text[place] in ")]")
        if depth == 0:
            return place + 1
    return len(text)
