"""Messages, help and pages are plain English: words that readers stumbled over do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossdsl
from lossdsl.cli.shell import main

PACKAGE = Path(lossdsl.__file__).parent
RIDDLES = re.compile(
    r"\b(mends?|mended|swallows?|in vain|(?<!there )is no (?!longer|such)[a-z]+|goes (?:before|with)|exclude each other"
    r"|stands? (?:only|where|as)|closes nothing|is text, got|must be text|one of them is enough)\b"
)


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of a module, without its docstrings; of an f-string the parts between the braces."""
    nodes = [node for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list)]
    first = [node.body[0] for node in nodes if node.body]
    documentation = {id(line.value) for line in first if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages(path: Path) -> None:
    found = [text for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if RIDDLES.search(text)]
    assert not found


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli" / "codes").glob("*.md")), ids=lambda path: path.stem)
def test_pages_of_codes(path: Path) -> None:
    assert not RIDDLES.search(" ".join(path.read_text(encoding="utf-8").split()))


@pytest.mark.parametrize("name", main.commands)
def test_help(name: str) -> None:
    command = main.commands[name]
    described = [command.help, command.short_help, *(getattr(option, "help", "") for option in command.params)]
    assert not [text for text in described if RIDDLES.search(" ".join((text or "").split()))]


def test_hints_for_names_of_other_libraries() -> None:
    assert not RIDDLES.search((PACKAGE / "words" / "table.tsv").read_text(encoding="utf-8"))


def test_a_riddle_is_found() -> None:
    module = ast.parse('"""Mend it."""\nsay(f"mend {what}", "a list is no value")\n')
    assert [text for text in texts(module) if RIDDLES.search(text)] == ["a list is no value", "mend "]
