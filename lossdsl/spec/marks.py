"""Keys that a comment `# lossdsl` marks: at the end of the key's line, or alone on the line above it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from lossdsl.errors import Diagnostic
from lossdsl.spec.locate import Located
from lossdsl.spec.page import Page
from lossdsl.spec.values import Found

_MARK = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*lossdsl[ \t]*\r?$", re.MULTILINE)
_COMMENT = re.compile(r"[ \t]*#")
_ALONE = re.compile(r"[ \t]*\Z")


def has_mark(text: str) -> bool:
    return _MARK.search(text) is not None


def marked(page: Page, root: yaml.Node) -> Found[tuple[Located, ...]]:
    """The first key of each line that a mark belongs to, in the file's order. A mark without a key is a finding."""
    marks = list(_MARK.finditer(page.text))
    if not marks:
        return Found(())
    keys: dict[int, Located] = {}
    texts: list[range] = []
    for found in _walk(page, root):
        if isinstance(found, range):
            texts.append(found)
        else:
            keys.setdefault(page.line_of(found.place.span.start if found.place.span else 0), found)
    losses, findings = [], []
    for mark in marks:
        if any(mark.start() in text for text in texts):
            continue
        key = keys.get(_line(page, mark))
        if key:
            losses.append(key)
        else:
            findings.append(_stray(page, mark))
    return Found(tuple(losses), tuple(findings))


def _line(page: Page, mark: re.Match[str]) -> int:
    """The line whose key a mark belongs to."""
    start = page.text.rfind("\n", 0, mark.start()) + 1
    line = page.line_of(mark.start())
    if not _ALONE.match(page.text[start : mark.start()]):
        return line
    below = page.text.find("\n", mark.end()) + 1
    while below and _COMMENT.match(page.text, below):
        line, below = line + 1, page.text.find("\n", below) + 1
    return line + 1


def _stray(page: Page, mark: re.Match[str]) -> Diagnostic:
    hint = "write it at the end of the line with the key, or on a line of its own above"
    return page.at(mark.start(), mark.end()).says("LD404", "the comment `# lossdsl` does not mark a key", hint)


def _walk(page: Page, root: yaml.Node) -> Iterator[Located | range]:
    """Keys and texts, each once however many aliases lead to it."""
    stack, seen = [(root, "")], set()
    while stack:
        node, path = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield _text(page, node)
        elif isinstance(node, yaml.SequenceNode):
            stack += [(item, f"{path}[{index}]") for index, item in enumerate(node.value)][::-1]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{path}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else path
                yield Located(value, name, page.at(key.start_mark.index, key.end_mark.index))
            stack += [(value, f"{path}.{key.value}".lstrip(".")) for key, value in node.value][::-1]


def _text(page: Page, node: yaml.ScalarNode) -> range:
    """The offsets of a scalar. The first line of a block scalar is not part of its text."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        first_line = page.text.find("\n", start, end)
        start = end if first_line < 0 else first_line
    return range(start, end)
