"""Files that cannot be read, and keys that lead nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossdsl.config import read_file
from lossdsl.errors import Diagnostic


def only_finding(path: str | os.PathLike[str], key: str = "loss") -> Diagnostic:
    reading = read_file(path, key)
    assert reading.spec is None
    (finding,) = reading.diagnostics
    return finding


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("loss: bce\n")
    finding = only_finding(tmp_path / "experimnt.yaml")
    assert (finding.code, finding.file) == ("LD407", str(tmp_path / "experimnt.yaml"))
    assert finding.message == f"there is no file `{tmp_path / 'experimnt.yaml'}`"
    assert finding.hint == f"did you mean `{tmp_path / 'experiment.yaml'}`?"


def test_missing_folder(tmp_path: Path) -> None:
    finding = only_finding(tmp_path / "nowhere" / "experiment.yaml")
    assert (finding.code, finding.hint) == ("LD407", None)


def test_folder(tmp_path: Path) -> None:
    finding = only_finding(tmp_path)
    assert (finding.code, finding.message) == ("LD407", f"`{tmp_path}` is a folder, not a file")


def test_impossible_name() -> None:
    assert only_finding("a\0b.yaml").code == "LD407"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("loss: bce\n")
    path.chmod(0)
    assert only_finding(path).code == "LD407"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"a: 1\nloss: \xe4\n", (2, 7)),
        (b"\x89PNG\r\n", (1, 1)),
        (b"\xef\xbb\xbfa: \xff", (1, 4)),
        (b"\xff\xfea", (1, 1)),
    ],
)
def test_not_text(tmp_path: Path, data: bytes, place: tuple[int, int]) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes(data)
    finding = only_finding(path)
    assert finding.code == "LD407"
    assert (finding.line, finding.column) == place
    assert finding.message.startswith("the file is not valid UTF-8")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "\ufeff", "---\n", "--- # nothing\n...\n"])
def test_empty_file(read_marked: Callable[..., Any], text: str) -> None:
    (finding,) = read_marked(text).findings
    # A document that is there but empty is a scalar without text.
    assert (finding.code, finding.message) in [
        ("LD401", "the file is empty"),
        ("LD404", "the file is not a mapping, so there is no key `loss` in it"),
    ]


def test_too_large_file(read_marked: Callable[..., Any]) -> None:
    (finding,) = read_marked("loss: bce\n#" + "x" * 1_000_000).findings
    assert (finding.code, finding.message) == ("LD408", "the file is too large: more than 1,000,000 characters")


KEYS = [
    # text, key, message, hint, place
    ("train: {loss: bce}", "loss", "there is no key `loss` in the file", "did you mean `train.loss`?", None),
    ("train: {los: bce}", "loss", "there is no key `loss` in the file", "did you mean `train.los`?", None),
    ("Loss: bce", "loss", "there is no key `loss` in the file", "did you mean `Loss`?", None),
    ("«train»: {los: bce}", "train.loss", "there is no key `loss` in `train`", "did you mean `train.los`?", (1, 1)),
    ("a: 1\n«train»: 1", "train.loss", "`train` is not a mapping, so there is no key `loss` in it", None, (2, 1)),
    ("a: {x: bce}\nb: 1", "loss", "there is no key `loss` in the file", "the keys are a, b", None),
    ("a: {loss: bce}", "train.loss", "there is no key `train` in the file", "did you mean `a.loss`?", None),
    ("t: {«u»: {<<: {loss: bce}}}", "t.u.loss", "there is no key `loss` in `t.u`", "merge keys", (1, 5)),
    ("- bce", "loss", "the file is not a mapping, so there is no key `loss` in it", "for example loss:", None),
    ("0.5*bce", "loss", "the file is not a mapping, so there is no key `loss` in it", "for example loss:", None),
    ("loss: bce", "loss.", "`loss` is not a mapping, so there is no key `` in it", None, (1, 1)),
]


@pytest.mark.parametrize(("text", "key", "message", "hint", "place"), KEYS)
def test_key_that_leads_nowhere(
    read_marked: Callable[..., Any], text: str, key: str, message: str, hint: str | None, place: tuple[int, int] | None
) -> None:
    marked = read_marked(text, key=key)
    (finding,) = marked.findings
    assert (finding.code, finding.message) == ("LD404", message)
    assert (hint or "") in (finding.hint or "")
    assert marked.found_places == [place or (None, None)]


def test_keys_twice_on_the_path_count_and_others_do_not(read_marked: Callable[..., Any]) -> None:
    text = "x: 1\nx: 2\ntrain:\n  y: 1\n  y: 2\n  loss: bce\n  «loss»: dice\n«train»: 1\n"
    marked = read_marked(text, key="train.loss")
    assert [finding.code for finding in marked.findings] == ["LD403", "LD403"]
    assert marked.found_places == marked.places
    assert str(marked.spec.total.expression) == "bce"


def test_the_rest_of_the_file_belongs_to_others(read_marked: Callable[..., Any]) -> None:
    text = """
    %YAML 1.1
    ---
    model: !!python/object/apply:os.system [ls]
    data: !include other.yaml
    base: &base {<<: &more {a: 1}, a: 1, a: 2, 1: x, [1]: y, when: 2026-01-01}
    again: &again {x: [*base, *again]}
    train: !job {<<: *base, loss: 0.5*bce}
    """
    marked = read_marked(text.replace("\n    ", "\n").lstrip(), key="train.loss")
    assert not marked.findings
    assert str(marked.spec.total.expression) == "0.5*bce"


def test_names_of_files_may_be_paths(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("loss: bce +\n")
    assert read_file(path) == read_file(str(path))
    assert only_finding(path).file == str(path)
