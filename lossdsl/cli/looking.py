"""Check one input after the other, and fix it if requested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lossdsl.cli.inputs import advised
from lossdsl.cli.outcome import Outcome, Wanted, formula_outcome, page_outcome, passed_over
from lossdsl.cli.places import InputFile
from lossdsl.cli.saving import save
from lossdsl.errors import Diagnostic
from lossdsl.spec.page import Page, open_page


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
    from lossdsl.cli.fixing import mend

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
    from lossdsl.cli.fixing import mend
    from lossdsl.spec.same import changed_scalars

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
