"""Suggest losses for an unknown name: it can be misspelt, or lack its namespace, or have a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from lossdsl.errors import closest, nearest

_MOST = 5
_ALIKE = 0.8


def similar(word: str, known: Iterable[str]) -> str | None:
    """'did you mean ...?' with the most similar names, or None."""
    names = sorted(known)
    space, dot, short = word.rpartition(".")
    found = _in_space(space, short, names) if dot else _anywhere(word, names)
    if not found:
        return None if dot else nearest(word, names)
    listed = [f"`{name}`" for name in dict.fromkeys(found)][:_MOST]
    return f"did you mean {' or '.join([', '.join(listed[:-1]), listed[-1]] if listed[1:] else listed)}?"


def _in_space(space: str, short: str, names: list[str]) -> list[str]:
    """In the nearest namespace; before what is not very near there, a loss of that very name in another one."""
    homes = {name.rpartition(".")[0] for name in names if "." in name}
    home = _closest(space, homes)
    inside = {name.rpartition(".")[2]: name for name in names if home and name.startswith(f"{home}.")}
    match = _closest(short, inside)
    if match is None:
        return [short] if short in names else _named(short, names)
    return [*(_named(short, names) if _likeness(short, match) < _ALIKE else []), inside[match]]


def _anywhere(word: str, names: list[str]) -> list[str]:
    """Without a namespace: the nearest short name, and those that need theirs and are nearer."""
    plain = [name for name in names if "." not in name]
    shorts = {name.rpartition(".")[2] for name in names if "." in name} - set(plain)
    match = _closest(word, shorts)
    told = nearest(word, plain)
    own = told.split("`")[1] if told else ""
    if match is None or _likeness(word, own) >= _likeness(word, match):
        return []
    return [*([own] if own else []), *_named(match, names)]


def _named(short: str, names: list[str]) -> list[str]:
    return [name for name in names if "." in name and name.rpartition(".")[2].lower() == short.lower()]


def _likeness(word: str, name: str) -> float:
    return SequenceMatcher(None, word.lower(), name.lower()).ratio()


def _closest(word: str, known: Iterable[str]) -> str | None:
    """Case does not count."""
    lowered: dict[str, str] = {}
    for name in sorted(known):
        lowered.setdefault(name.lower(), name)
    match = closest(word.lower(), lowered)
    return lowered[match] if match else None
