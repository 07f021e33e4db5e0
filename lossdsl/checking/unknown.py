"""The finding for an unknown name: hints for common names first, then for names of libraries and plugins."""

from __future__ import annotations

from collections.abc import Set

from lossdsl import words
from lossdsl.checking.elsewhere import written_elsewhere
from lossdsl.checking.foreign import answer
from lossdsl.errors import Diagnostic, Edit, Place, Source, respelt
from lossdsl.registry.candidates import Candidate
from lossdsl.registry.discover import Registry, clash
from lossdsl.syntax import tree


def unknown_name(
    source: Source,
    node: tree.Name,
    call: tree.Call | None,
    kind: str,
    hint: str,
    known: Set[str],
    values: Set[str],
    registry: Registry,
) -> Diagnostic:
    """kind: what was looked up. hint: the default hint. known: the names that are allowed there.
    values: the names that have a value, which some languages write a method behind."""
    name, place = node.text, Place(source, node.span)

    def unknown(way_out: str, edit: Edit | None = None) -> Diagnostic:
        return place.says("LD201", f"unknown {kind} `{name}`", way_out, edit)

    in_table = words.word(name, *words.NAMES) is not None
    # A path names a library, which knows best; a short name means the same with and without plugins.
    told_elsewhere = None if in_table and "." not in name else written_elsewhere(name, kind, registry, known)
    if told_elsewhere:
        return place.says("LD201", *told_elsewhere)
    advice = None if in_table else registry.advice(name)
    if advice:
        return unknown(advice)
    namesakes = registry.namesakes(name)
    told = answer(source, node, call, namesakes, known | values)
    if told and len(namesakes) > 1:
        return several(source, node, namesakes, told.hint)
    if told:
        return unknown(told.hint, told.edit)
    edit = respelt(source, node.span, name, known, "name")
    return several(source, node, namesakes) if namesakes and edit is None else unknown(hint, edit)


def several(source: Source, node: tree.Name, found: tuple[Candidate, ...], built_in: str = "") -> Diagnostic:
    """The finding for a name of several libraries. built_in: the built-in to write instead."""
    owners, way_out = clash(found)
    hint = f"{way_out}; of the built-ins, {built_in}" if built_in else way_out
    return Place(source, node.span).says("LD601", f"`{node.text}` may be {owners}", hint)
