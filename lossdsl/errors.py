"""Diagnostics with their places, and the exceptions that carry them.

Inner code makes a `Diagnostic`; public functions raise it inside a `LossError`. Text is rendered without
colour: the terminal adds colour, an exception never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import takewhile
from typing import Literal

from lossdsl import words

Severity = Literal["error", "warning"]
Applicability = Literal["safe", "suggested"]
Slot = Literal["name", "parameter", "choice", "key"]


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of character offsets into a `Source`."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The smallest span that covers both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of text that a user wrote, and its place in a larger file.

    text: what is parsed. file: the file's name as the user gave it, None for text typed in place.
    path: dotted key path inside a config, for text that has no file. document: the whole file.
    offsets: for each character of `text`, and one past its end, its offset in `document`; empty when they are the same.
    """

    text: str
    file: str | None = None
    path: str = ""
    document: str | None = field(default=None, repr=False)
    offsets: tuple[int, ...] = field(default=(), repr=False)

    @property
    def page(self) -> str:
        """The text whose lines are counted and shown."""
        return self.text if self.document is None else self.document

    def offset(self, position: int) -> int:
        """The offset in `page` of a position in `text`."""
        if not self.offsets:
            return position
        return self.offsets[min(position, len(self.offsets) - 1)]

    def place(self, position: int) -> tuple[int, int]:
        """1-based line and column of a position in `text`."""
        return self.place_in_page(self.offset(position))

    def place_in_page(self, offset: int) -> tuple[int, int]:
        """1-based line and column of an offset in `page`."""
        before = self.page[:offset]
        offset = len(before)
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def line(self, number: int) -> str:
        lines = self.page.split("\n")
        return lines[number - 1] if number <= len(lines) else ""

    @property
    def label(self) -> str:
        return self.file or (f"<{self.path}>" if self.path else "<formula>")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces a span of the source with a text, as the hint of the finding says.

    applicability: `safe` if the edit cannot change the meaning of a correct reading, so that `--fix` applies it;
    `suggested` if it is a guess, so that only `--fix --unsafe` applies it.
    """

    span: Span
    text: str
    applicability: Applicability = "suggested"

    @property
    def is_safe(self) -> bool:
        return self.applicability == "safe"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable code, a message, its place, a hint, and an edit if there is one.

    allowed: the reason in the comment that allows it.
    """

    code: str
    message: str
    source: Source | None = field(default=None, repr=False)
    span: Span | None = None
    hint: str | None = None
    severity: Severity = "error"
    edit: Edit | None = None
    allowed: str | None = None

    @property
    def file(self) -> str | None:
        return self.source.file if self.source else None

    @property
    def line(self) -> int | None:
        return self.source.place(self.span.start)[0] if self.source and self.span else None

    @property
    def column(self) -> int | None:
        return self.source.place(self.span.start)[1] if self.source and self.span else None

    def at(self, source: Source) -> Diagnostic:
        """The same finding, placed in `source` unless it has a place already."""
        return self if self.source else replace(self, source=source)

    def render(self) -> str:
        """The finding as text: place, message, the line with a caret, the hint."""
        lines = [f"{self._where()}{self.severity} {self.code}: {_cut(self.message)}", *self._excerpt()]
        if self.hint:
            lines.append(f"    {_cut(self.hint)}")
        return "\n".join(lines)

    def _where(self) -> str:
        if not self.source:
            return ""
        if not self.span:
            return f"{self.source.label}: "
        return f"{self.source.label}:{self.line}:{self.column}: "

    def _excerpt(self) -> Sequence[str]:
        if not self.source or not self.span:
            return ()
        line, column = self.source.place(self.span.start)
        end_line, end_column = self.source.place(self.span.end)
        text = self.source.line(line).rstrip("\r")
        stop = end_column if end_line == line else len(text) + 1
        shown, start = _window(text, column - 1)
        shown = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
        width = max(1, min(stop - column, start + len(shown) - column + 1))
        pad = "".join("\t" if character == "\t" else " " for character in shown[: column - 1 - start])
        return (f"    {shown}", f"    {pad}^{'~' * (width - 1)}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; `span` is None when the source's name alone says it (a key path, a file).

    Every finding that has a place is made by `says`.
    """

    source: Source
    span: Span | None = None

    @property
    def extent(self) -> Span:
        """The part of the source that it is: all of it where none is said."""
        return self.span or Span(0, len(self.source.text))

    @property
    def text(self) -> str:
        """What stands there, on one line."""
        return " ".join(self.source.text[self.extent.start : self.extent.end].split())

    def says(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        edit: Edit | None = None,
        severity: Severity = "error",
    ) -> Diagnostic:
        return Diagnostic(code, message, self.source, self.span, hint, severity, edit)

    def replaced(self, text: str, applicability: Applicability = "suggested") -> Edit:
        """The edit that writes `text` here."""
        return Edit(self.extent, text, applicability)

    def respelt(self, word: str, known: Iterable[str], slot: Slot) -> Edit | None:
        """The edit that mends the spelling of a word which stands here in a file."""
        return respelt(self.source, self.span, word, known, slot) if self.span and self.source.file else None


def _cut(text: str, longest: int = 1000) -> str:
    """Shorten a message with a long text of the user, by cutting its middle."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def _window(text: str, column: int, width: int = 120) -> tuple[str, int]:
    """The part of a long line around `column`, and its offset."""
    if len(text) <= width:
        return text, 0
    start = max(0, min(column - width // 2, len(text) - width))
    return text[start : start + width], start


class LossError(Exception):
    """Root of every error that lossdsl raises. `diagnostics` holds all findings; `str` renders them."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | str):
        found = (Diagnostic("LD000", diagnostics),) if isinstance(diagnostics, str) else tuple(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = found
        super().__init__(found)

    def __str__(self) -> str:
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics)


class FormulaError(LossError):
    """The text of a formula is wrong: syntax, names, parameters or axes."""


class ConfigError(LossError):
    """A config file or mapping is wrong: unreadable YAML, unknown or duplicate keys, wrong values."""


class InputError(LossError):
    """The tensors or scalars of a call do not fit the formula or each other."""


class PluginError(LossError):
    """A plugin that a formula uses cannot be loaded, or breaks the contract."""


class LossWarning(UserWarning):
    """A warning of a loss, as a finding: a compiler failed, or a plugin has another version."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """'did you mean ...?' for a misspelt word, or None."""
    match = _nearest(word, known)
    return f"did you mean `{match}`?" if match else None


def respelt(source: Source, span: Span, word: str, known: Iterable[str], slot: Slot) -> Edit | None:
    """The edit that corrects the spelling of a `word` inside a span, if exactly one known word is a typing error away.

    slot: the kind of word. A word that other libraries use for something else is not a typing error.
    """
    names = tuple(known)
    match = _nearest(word, names)
    if match is None or {name for name in names if _is_slip(word.lower(), name.lower())} != {match}:
        return None
    if _is_used(word, match, slot):
        return None
    start = source.text.find(word, span.start, span.end)
    if start < 0 or word in source.text[start + 1 : span.end]:
        return None
    return Edit(Span(start, start + len(word)), match, "safe" if _is_plain_slip(word, match, slot) else "suggested")


def _is_used(word: str, match: str, slot: Slot) -> bool:
    """Whether other libraries use this word. `Sqrt` is `sqrt` in other case, but `Dice` is a score elsewhere."""
    if words.is_in_table(word) or slot != "name":
        return words.is_in_table(word)
    return words.is_written_so(word) if word.lower() == match.lower() else words.is_known(word)


def _is_plain_slip(word: str, match: str, slot: Slot) -> bool:
    """Whether the word can only be a misspelt word of lossdsl.

    A name with another last letter is a new name, as `term_b` next to `term_a`. A short word that differs by more than
    the order of its letters can be an abbreviation, and one that is as similar to a word of other libraries can be that
    word.
    """
    word, match = word.lower(), match.lower()
    if word == match or slot != "name":
        return _digits(word) == _digits(match)
    if _is_another_name(word, match):
        return False
    others = {name for name in words.names_of(*words.NAMES) - {match} if _is_slip(word, name)}
    if _has_same_letters(word, match):
        return not any(_has_same_letters(word, name) for name in others)
    if others or min(len(word), len(match)) < _SHORT:
        return False
    parts = zip(word.split("_"), match.split("_"), strict=False)
    return word[:-1] != match[:-1] and not any(one != other and 1 in (len(one), len(other)) for one, other in parts)


_SHORT = 4


def near_miss(word: str, known: Iterable[str]) -> str | None:
    """The known word that differs from a word by one typing error, or only by case. None if there is none or several.

    For short words only swapped letters are allowed, because short words are similar to many. A different last letter
    makes another name: `preds` and `prev` are not `pred`.
    """
    lower = word.lower()

    def is_near(name: str) -> bool:
        if not (name == lower or _is_slip(lower, name)) or _is_another_name(lower, name):
            return False
        return _has_same_letters(lower, name) or (len(word) >= _SHORT and lower[-1:] == name[-1:])

    near = {name for name in known if is_near(name.lower())}
    return near.pop() if len(near) == 1 and len(word) > 2 else None


def _is_another_name(word: str, name: str) -> bool:
    """Whether a word that is a slip away is a name of its own: users form new names with a digit or a letter in front,
    as `mse2` and `wmse` from `mse`.
    """
    return _digits(word) != _digits(name) or not (word[:1] == name[:1] or _has_same_letters(word, name))


def _has_same_letters(word: str, name: str) -> bool:
    return sorted(word) == sorted(name)


def _digits(word: str) -> list[str]:
    return [sign for sign in word if sign.isdigit()]


def _nearest(word: str, known: Iterable[str]) -> str | None:
    names = sorted(known)
    lowered = {name.lower(): name for name in reversed(names)}
    if word.lower() in lowered or len(word) < 3:  # everything short is near to a letter or two
        return lowered.get(word.lower())
    slips = [name for name in names if _is_slip(word.lower(), name.lower())]
    if len(slips) == 1:
        return slips[0]
    # `dice_loss` is `dice`, not the score `dice_coef` that has more letters in common with it.
    beginnings = [name for name in names if word.lower().startswith(f"{name}_")]
    return next(iter(beginnings[-1:] or _close(word.lower(), lowered)), None)


def _close(word: str, lowered: Mapping[str, str]) -> list[str]:
    match = closest(word, lowered)
    return [] if match is None else [lowered[match]]


def closest(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word, None if none is similar enough.

    Like `difflib.get_close_matches`, but with a fast check of letters first, as a text can have thousands of names.
    """
    letters, matcher = _letters(word), SequenceMatcher(None, "", word)
    best: tuple[float, str] = (_ALIKE, "")
    for other in known:
        both = len(word) + len(other)
        if both == 0 or 2 * (letters & _letters(other)).bit_count() < best[0] * both:
            continue
        matcher.set_seq1(other)
        best = max(best, (matcher.ratio(), other))
    return best[1] or None


_ALIKE = 0.6


@lru_cache(maxsize=4096)
def _letters(word: str) -> int:
    """A bit for each letter and its count so far: two words share at most as many letters as bits."""
    bits, seen = 0, [0] * 64
    for character in word:
        letter = ord(character) % 64
        bits |= 1 << (64 * seen[letter] + letter)
        seen[letter] += 1
    return bits


def _is_slip(word: str, name: str) -> bool:
    """Whether the difference is one added, missing or changed letter, or two swapped letters."""
    if abs(len(word) - len(name)) > 1:
        return False
    same = list(takewhile(lambda pair: pair[0] == pair[1], zip(word, name, strict=False)))
    left, right = word[len(same) :], name[len(same) :]
    swapped = left[1::-1] + left[2:] == right
    return swapped or left[1:] == right[1:] or left[1:] == right or left == right[1:]
