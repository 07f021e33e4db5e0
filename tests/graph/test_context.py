"""What a graph is built for, as a record and as the tuples that torch.compile lets through."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lossdsl
from lossdsl.graph.context import Context, OwnHead, from_plain, plain

CONTEXTS = [
    Context("binary"),
    Context("multiclass", "probs", indexed=True, mask=("batch", "pixel"), ignoring=True, weighted=True),
    Context("binary", tensors=(("w", ("batch",)),), scales=3, absent=("class",)),
    Context("binary", heads=(OwnHead("a", "b", Context("multiclass", indexed=True)), OwnHead("c", "d", Context("x")))),
]


def parts(value: Any) -> Iterator[Any]:
    yield value
    for part in value if isinstance(value, tuple) else ():
        yield from parts(part)


@pytest.mark.parametrize("context", CONTEXTS)
def test_plain_and_back(context: Context) -> None:
    fields = plain(context)
    assert {type(part) for part in parts(fields)} <= {tuple, str, bool, int, type(None)}
    again = from_plain(fields)
    assert again == context
    assert [type(part) for part in parts(again)] == [type(part) for part in parts(context)]


def test_fields_are_read_by_name() -> None:
    """A field that is added or moved is no other field for anyone."""
    by_place = []
    for path in Path(lossdsl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name("Context"), args=args) if any(isinstance(a, ast.Starred) for a in args):
                    by_place.append(path.name)
                case ast.Subscript(value=ast.Name("context" | "key") | ast.Attribute(attr="context" | "key")):
                    by_place.append(path.name)
    assert by_place == ["context.py"]  # which makes a record of what `plain` made of one
