"""Hints for names that other libraries use and lossdsl does not have."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from lossdsl import words
from lossdsl.checking.vocabulary import FUNCTIONS, REDUCTIONS, TENSORS
from lossdsl.errors import Edit, Source, Span
from lossdsl.registry.candidates import Candidate
from lossdsl.syntax import tree
from lossdsl.words import Word

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
