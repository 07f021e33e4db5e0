"""`--fix` writes a file whole or not at all, and nowhere but in the folder that was named."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lossdsl.cli.fixes import save

WRONG, RIGHT = "loss: bec + dice\n", "loss: bce + dice\n"


@pytest.fixture
def away(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that lies elsewhere, to which links of the folder lead."""
    file = tmp_path_factory.mktemp("away") / "other.yaml"
    file.write_text(WRONG)
    (folder / "conf" / "inner").mkdir(parents=True)
    (folder / "conf" / "a.yaml").write_text(WRONG)
    return file


OUTSIDE = {
    "a folder": ["conf"],
    "the folder above": ["."],
    "its name": ["conf/link.yaml"],
    "a pattern": ["conf/*.yaml"],
    "a pattern of folders": ["conf/*/*.yaml"],
}


@pytest.mark.parametrize("names", OUTSIDE.values(), ids=OUTSIDE)
def test_no_link_leads_out_of_the_folder(invoke, folder: Path, away: Path, names: list[str]) -> None:
    if names == ["conf/*/*.yaml"]:
        (folder / "conf" / "linked").symlink_to(away.parent, target_is_directory=True)
    else:
        (folder / "conf" / "link.yaml").symlink_to(away)
    result = invoke("check", "--fix", *names)
    assert f"error LD407: the file cannot be written: it is a link to `{away}`, which lies elsewhere" in result.stdout
    assert result.exit_code == 2
    assert away.read_text() == WRONG
    assert [path.name for path in away.parent.iterdir()] == ["other.yaml"]


def test_folders_that_links_lead_to_are_not_entered(invoke, folder: Path, away: Path) -> None:
    (folder / "conf" / "linked").symlink_to(away.parent, target_is_directory=True)
    assert invoke("check", "--fix", "conf").exit_code == 0
    assert (away.read_text(), (folder / "conf" / "a.yaml").read_text()) == (WRONG, RIGHT)


@pytest.mark.parametrize("name", ["conf", "conf/link.yaml", "conf/*.yaml"])
def test_a_link_inside_of_the_folder_stays_a_link(invoke, folder: Path, away: Path, name: str) -> None:
    (folder / "conf" / "inner" / "real.yml").write_text(WRONG)
    (folder / "conf" / "link.yaml").symlink_to("inner/real.yml")
    invoke("check", "--fix", name)
    assert (folder / "conf" / "link.yaml").is_symlink()
    assert (folder / "conf" / "inner" / "real.yml").read_text() == RIGHT


def test_a_file_that_is_named_through_a_linked_folder(invoke, folder: Path, away: Path) -> None:
    """The folder was named."""
    (folder / "conf" / "linked").symlink_to(away.parent, target_is_directory=True)
    assert invoke("check", "--fix", "conf/linked/other.yaml").exit_code == 0
    assert away.read_text() == RIGHT


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_is_kept(invoke, folder: Path, mode: int) -> None:
    (folder / "a.yaml").write_text(WRONG)
    (folder / "a.yaml").chmod(mode)
    assert invoke("check", "--fix", "a.yaml").exit_code == 0
    assert stat.S_IMODE((folder / "a.yaml").stat().st_mode) == mode
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_goes_wrong_leaves_the_file_as_it_was(
    invoke, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (folder / "a.yaml").write_text(WRONG)
    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    result = invoke("check", "--fix", "a.yaml")
    assert "error LD407: the file cannot be written: No space left on device" in result.stdout
    assert (folder / "a.yaml").read_text() == WRONG
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


def test_another_reader_sees_the_old_file_or_the_new(folder: Path) -> None:
    """Whoever opened the old one goes on reading it."""
    (folder / "a.yaml").write_text("old" * 1000)
    with (folder / "a.yaml").open() as reader:
        assert reader.read(3) == "old"
        save("a.yaml", b"new", ".")
        assert reader.read() == "old" * 999
    assert (folder / "a.yaml").read_text() == "new"
