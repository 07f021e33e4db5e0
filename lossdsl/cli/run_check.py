"""The check of one input, a file with any number of losses or a formula, and of one input after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lossdsl.api import check_reading
from lossdsl.api.reports import Report, in_reading_order
from lossdsl.cli.fixes import save
from lossdsl.cli.inputs import InputFile, advised
from lossdsl.config import read_formula
from lossdsl.config.page import Page, open_page
from lossdsl.config.search import ANY, has_mark, losses_of
from lossdsl.errors import Diagnostic, Source

DEFAULT_KEY = "loss"
_LIBRARY = ".loss"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to look for losses, and the options for all of them.

    keys: dotted keys; DEFAULT_KEY if none was given. marked_only: a file needs no loss, and DEFAULT_KEY is not used.
    """

    given: tuple[str, ...] = ()
    marked_only: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        return self.given or (() if self.marked_only else (DEFAULT_KEY,))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings for each loss. skipped: the file has no loss, which is not a finding.

    missing: the finding for each key that does not exist. allowed: the warnings that a comment allows.
    tensors: the tensors that calls of these losses pass by name.
    """

    losses: tuple[tuple[Diagnostic, ...], ...] = ()
    skipped: bool = False
    missing: Mapping[str, Diagnostic] = field(default_factory=dict)
    allowed: tuple[Diagnostic, ...] = ()
    tensors: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        return in_reading_order(diagnostic for loss in self.losses for diagnostic in loss)


def formula_outcome(text: str, label: str, wanted: Wanted) -> Outcome:
    """The outcome of a formula. label: its name in findings; empty for the default."""
    report = check_reading(read_formula(text), **wanted.options)
    return _outcome([report], lambda diagnostic: _labelled(diagnostic, label))


def _outcome(reports: Iterable[Report], placed: Callable[[Diagnostic], Diagnostic], **more: Any) -> Outcome:
    told = tuple(reports)
    losses = tuple(tuple(map(placed, report.diagnostics)) for report in told)
    allowed = in_reading_order(placed(finding) for report in told for finding in report.allowed)
    tensors = tuple(sorted({name for report in told for name in report.tensors}))
    return Outcome(losses, allowed=allowed, tensors=tensors, **more)


def _labelled(diagnostic: Diagnostic, label: str) -> Diagnostic:
    source = diagnostic.source
    if not label or (source and source.file):
        return diagnostic
    return replace(diagnostic, source=replace(source or Source(""), path=label))


def page_outcome(page: Page, place: InputFile, wanted: Wanted) -> Outcome:
    """The outcome of all losses of a file that could be opened."""
    if place.path.endswith(_LIBRARY):
        from lossdsl.api.loss_file import check_library

        return _outcome(check_library(page.text, Path(place.path)), lambda diagnostic: diagnostic)
    named = place.named and not wanted.marked_only
    if not named and not _may_have_a_loss(page.text, wanted.keys):
        return Outcome(skipped=True)
    found = losses_of(page, wanted.keys)
    if not found.is_yaml and not named and not _speaks_of_a_loss(page.text, wanted.keys):
        return Outcome(skipped=True)
    reports = [check_reading(reading, **wanted.options) for reading in found.readings]
    outcome = _outcome(reports, lambda diagnostic: diagnostic.at(Source("", page.file)), missing=found.missing)
    losses, findings = outcome.losses, found.findings
    if not losses and not findings:
        if not named:
            return Outcome(skipped=True, missing=found.missing)
        findings = tuple(found.missing.values())
    if findings:
        losses = ((*findings, *losses[0]), *losses[1:]) if losses else (findings,)
    return replace(outcome, losses=losses)


def passed_over(findings: Sequence[Diagnostic], place: InputFile, wanted: Wanted) -> bool:
    """Whether a file of a folder that cannot be opened is treated as one without a loss.

    It is a broken link, or is too large or in another encoding and does not mention a loss.
    """
    if place.named and not wanted.marked_only:
        return False
    if not Path(place.path).exists():
        return True
    texts = [finding.source.text for finding in findings if finding.source and finding.source.text]
    return bool(texts) and not any(_speaks_of_a_loss(text, wanted.keys) for text in texts)


def _may_have_a_loss(text: str, keys: tuple[str, ...]) -> bool:
    """Whether a text has all parts of a key, a mark, or a call of lossdsl. This avoids parsing YAML needlessly."""
    return "lossdsl" in text or any(all(part in text for part in key.split(".") if part != ANY) for key in keys)


def _speaks_of_a_loss(text: str, keys: tuple[str, ...]) -> bool:
    """Whether a file that cannot be read probably contains a loss."""
    last = {key.rpartition(".")[2] for key in keys} - {ANY, ""}
    words = "|".join(map(re.escape, sorted(last)))
    return has_mark(text) or bool(words and re.search(rf"(?m)^[ \t-]*[\"']?(?:{words})[\"']?[ \t]*:", text))


@dataclass(frozen=True, slots=True)
class Looked:
    """The findings of an input, and its text before and after fixes.

    name: the name of the file or formula. folder: the folder in which the file may be written.
    """

    outcome: Outcome
    name: str = ""
    before: str = ""
    after: str = ""
    fixed: tuple[Diagnostic, ...] = ()
    in_file: bool = True
    folder: str = "."


def look_at_formula(text: str, label: str, wanted: Wanted, *, mending: bool, unsafe: bool) -> Looked:
    looked = Looked(formula_outcome(text, label, wanted), f"<{label or 'formula'}>", text, text, in_file=False)
    if not mending:
        return looked
    from lossdsl.cli.fixes import mend

    mended = mend(text, lambda changed: formula_outcome(changed, label, wanted).findings, unsafe=unsafe)
    return replace(looked, outcome=Outcome((mended.left,)), after=mended.text, fixed=mended.fixed)


def look_at_file(place: InputFile, wanted: Wanted, *, mending: bool, unsafe: bool) -> Looked:
    opened = open_page(place.path)
    if opened.value is None and passed_over(opened.findings, place, wanted):
        return Looked(Outcome(skipped=True), place.path)
    if opened.value is None:
        return Looked(Outcome((tuple(advised(finding) for finding in opened.findings),)), place.path)
    page = opened.value
    outcome = page_outcome(page, place, wanted)
    looked = Looked(outcome, place.path, page.text, page.text, folder=place.folder)
    if not mending or not any(finding.edit for finding in outcome.findings):
        return looked
    from lossdsl.cli.fixes import mend
    from lossdsl.config.yaml_text import changed_scalars

    changes = None if place.path.endswith(".loss") else changed_scalars
    mended = mend(
        page.text, lambda text: page_outcome(replace(page, text=text), place, wanted).findings, changes, unsafe=unsafe
    )
    after = page_outcome(replace(page, text=mended.text), place, wanted)
    return replace(looked, outcome=after, after=mended.text, fixed=mended.fixed)


def write(looked: Looked) -> Looked:
    """Write a fixed file; all other bytes stay unchanged. A file that cannot be written is a finding."""
    if not looked.in_file or looked.after == looked.before:
        return looked
    page = open_page(looked.name).value
    try:
        if page is None or page.text != looked.before:
            raise OSError("it changed while it was read")
        save(looked.name, replace(page, text=looked.after).encoded(), looked.folder)
    except OSError as error:
        place = Page(looked.before, looked.name).whole
        fault = place.says("LD407", f"the file cannot be written: {error.strerror or error}")
        return replace(looked, outcome=Outcome(((fault, *looked.outcome.findings),)), after=looked.before, fixed=())
    return looked


def nowhere(looked: Iterable[Looked], wanted: Wanted) -> Iterator[Diagnostic]:
    """A finding for each given key that no file has, and one if there is no loss at all."""
    outcomes = [one.outcome for one in looked if one.in_file]
    told = {finding for outcome in outcomes for finding in outcome.findings}
    read = [outcome for outcome in outcomes if outcome.losses or outcome.missing]
    for key in wanted.given if read and not wanted.marked_only else ():
        missing = [outcome.missing[key] for outcome in read if key in outcome.missing]
        if len(missing) == len(read) and not told & set(missing):
            yield missing[0] if len(missing) == 1 else _none(f"no file has the key `{key}`")


def _none(message: str) -> Diagnostic:
    return Diagnostic("LD404", message, hint="a loss is read from the key `loss`, from each --key, or below # lossdsl")


def nothing_checked(looked: Sequence[Looked], wanted: Wanted) -> Iterator[Diagnostic]:
    if not wanted.marked_only and not any(one.outcome.losses for one in looked):
        yield _none("there is no loss in these files")
