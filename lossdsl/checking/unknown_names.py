"""The finding for an unknown name: the words that the field uses first, then what libraries and plugins have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence, Set
from difflib import SequenceMatcher
from typing import NamedTuple

from lossdsl import words
from lossdsl.checking.vocabulary import FUNCTIONS, REDUCTIONS, TENSORS
from lossdsl.errors import Diagnostic, Edit, Place, Source, Span, closest, nearest, respelt
from lossdsl.registry.candidates import Candidate
from lossdsl.registry.discover import Registry, clash
from lossdsl.syntax import tree
from lossdsl.words import Word

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


def written_elsewhere(name: str, kind: str, registry: Registry, known: Iterable[str]) -> tuple[str, str] | None:
    """A message and a hint for a name that is missing here, or has a longer path there; None for any other name.

    known: what may be written here. A short name that differs from one of these by its capitals alone is that name,
    and one that other libraries have is theirs.
    """
    if "." not in name and (registry.namesakes(name) or name.lower() in {other.lower() for other in known}):
        return None
    absence = registry.absence(name)
    if absence:
        return f"there is no `{name}`: {absence.reason}", absence.instead
    short = registry.shortened(name)
    absence = registry.absence(short) if short else None
    if absence:
        return f"there is no `{name}`: {absence.reason}", absence.instead
    if short:
        return f"unknown {kind} `{name}`", f"write {short}"
    rivals = registry.absences(name)
    if rivals:
        ways = [f"for {full}: {absence.instead}" for full, absence in rivals.items()]
        same = len({absence.instead for absence in rivals.values()}) == 1
        return f"unknown {kind} `{name}`", next(iter(rivals.values())).instead if same else "; ".join(ways)
    return None


_SLOTS = re.compile(r"\b[xab]\b")
_ONE_VALUE = re.compile(r"\w+(?:\([^()]*\))?", re.ASCII)
_LONGEST = 60
_LANGUAGE = f"the functions here are {', '.join(sorted({*FUNCTIONS, *REDUCTIONS}))}; lossdsl list shows all losses"


class Answer(NamedTuple):
    """A hint and its edit."""

    hint: str
    edit: Edit | None = None


def answer(
    source: Source, name: tree.Name, call: tree.Call | None, homes: Sequence[Candidate], known: Collection[str]
) -> Answer | None:
    """What to write for a name, alone or as that of a `call`.

    homes: the losses of this name that plugins bring. known: the names that could stand in its place.
    """
    kinds: tuple[words.Kind, ...] = ("loss", "function", "value") if call else ("loss", "value", "function")
    word = words.word(name.text, *kinds)
    if word is None:
        told = _same_name(name) or _method(name, known)
        is_foreign = not homes and name.text.lower() not in known and words.is_known(name.text)
        return told or (Answer(_LANGUAGE) if is_foreign else None)
    hint = word.hint
    if word.kind == "function" and call:
        filled = _filled(word, call, source)
        hint = word.saying(filled or word.write)
    elif word.kind == "loss" and call and (call.arguments or call.keywords):
        hint = f"{hint}; its arguments have other names here, or no equivalent"
    if len(homes) == 1:
        hint = f"{hint}; or {homes[0].full_name}, as that library computes it"
    return Answer(hint, _edit(word, source, name, call))


def _same_name(name: tree.Name) -> Answer | None:
    """`exp` for `torch.exp`."""
    short = words.bare(name.text)
    if short == name.text or short not in (*FUNCTIONS, *REDUCTIONS):
        return None
    return Answer(f"write {short}(...)", Edit(name.span, short))


def _method(name: tree.Name, known: Collection[str]) -> Answer | None:
    """`stop_gradient(p)` for `p.detach`."""
    value, _, method = name.text.rpartition(".")
    if value not in known and value not in TENSORS:
        return None
    word = words.word(method, "function")
    if word and set(_SLOTS.findall(word.write)) <= {"x"}:
        return Answer(f"attribute access is not supported; {word.saying(_SLOTS.sub(value, word.write))}")
    own = method in FUNCTIONS or method in REDUCTIONS
    return Answer(f"attribute access is not supported; write {method}({value})") if own else None


def _edit(word: Word, source: Source, name: tree.Name, call: tree.Call | None) -> Edit | None:
    """The edit to a formula with the same value. It is only suggested, as the name could mean something else."""
    if not (word.same and word.write):
        return None
    if word.kind == "function":
        filled = _filled(word, call, source) if call else None
        return Edit(call.span, _bracketed(filled, source, call.span)) if filled and call else None
    if call is None:
        return Edit(name.span, _bracketed(word.write, source, name.span))
    if not (call.arguments or call.keywords):
        return Edit(call.span, _bracketed(word.write, source, call.span))
    return Edit(name.span, word.write) if word.write.isidentifier() and not call.keywords else None


def _filled(word: Word, call: tree.Call, source: Source) -> str | None:
    """`log(1 + p)/log(2)` for `log2(1 + p)`; None if the arguments do not match."""
    slots = sorted(set(_SLOTS.findall(word.write)))
    if call.keywords or len(call.arguments) != len(slots):
        return None
    texts = [source.text[argument.span.start : argument.span.end] for argument in call.arguments]
    if any("\n" in text or len(text) > _LONGEST for text in texts):
        return None
    one = [isinstance(argument, (tree.Name, tree.Number, tree.Call)) for argument in call.arguments]
    written = dict(zip(slots, zip(texts, one, strict=True), strict=True))

    def fill(match: re.Match[str]) -> str:
        text, is_one = written[match.group()]
        around = word.write[: match.start()][-1:] + word.write[match.end() :][:1]
        return text if is_one or around in ("", "()") else f"({text})"

    return _SLOTS.sub(fill, word.write)


def _bracketed(text: str, source: Source, span: Span) -> str:
    """The text in brackets if it has several parts, unless the formula has brackets around it already."""
    before, after = source.text[: span.start].rstrip(), source.text[span.end :].lstrip()
    stands_alone = before[-1:] in ("", "(", ",", "=") and after[:1] in ("", ")", ",")
    return text if stands_alone or _ONE_VALUE.fullmatch(text) else f"({text})"


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
