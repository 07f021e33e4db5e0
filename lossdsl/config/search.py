"""All losses of one file: those under the keys that are named, and those that a comment `# lossdsl` marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from lossdsl.config import yaml_nodes as nodes
from lossdsl.config.allow_comments import answerable, answers_in, extent
from lossdsl.config.interpolation import CODE, interpolated
from lossdsl.config.long_form import reading_of, with_options
from lossdsl.config.model import Reading
from lossdsl.config.options import read_options
from lossdsl.config.page import Page, open_page
from lossdsl.config.targets import LOAD, Target, target_of, targets
from lossdsl.config.values import Found, Scalar, Table
from lossdsl.config.yaml_nodes import Located, locate
from lossdsl.config.yaml_text import compose
from lossdsl.errors import Diagnostic

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


ANY = "*"


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a file in order, the findings of the file itself, and the findings for missing keys."""

    readings: tuple[Reading, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    missing: Mapping[str, Diagnostic] = field(default_factory=dict)
    is_yaml: bool = True


def losses_of(page: Page, keys: Sequence[str]) -> Losses:
    """Read the losses at dotted keys, in which `*` matches every key or item, and those marked `# lossdsl`."""
    root = compose(page)
    if root.value is None:
        return Losses(findings=root.findings, is_yaml=False)
    found: dict[int, Located] = {}
    missing: dict[str, Diagnostic] = {}
    marks = marked(page, root.value)
    findings = marks.findings
    for key in keys:
        at_key = _under(page, root.value, key)
        if at_key.value:
            findings += at_key.findings
        else:
            missing[key] = at_key.findings[-1]
        found |= {_start(located): located for located in at_key.value}
    made = targets(page, root.value)
    found = {start: located for start, located in found.items() if not _holds(located, made)}
    found |= {_start(located): located for located in (*made, *marks.value)}
    readings = tuple(_reading(page, found[start]) for start in sorted(found))
    return Losses(readings, tuple(dict.fromkeys(findings)), missing)


def reading_at(page: Page, located: Located) -> Reading:
    """The loss at one place of a file."""
    value = nodes.value_of(page, located.node, located.place)
    reading = reading_of(value.value, located.place)
    own = extent(page.text, _start(located), _end(located.node))
    answers = answers_in(page.whole.source, own)
    for node in _parts(located.node) if answerable(page.text) else ():  # of an alias, where its anchor is
        if isinstance(node, yaml.ScalarNode) and node.start_mark.index not in own:
            lines = extent(page.text, node.start_mark.index, node.end_mark.index)
            answers += tuple(replace(answer, shared=True) for answer in answers_in(page.whole.source, lines))
    return replace(reading, diagnostics=(*value.findings, *reading.diagnostics), answers=answers)


def _end(node: yaml.Node) -> int:
    """The end of the last text in a node. PyYAML's own end of a block is the start of the next key."""
    return max((part.end_mark.index for part in _parts(node) if _has_end(part)), default=node.start_mark.index)


def _has_end(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) or (isinstance(node, yaml.CollectionNode) and bool(node.flow_style))


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    """A node and all nodes inside of it, each once."""
    waiting, seen = [node], set[int]()
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        if isinstance(here, yaml.MappingNode):
            waiting += [part for pair in here.value for part in pair]
        elif isinstance(here, yaml.SequenceNode):
            waiting += here.value


def _holds(located: Located, made: Sequence[Located]) -> bool:
    """Whether a mapping is not a loss itself but contains calls of lossdsl."""
    node = located.node
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    keys = {key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)}
    inside = any(
        node.start_mark.index < each.node.start_mark.index and each.node.end_mark.index <= node.end_mark.index
        for each in made
    )
    return inside and not keys & {"expr", "terms"}


def _reading(page: Page, located: Located) -> Reading:
    """Like `reading_at`; for `_target_: lossdsl.load` read the loss of the file that it names."""
    value = nodes.value_of(page, located.node, located.place)
    target = target_of(value.value) if isinstance(value.value, Table) else Found(None)
    if target.value is None or target.value.function != LOAD:
        return reading_at(page, located)
    read = _loaded(page, target.value)
    return replace(read, diagnostics=(*value.findings, *target.findings, *read.diagnostics))


def _loaded(page: Page, target: Target) -> Reading:
    path, key = target.argument("path"), target.argument("key")
    options = read_options(target.options).findings
    if path is None or not isinstance(path.value, Scalar):
        return Reading(None, (*options, target.entry.place.says("LD406", "path is missing", "add path: loss.yaml")))
    if interpolated(path.value) or (key and interpolated(key.value)):
        message = "this loss is not checked: its path is filled in at run time"
        found = path.place.says(CODE, message, "check the file that is filled in")
        return Reading(None, (*options, replace(found, severity="warning")))
    name = path.value.text
    beside = Path(page.file).parent / name
    other = open_page(beside if beside.exists() and not Path(name).exists() else name)
    where = key.value.text if key and isinstance(key.value, Scalar) else "loss"
    if other.value is None:
        return Reading(None, (*options, *(path.value.place.says(f.code, f.message, f.hint) for f in other.findings)))
    root = compose(other.value)
    located = locate(other.value, root.value, where) if root.value else None
    if located is None or located.value is None:
        return Reading(None, (*options, *root.findings, *(located.findings if located else ())))
    reading = with_options(reading_at(other.value, located.value), target.options)
    return replace(reading, diagnostics=(*options, *located.findings, *reading.diagnostics))


def _start(located: Located) -> int:
    return located.place.span.start if located.place.span else 0


def _under(page: Page, root: yaml.Node, key: str) -> Found[tuple[Located, ...]]:
    if ANY not in key.split("."):
        one = locate(page, root, key)
        return Found((one.value,) if one.value else (), one.findings)
    level = {id(root): Located(root, "", page.at(0))}
    for part in key.split("."):
        level = {id(below.node): below for above in level.values() for below in _below(page, above, part)}
    if level:
        return Found(tuple(level.values()))
    return Found((), (page.whole.says("LD404", f"the file has nothing under `{key}`"),))


def _below(page: Page, above: Located, part: str) -> Iterator[Located]:
    node = above.node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and part in (ANY, key.value):
                place = page.at(key.start_mark.index, key.end_mark.index)
                yield Located(value, f"{above.key}.{key.value}".lstrip("."), place)
    elif isinstance(node, yaml.SequenceNode) and part == ANY:
        for index, item in enumerate(node.value):
            yield Located(item, f"{above.key}[{index}]", page.at(item.start_mark.index))
