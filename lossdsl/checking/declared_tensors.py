"""Compare the tensors that a config lists with those that its formulas use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lossdsl.checking.resolved import Body, Resolved, TensorOf, Use, every
from lossdsl.checking.vocabulary import CALL_WORDS, TENSORS, is_reserved
from lossdsl.config.model import Passed
from lossdsl.errors import Diagnostic, nearest, respelt
from lossdsl.registry.discover import Registry
from lossdsl.registry.model import Formula, full_name


def passed_faults(
    passed: Iterable[Passed], roots: Iterable[Resolved], bodies: Mapping[str, Body], registry: Registry
) -> Iterator[Diagnostic]:
    """Report names that tensors cannot have, and tensors that are not listed."""
    names = {one.name for one in passed}
    for one in passed:
        kind = _kind(one.name, registry)
        if kind:
            yield one.place.says("LD206", f"`{one.name}` is already {kind}", "pass it under another name")
    for node in every(roots):
        if isinstance(node, TensorOf) and node.name not in names.union(TENSORS):
            yield _missing(node, names, registry)
        elif isinstance(node, Use) and isinstance(node.loss, Formula):
            for name in sorted(_read_in(full_name(node.loss), bodies) - names):
                message = f"`{node.loss.name}` reads the tensor `{name}`, which is not listed under `tensors:`"
                yield node.origin.says("LD211", message, f"add {name} to `tensors:`")


def _kind(name: str, registry: Registry) -> str | None:
    if is_reserved(name) or name in CALL_WORDS:
        return "a word of the language"
    return "a loss" if any(candidate.own for candidate in registry.candidates(name)) else None


def _missing(node: TensorOf, names: set[str], registry: Registry) -> Diagnostic:
    known = {*names, *registry.names()}
    listed = ", ".join(sorted(names)) or "none"
    hint = nearest(node.name, known) or f"`tensors:` lists {listed}; add {node.name} if the call passes it"
    edit = respelt(node.origin.source, node.origin.extent, node.name, known, "name")
    edit = edit if edit and edit.text in names else None
    return node.origin.says("LD211", f"the tensor `{node.name}` is not listed under `tensors:`", hint, edit)


def _read_in(key: str, bodies: Mapping[str, Body]) -> set[str]:
    """The named tensors that a definition uses, directly or through other definitions."""
    found: set[str] = set()
    waiting, seen = [key], {key}
    while waiting:
        for part in bodies[waiting.pop()].parts:
            if isinstance(part, TensorOf):
                found.add(part.name)
            elif isinstance(part, Use) and isinstance(part.loss, Formula) and full_name(part.loss) not in seen:
                seen.add(full_name(part.loss))
                waiting.append(full_name(part.loss))
    return found.difference(TENSORS)
