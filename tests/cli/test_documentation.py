"""The documentation of the codes: none is missing, and every example is run.

`messages.txt` holds the complete message of each wrong example. After a deliberate change run `make golden` and read
the diff.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import lossdsl
from lossdsl.cli.code_pages import FOLDER, as_plain_text, codes, explained
from lossdsl.errors import Diagnostic
from lossdsl.registry.define import unregistered

PACKAGE = Path(lossdsl.__file__).parent
EXAMPLES = [(code, which) for code in codes() for which in ("wrong", "right")]
# Findings that the wrong example has beside the one that it shows.
BESIDE = {"LD508": {"LD301"}, "LD802": {"LD703"}}
# torch looks for the compiler once in a process.
IN_A_PROCESS = {"LD507"}
FILE = Path(__file__).with_name("messages.txt")
# What the wrong example of each code gives, in full.
MESSAGES = {
    text[:5]: text.partition("\n")[2].strip("\n") for text in FILE.read_text(encoding="utf-8").split("=== ")[1:]
}


def emitted() -> set[str]:
    """The codes that the source can give to a finding: those in quotes. A comment or a hint may speak of others."""
    return {
        code
        for file in PACKAGE.rglob("*.py")
        for code in re.findall(r"[\"'](LD\d{3})[\"']", file.read_text(encoding="utf-8"))
    }


def test_every_code_is_documented() -> None:
    missing = sorted(emitted() - set(codes()))
    assert not missing, f"add {' and '.join(f'{code}.md' for code in missing)} to {FOLDER}, in the form of LD204.md"


def test_nothing_else_is_documented() -> None:
    stale = sorted(set(codes()) - emitted())
    assert not stale, f"nothing emits {', '.join(stale)}: remove the file from {FOLDER}"


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to stand in, and a registry that forgets what an example registers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    lossdsl.rediscover()
    with unregistered():
        yield tmp_path
    lossdsl.rediscover()


@pytest.mark.parametrize(
    ("code", "which"),
    [
        pytest.param(*pair, marks=[pytest.mark.long] if pair[0] in IN_A_PROCESS else [], id="-".join(pair))
        for pair in EXAMPLES
    ],
)
def test_example(clean: Path, code: str, which: str) -> None:
    message = message_of(code, which, clean)
    if which == "right":
        assert message == ""
    else:
        assert set(re.findall(r"(?:error|warning) (LD\d{3}):", message)) - BESIDE.get(code, set()) == {code}
        assert message == MESSAGES[code], "run `make golden` and read the diff"


def golden() -> str:
    """What `messages.txt` must hold."""
    messages = []
    for code in codes():
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, unregistered():
            patch.chdir(folder)
            patch.setattr(sys, "path", sys.path[:])
            lossdsl.rediscover()
            messages.append(f"=== {code}\n{message_of(code, 'wrong', Path(folder))}")
    return "\n\n".join(messages) + "\n"


def message_of(code: str, which: str, folder: Path) -> str:
    """The findings of an example, with a version that stays the same."""
    documentation = explained(code)
    assert documentation
    kind, text = getattr(documentation, which)
    message = run_in_a_process(text, folder) if code in IN_A_PROCESS else rendered(RUN[kind](text))
    return re.sub(r"lossdsl \d+(\.\d+)+", "lossdsl 0.1.0", message)


def rendered(found: Iterable[Diagnostic]) -> str:
    return "\n".join(finding.render() for finding in found)


def run_formula(text: str) -> Iterable[Diagnostic]:
    return lossdsl.check(text, files=False).diagnostics


def run_config(text: str) -> Iterable[Diagnostic]:
    Path("config.yaml").write_text(text, encoding="utf-8")
    return lossdsl.check("config.yaml").diagnostics


def run_library(text: str) -> Iterable[Diagnostic]:
    from lossdsl.api.loss_file import check_library

    return [finding for report in check_library(text, Path("some.loss")) for finding in report.diagnostics]


def run_python(text: str) -> Iterable[Diagnostic]:
    try:
        exec(compile(text, "<example>", "exec"), {"__name__": "example"})  # noqa: S102
    except lossdsl.LossError as error:
        return error.diagnostics
    return ()


RUN = {"formula": run_formula, "yaml": run_config, "loss": run_library, "python": run_python}


def run_in_a_process(text: str, folder: Path) -> str:
    """What ends it, below the traceback."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "TORCHINDUCTOR_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "LossError: " in done.stderr
    return done.stderr.rpartition("LossError: ")[2].strip()


@pytest.mark.parametrize("code", codes())
def test_the_text_is_complete_and_plain(code: str) -> None:
    documentation = explained(code)
    assert documentation
    assert all(len(line) <= 120 for line in documentation.markdown.splitlines())
    shown = as_plain_text(documentation)
    assert shown.startswith(f"{code}: {documentation.title}\n")
    assert "```" not in shown
    assert documentation.wrong[1].splitlines()[0] in shown
    assert documentation.fix in shown


def test_there_is_no_documentation_of_anything_else() -> None:
    assert explained("LD999") is None
    assert explained("../codes/LD101") is None
