"""All losses of one file: those under the keys that are named, and those that a comment marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml

from lossdsl.errors import Diagnostic
from lossdsl.spec import nodes
from lossdsl.spec.answers import answers_in, extent
from lossdsl.spec.form import reading_of
from lossdsl.spec.loader import compose
from lossdsl.spec.locate import Located, locate
from lossdsl.spec.marks import marked
from lossdsl.spec.model import Reading
from lossdsl.spec.page import Page
from lossdsl.spec.values import Found

ANY = "*"


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a file in its order, what is wrong with the file as such, and why a key leads nowhere."""

    readings: tuple[Reading, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    missing: Mapping[str, Diagnostic] = field(default_factory=dict)
    is_yaml: bool = True


def losses_of(page: Page, keys: Sequence[str]) -> Losses:
    """Read the losses under dotted keys, in which `*` stands for every key or item, and those marked `# lossdsl`."""
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
    found |= {_start(located): located for located in marks.value}
    readings = tuple(reading_at(page, found[start]) for start in sorted(found))
    return Losses(readings, tuple(dict.fromkeys(findings)), missing)


def reading_at(page: Page, located: Located) -> Reading:
    """The loss at one place of a file."""
    value = nodes.value_of(page, located.node, located.place)
    reading = reading_of(value.value, located.place)
    lines = extent(page.text, _start(located), _end(located.node))
    answers = answers_in(page.whole.source, lines)
    return replace(reading, diagnostics=(*value.findings, *reading.diagnostics), answers=answers)


def _end(node: yaml.Node) -> int:
    """Where the last text in a node ends; what PyYAML calls the end of a block is where the next key begins."""
    last, waiting, seen = node.start_mark.index, [node], set[int]()
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, yaml.MappingNode):
            waiting += [part for pair in here.value for part in pair]
        elif isinstance(here, yaml.SequenceNode):
            waiting += here.value
        if isinstance(here, yaml.ScalarNode) or (isinstance(here, yaml.CollectionNode) and here.flow_style):
            last = max(last, here.end_mark.index)
    return last


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
    return Found((), (page.whole.says("LD404", f"nothing in the file stands under `{key}`"),))


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
