"""Names that a library leaves out say why: in the error for the name, in `lossdsl show`, and nowhere else."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.cli.show import find
from lossdsl.config import read_formula
from lossdsl.errors import Diagnostic, LossError
from lossdsl.registry.discover import LIBRARIES, Registry
from lossdsl.registry.loss_files import Absence, read_absences, read_entries

SHELF = """\
# Losses of a shelf.
# Package: shelves, big.shelf
# Absent: Crooked, Bent -- its sign is that of a score,
#     so training makes it worse -- write straight
# Absent: Unsaid -- nobody asked

# A straight loss.
# Note: it has no bend
# Refused: angle, reduction=sum, width=list, width=2 and depth=3 -- a straight loss has no angle
# Absent: Skew -- removed in 2.0 -- write straight
loss straight(width: [0, inf) = 1, depth: [0, inf) = 1) -> [0, inf)
    = mean(width*depth*abs(pred - target))
"""
REST = "# Absent: Bent -- broken here too -- nothing\n\nloss other() -> [0, inf)\n    = straight\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, text in (("shelf_of_absences", SHELF), ("rest_of_absences", REST)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "a.loss").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return Registry([EntryPoint(home, f"{home}_of_absences", LIBRARIES) for home in ("shelf", "rest")])


def findings(text: str, registry: Registry) -> tuple[Diagnostic, ...]:
    spec = read_formula(text).spec
    assert spec is not None
    return resolve(spec, registry).diagnostics


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.loss"
    path.write_text(SHELF)
    reason, instead = "its sign is that of a score, so training makes it worse", "write straight"
    assert read_absences(path) == (
        Absence("Crooked", reason, instead),
        Absence("Bent", reason, instead),
        Absence("Unsaid", "nobody asked", ""),
        Absence("Skew", "removed in 2.0", "write straight"),
    )
    assert [entry.name for entry in read_entries(path)] == ["straight"]


def test_a_definition_keeps_its_own_comment(registry: Registry) -> None:
    (candidate,) = registry.candidates("straight")
    documentation = registry.load(candidate).documentation
    assert (documentation.summary, documentation.notes) == ("A straight loss.", ("it has no bend",))


@pytest.mark.parametrize(
    "text", ["shelf.Bent", "2*shelf.Bent(angle=1)", "mean(shelf.Bent)", "Crooked", "a = Crooked()\na"]
)
def test_the_name_in_a_formula(text: str, registry: Registry) -> None:
    (found,) = findings(text, registry)
    name = "shelf.Bent" if "Bent" in text else "Crooked"
    message = f"there is no `{name}`: its sign is that of a score, so training makes it worse"
    assert (found.code, found.message, found.hint) == ("LD201", message, "write straight")
    assert found.source is not None
    assert found.span is not None
    assert found.source.text[found.span.start : found.span.end] == name


def test_two_libraries_without_it(registry: Registry) -> None:
    """A short name that two leave out, each for its own reason, is unknown; both say what to write."""
    (found,) = findings("Bent", registry)
    assert found.message == "unknown loss `Bent`"
    assert found.hint == "for rest.Bent: nothing; for shelf.Bent: write straight"
    assert findings("rest.Bent", registry)[0].message == "there is no `rest.Bent`: broken here too"


def test_a_tensor_may_have_the_name(registry: Registry) -> None:
    assert findings("mean(Crooked)", registry) == ()


def test_show(registry: Registry) -> None:
    with pytest.raises(LossError) as error:
        find("shelf.Unsaid", registry)
    (found,) = error.value.diagnostics
    assert (found.code, found.message) == ("LD201", "there is no `shelf.Unsaid`: nobody asked")


REFUSED = {
    "straight(angle=3)": "angle",
    "straight(reduction=sum)": "reduction=sum",
    "straight(width=[1, 2])": "width=list",
    "straight(depth=3, width=2)": "width=2 and depth=3",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused_words_values_and_pairs(text: str, registry: Registry) -> None:
    (found,) = findings(text, registry)
    expected = ("LD203", f"`straight` does not take `{REFUSED[text]}`", "a straight loss has no angle")
    assert (found.code, found.message, found.hint) == expected


@pytest.mark.parametrize("text", ["straight(reduction=mean)", "straight(width=2)", "straight(width=1, depth=3)"])
def test_other_values_are_not_refused(text: str, registry: Registry) -> None:
    assert findings(text, registry) == ()


@pytest.mark.parametrize("package", ["shelves", "big.shelf", "shelves.losses.deep", "shelf.losses"])
def test_a_path_of_the_package_that_a_library_stands_for(package: str, registry: Registry) -> None:
    (found,) = findings(f"2*{package}.straight(width=2)", registry)
    assert (found.message, found.hint) == (f"unknown loss or function `{package}.straight`", "write shelf.straight")
    (found,) = findings(f"{package}.Crooked", registry)
    assert found.message.startswith(f"there is no `{package}.Crooked`: its sign is that of a score")
    assert found.hint == "write straight"
    with pytest.raises(LossError) as error:
        find(f"{package}.straight", registry)
    assert error.value.diagnostics[0].hint == "write shelf.straight"


@pytest.mark.parametrize("path", ["shelves.other", "shelvesx.straight", "big.straight", "my.shelves.straight"])
def test_other_paths(path: str, registry: Registry) -> None:
    (found,) = findings(path, registry)
    assert found.hint != "write shelf.straight"
    assert found.message.startswith(f"unknown loss `{path}`")
