"""Newlines end a statement, except inside brackets and after an operator, where they are white space."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lark import Token
from lark.lark import PostLex

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
