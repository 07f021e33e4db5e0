"""The README says what is so: its examples are run, its formulas compile, its config loads."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import yaml
from click.testing import CliRunner

import lossdsl
import lossdsl.testing
from lossdsl.cli.listing import list_losses

README = Path(__file__).parents[1] / "README.md"


def test_examples() -> None:
    with lossdsl.testing.registry():  # the loss that the README defines stays here
        failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert failed == 0
    assert tried > 15


def test_configs_compile(tmp_path: Path) -> None:
    short, long, _ = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "short.yaml").write_text(short, encoding="utf-8")
    (tmp_path / "long.yaml").write_text(long, encoding="utf-8")
    assert lossdsl.check(tmp_path / "short.yaml").ok
    assert lossdsl.load(tmp_path / "long.yaml", key="train.loss").options.ignore_index == 255


def test_the_hook_exists() -> None:
    (written,) = [
        text for text in re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL) if "hooks:" in text
    ]
    hooks = yaml.safe_load(README.with_name(".pre-commit-hooks.yaml").read_text("utf-8"))
    assert yaml.safe_load(written)["repos"][0]["hooks"][0]["id"] in {hook["id"] for hook in hooks}


def test_table_of_losses_is_up_to_date() -> None:
    """After a change: lossdsl list --format markdown, between the two marks."""
    text = README.read_text(encoding="utf-8")
    table = text.partition("list --format markdown -->\n")[2].partition("<!-- end of losses")[0]
    assert table == CliRunner().invoke(list_losses, ["--format", "markdown"]).stdout
