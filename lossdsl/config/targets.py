"""Losses that Hydra or Lightning creates: `_target_: lossdsl.compile` and `class_path: lossdsl.compile`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from lossdsl.config.interpolation import interpolated
from lossdsl.config.options import OPTIONS, unknown_keys
from lossdsl.config.page import Page
from lossdsl.config.values import Entry, Found, Row, Scalar, Table, named
from lossdsl.config.yaml_nodes import Located

COMPILE, LOAD = "lossdsl.compile", "lossdsl.load"
_FIRST = {COMPILE: ("source",), LOAD: ("path", "key")}
_KEYS = ("_target_", "class_path")
_OF_HYDRA = ("_convert_", "_recursive_", "_partial_", "_args_")
_OF_LIGHTNING = ("init_args", "dict_kwargs")


@dataclass(frozen=True, slots=True)
class Target:
    """A call of lossdsl as a config writes it. entry: the key that names the function."""

    function: str
    entry: Entry
    arguments: Table

    def argument(self, name: str) -> Entry | None:
        return next((entry for entry in self.arguments.entries if entry.name == name), None)

    @property
    def options(self) -> dict[str, Entry]:
        """The given options, without those that are filled in at run time."""
        return {e.name: e for e in self.arguments.entries if e.name in OPTIONS and not interpolated(e.value)}


def target_of(table: Table) -> Found[Target | None]:
    """The call of lossdsl that a mapping describes, and the findings for its keys."""
    entries = {entry.name: entry for entry in table.entries}
    for key in _KEYS:
        value = entries[key].value if key in entries else None
        if isinstance(value, Scalar) and value.text in _FIRST:
            return _hydra(table, value.text) if key == "_target_" else _lightning(table, value.text)
    return Found(None)


def _hydra(table: Table, function: str) -> Found[Target | None]:
    clean = named(table)
    entries = {entry.name: entry for entry in clean.value.entries}
    given = entries["_args_"].value if "_args_" in entries else None
    places = zip(_FIRST[function], given.items if isinstance(given, Row) else (), strict=False)
    positional = tuple(Entry(name, entries["_args_"].place, value) for name, value in places)
    keywords = tuple(e for name, e in entries.items() if name not in ("_target_", *_OF_HYDRA))
    arguments = Table((*positional, *keywords), table.place)
    unknown = unknown_keys(arguments, (*_FIRST[function], *OPTIONS))
    return Found(Target(function, entries["_target_"], arguments), (*clean.findings, *unknown))


def _lightning(table: Table, function: str) -> Found[Target | None]:
    clean = named(table)
    entries = {entry.name: entry for entry in clean.value.entries}
    inner = [entries[key].value for key in _OF_LIGHTNING if key in entries]
    arguments = Table(tuple(e for part in inner if isinstance(part, Table) for e in part.entries), table.place)
    unknown = unknown_keys(clean.value, ("class_path", *_OF_LIGHTNING))
    unknown += unknown_keys(arguments, (*_FIRST[function], *OPTIONS))
    return Found(Target(function, entries["class_path"], arguments), (*clean.findings, *unknown))


def targets(page: Page, root: yaml.Node) -> tuple[Located, ...]:
    """The calls of lossdsl in a file, each once, even with several aliases."""
    return tuple(_walk(page, root)) if "lossdsl." in page.text else ()


def _walk(page: Page, root: yaml.Node) -> Iterator[Located]:
    stack, seen = [Located(root, "", page.at(0))], set()
    while stack:
        here = stack.pop()
        if id(here.node) in seen:
            continue
        seen.add(id(here.node))
        if _is_target(here.node):
            yield here
        elif isinstance(here.node, yaml.SequenceNode):
            stack += [
                Located(item, f"{here.key}[{index}]", page.at(item.start_mark.index))
                for index, item in enumerate(here.node.value)
            ][::-1]
        elif isinstance(here.node, yaml.MappingNode):
            stack += [
                Located(value, f"{here.key}.{key.value}".lstrip("."), page.at(key.start_mark.index, key.end_mark.index))
                for key, value in here.node.value
                if isinstance(key, yaml.ScalarNode)
            ][::-1]


def _is_target(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and any(
        isinstance(key, yaml.ScalarNode) and key.value in _KEYS and value.value in (COMPILE, LOAD)
        for key, value in node.value
        if isinstance(value, yaml.ScalarNode)
    )
