"""Convert YAML nodes to values. Tags, merge keys and keys that are not strings are refused here."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from lossdsl.errors import Diagnostic, Place, Source
from lossdsl.spec.cut import Item, items_of
from lossdsl.spec.interpolation import template_at
from lossdsl.spec.limits import excess
from lossdsl.spec.loader import PLAIN, STANDARD
from lossdsl.spec.locate import repeated
from lossdsl.spec.offsets import offsets_of
from lossdsl.spec.page import Page
from lossdsl.spec.scalars import kind_of_plain
from lossdsl.spec.values import Entry, Found, Row, Scalar, Table, Unread, Value, shown


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
