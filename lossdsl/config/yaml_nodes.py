"""YAML nodes to values, and a dotted key to its node. What the long form has no use for is refused here: tags, merge
keys, keys that are not text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

import yaml

from lossdsl.config.interpolation import template_at
from lossdsl.config.page import Page
from lossdsl.config.scalars import excess, kind_of_plain
from lossdsl.config.values import Entry, Found, Row, Scalar, Table, Unread, Value, shown
from lossdsl.config.yaml_mistakes import Item, items_of
from lossdsl.config.yaml_text import PLAIN, STANDARD, offsets_of
from lossdsl.errors import Diagnostic, Place, Source


def value_of(page: Page, root: yaml.Node, place: Place) -> Found[Value]:
    """The value of a node. place: the place of the finding if it is too large or contains itself."""
    fault = excess(root, _children, lambda node: len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
    if fault:
        return Found(Unread(place), (place.says("LD408", f"this cannot be read: {fault[0]}"),))
    return _value(page, root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        yield from (part for pair in node.value for part in pair)


def _value(page: Page, node: yaml.Node) -> Found[Value]:
    if node.tag not in (PLAIN, STANDARD):
        place = _start(page, node)
        return Found(Unread(place), (place.says("LD408", f"the tag {_tag(node)} is not supported", "remove the tag"),))
    if isinstance(node, yaml.MappingNode):
        start = node.start_mark.index
        template = template_at(page, start, node.end_mark.index) if page.text.startswith("{{", start) else None
        return Found(Unread(_start(page, node)), (template,)) if template else _table(page, node)
    if isinstance(node, yaml.SequenceNode):
        return _row(page, node)
    assert isinstance(node, yaml.ScalarNode)
    return Found(_scalar(page, node))


def _scalar(page: Page, node: yaml.ScalarNode) -> Scalar:
    start, end = node.start_mark.index, node.end_mark.index
    style = None if node.tag == PLAIN else node.style
    source = Source(node.value, page.file, "", page.text, offsets_of(node.value, page.text, start, end, style))
    return Scalar(kind_of_plain(node.value) if node.tag == PLAIN else "text", source)


def _row(page: Page, node: yaml.SequenceNode) -> Found[Value]:
    items = [_value(page, item) for item in node.value]
    findings = tuple(finding for item in items for finding in item.findings)
    return Found(Row(tuple(item.value for item in items), _start(page, node)), findings)


def _table(page: Page, node: yaml.MappingNode) -> Found[Value]:
    entries: dict[str, Entry] = {}
    firsts: dict[str, yaml.Node] = {}
    findings: list[Diagnostic] = []
    for item in items_of(node):
        name = item.key.value
        fault = _fault(page, item.key)
        if fault is None and name in firsts:
            fault = repeated(page, firsts[name], item.key)
        if fault:
            findings.append(fault)
            continue
        firsts[name] = item.key
        value = _item_value(page, item)
        entries[name] = Entry(name, _whole(page, item.key), value.value, _refusal(page, item.key))
        findings.extend(value.findings)
    return Found(Table(tuple(entries.values()), _start(page, node)), tuple(findings))


def _fault(page: Page, key: yaml.Node) -> Diagnostic | None:
    """The finding for an invalid key, or None."""
    place = _whole(page, key) if isinstance(key, yaml.ScalarNode) else _start(page, key)
    if key.tag not in (PLAIN, STANDARD):
        return place.says("LD408", f"the tag {_tag(key)} is not supported", "remove the tag")
    if not isinstance(key, yaml.ScalarNode):
        return place.says("LD405", "a key must be a string, not a list or a mapping")
    if key.tag == PLAIN and key.value == "<<":
        return place.says("LD408", "merge keys (<<) are not supported", "write out the keys")
    return None


def _refusal(page: Page, key: yaml.Node) -> Diagnostic | None:
    """The finding for a key that is not a name, or None."""
    kind = kind_of_plain(key.value) if key.tag == PLAIN else "text"
    if kind != "text":
        message = f"the key {shown(key.value)} must be a string; YAML reads it as a {kind}"
        return _whole(page, key).says("LD405", message)
    return None


def _item_value(page: Page, item: Item) -> Found[Value]:
    if item.end is None:
        return _value(page, item.value)
    start, comma = item.value.start_mark.index, item.value.end_mark.index
    text = page.text[start : item.end]
    source = Source(text, page.file, "", page.text, tuple(range(start, item.end + 1)))
    hint = f'quote the formula: {item.key.value}: "{" ".join(text.split())}"'
    finding = page.at(comma).says("LD405", "in YAML, a comma inside { } ends the value; here it splits a formula", hint)
    return Found(Scalar("text", source), (finding,))


def _tag(node: yaml.Node) -> str:
    return shown(node.tag.replace("tag:yaml.org,2002:", "!!"))


def _whole(page: Page, node: yaml.Node) -> Place:
    return page.at(node.start_mark.index, node.end_mark.index)


def _start(page: Page, node: yaml.Node) -> Place:
    return page.at(node.start_mark.index)


_MERGE = "<<"
_MOST_KEYS = 1_000
_MOST_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Located:
    """A node, the dotted key that leads to it and the place of that key's last part."""

    node: yaml.Node
    key: str
    place: Place


def locate(page: Page, root: yaml.Node, key: str) -> Found[Located | None]:
    """Follow a dotted key; an empty key means the whole document."""
    here = Located(root, "", page.at(0))
    findings: tuple[Diagnostic, ...] = ()
    for part in key.split(".") if key else ():
        matches = [pair for pair in _pairs(here.node) if pair[0].value == part]
        if not matches:
            return Found(None, (*findings, _missing(page, root, here, part, key)))
        findings += tuple(repeated(page, first=matches[0][0], second=again) for again, _ in matches[1:])
        name, node = matches[0]
        here = Located(node, f"{here.key}.{part}".lstrip("."), page.at(name.start_mark.index, name.end_mark.index))
    return Found(here, findings)


def repeated(page: Page, first: yaml.Node, second: yaml.Node) -> Diagnostic:
    """The finding for a duplicate key in one mapping."""
    line = page.line_of(first.start_mark.index)
    message = f"the key {shown(second.value)} is given twice; the first is in line {line}"
    return page.at(second.start_mark.index, second.end_mark.index).says("LD403", message, "remove one of them")


def _pairs(node: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [(key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]


def _missing(page: Page, root: yaml.Node, here: Located, part: str, key: str) -> Diagnostic:
    place = here.place if here.key else page.whole
    holder = f"`{here.key}`" if here.key else "the file"
    if isinstance(here.node, yaml.MappingNode):
        message = f"there is no key `{part}` in {holder}"
    else:
        message = f"{holder} is not a mapping, so there is no key `{part}` in it"
    return place.says("LD404", message, _advice(root, here, part, key))


def _advice(root: yaml.Node, here: Located, part: str, key: str) -> str | None:
    names = [name.value for name, _ in _pairs(here.node)]
    if _MERGE in names:
        return "merge keys (<<) are not supported; write the key itself"
    near = get_close_matches(part, names, n=1)
    if near:
        return f"did you mean `{f'{here.key}.{near[0]}'.lstrip('.')}`?"
    paths = list(islice(_paths(root), _MOST_KEYS))
    last = key.rpartition(".")[2]
    ends = get_close_matches(last, {path.rpartition(".")[2] for path in paths}, n=1)
    close = [path for path in paths if path.rpartition(".")[2] in ends] or get_close_matches(key, paths, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"the keys are {', '.join(names[:10])}" if names else "for example loss: 0.5*bce + 0.5*dice"


def _paths(root: yaml.Node) -> Iterator[str]:
    """Dotted keys of the file, top level first. Aliases can make them endless, so take a limited number."""
    level = [("", root)]
    for _ in range(_MOST_LEVELS):
        below = ((f"{path}.{key.value}".lstrip("."), node) for path, at in level for key, node in _pairs(at))
        level = list(islice(below, _MOST_KEYS))
        yield from (path for path, _ in level)
