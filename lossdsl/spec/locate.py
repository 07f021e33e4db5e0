"""Find the node of a dotted key, or explain why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

import yaml

from lossdsl.errors import Diagnostic, Place
from lossdsl.spec.page import Page
from lossdsl.spec.values import Found, shown

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
