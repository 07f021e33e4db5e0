"""Comments that answer warnings: where they stand, what they must say, and those in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

import lossdsl

# Each text has the warning LD703 at its division, and what `report.allowed` has of it: its reason.
ANSWERED = {
    "end of the line": "mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more",
    "line above": "# lossdsl: allow LD703 -- depth is 1 or more\nmean(p/depth)",
    "above another comment": "# lossdsl: allow LD703 -- depth is 1 or more\n# metres\nmean(p/depth)",
    "spaces and no spaces": "mean(p/depth) #lossdsl:allow LD703  --  depth is 1 or more  ",
    "several codes": "mean(log(y)/depth)  # lossdsl: allow LD701, LD703 -- depth is 1 or more",
    "in a definition": "a = mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\nbce + a",
    "inside brackets": "bce + mean(\n    # lossdsl: allow LD703 -- depth is 1 or more\n    p/depth\n)",
    "Windows lines": "# lossdsl: allow LD703 -- depth is 1 or more\r\nmean(p/depth)\r\n",
}
ANSWERED_IN_FILES = {
    "end of the line": "loss: mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\n",
    "quoted": 'loss: "mean(p/depth)"  # lossdsl: allow LD703 -- depth is 1 or more\n',
    "line above": "a: 1\n# lossdsl: allow LD703 -- depth is 1 or more\nloss: mean(p/depth)\nb: 1\n",
    "in a block": "loss: |\n  a = bce\n  # lossdsl: allow LD703 -- depth is 1 or more\n  a + mean(p/depth)\n",
    "above a block": "# lossdsl: allow LD703 -- depth is 1 or more\nloss: |\n  a = bce\n  a + mean(p/depth)\n",
    "head of a block": "loss: |  # lossdsl: allow LD703 -- depth is 1 or more\n  a = bce\n  a + mean(p/depth)\n",
    "above folded text": "# lossdsl: allow LD703 -- depth is 1 or more\nloss: >-\n  bce +\n  mean(p/depth)\n",
    "in the long form": (
        "loss:\n  terms:\n    a: bce\n    # lossdsl: allow LD703 -- depth is 1 or more\n    b: mean(p/depth)\n"
    ),
    "in a flow mapping": "loss:\n  terms: {a: bce, b: mean(p/depth)}  # lossdsl: allow LD703 -- depth is 1 or more\n",
    "in a definition": (
        "loss:\n  define:\n    a: mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\n  expr: bce + a\n"
    ),
}


def check_file(tmp_path: Path, text: str) -> lossdsl.Report:
    file = tmp_path / "a.yaml"
    file.write_bytes(text.encode())
    return lossdsl.check(file)


def codes(report: lossdsl.Report) -> list[str]:
    return [finding.code for finding in report.diagnostics]


@pytest.mark.parametrize("text", ANSWERED.values(), ids=ANSWERED)
def test_answered_in_a_formula(text: str) -> None:
    report = lossdsl.check(text)
    assert codes(report) == []
    assert {finding.allowed for finding in report.allowed} == {"depth is 1 or more"}
    assert "LD703" in {finding.code for finding in report.allowed}
    bare = lossdsl.check(text.replace("lossdsl:", "").replace("#lossdsl", "#"))
    assert {(f.code, f.line, f.column) for f in bare.diagnostics} == {
        (f.code, f.line, f.column) for f in report.allowed
    }


@pytest.mark.parametrize("text", ANSWERED_IN_FILES.values(), ids=ANSWERED_IN_FILES)
def test_answered_in_a_file(tmp_path: Path, text: str) -> None:
    report = check_file(tmp_path, text)
    assert codes(report) == []
    assert [(finding.code, finding.allowed) for finding in report.allowed] == [("LD703", "depth is 1 or more")]
    assert codes(check_file(tmp_path, text.replace("lossdsl:", "note:"))) == ["LD703"]


def test_answered_in_a_mapping() -> None:
    text = "mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more"
    report = lossdsl.check({"terms": {"a": text, "b": "mean(p/height)"}})
    assert [finding.source.path for finding in report.diagnostics if finding.source] == ["loss.terms.b"]
    assert [finding.code for finding in report.allowed] == ["LD703"]


# What is wrong with a comment, and the hint.
IN_VAIN = {
    "bce  # lossdsl: allow LD703 -- x": ("LD801", "there is no LD703 warning to allow here", "remove it"),
    "bce  # lossdsl: allow LD999 -- x": ("LD801", "there is no LD999 warning to allow here", "remove it"),
    "mean(p/depth)  # lossdsl: allow LD703, LD701 -- x": (
        "LD801",
        "there is no LD701 warning to allow here",
        "remove it",
    ),
    "# lossdsl: allow LD703 -- x\n\nmean(p/depth)": (
        "LD801",
        "there is no LD703 warning to allow here",
        "move it to the end of the line with the warning, or to a line of its own above it",
    ),
    "a = bce  # lossdsl: allow LD703 -- x\na + mean(p/depth)": (
        "LD801",
        "there is no LD703 warning to allow here",
        "move it to the end of the line with the warning, or to a line of its own above it",
    ),
    "bec  # lossdsl: allow LD201 -- x": (
        "LD801",
        "there is no LD201 warning to allow here",
        "LD201 is an error here; only warnings can be allowed",
    ),
    "bce  # lossdsl: allow LD703": (
        "LD802",
        "the reason for allowing LD703 is missing",
        "write # lossdsl: allow LD703 -- the reason",
    ),
    "bce  # lossdsl: allow LD703 --  ": (
        "LD802",
        "the reason for allowing LD703 is missing",
        "write # lossdsl: allow LD703 -- the reason",
    ),
    **{
        f"bce  # {comment}": (
            "LD802",
            "this lossdsl comment is not valid",
            "write # lossdsl: allow LD703 -- the reason",
        )
        for comment in (
            "lossdsl: allow",
            "lossdsl: allow all -- x",
            "lossdsl: ignore LD703 -- x",
            "lossdsl: LD703 -- x",
            "lossdsl: allow LD703 depth is 1",
            "lossdsl: allow LD703-- x",
            "lossdsl: allow LD703 LD701 -- x",
            "lossdsl: allow ld703 -- x",
            "lossdsl:",
            "lossdsl allow LD703 -- x",
        )
    },
}


@pytest.mark.parametrize(("text", "expected"), IN_VAIN.items(), ids=list(IN_VAIN))
def test_in_vain(text: str, expected: tuple[str, str, str]) -> None:
    report = lossdsl.check(text)
    told = [finding for finding in report.diagnostics if finding.code.startswith("LD8")]
    assert [(finding.code, finding.message, finding.hint) for finding in told] == [expected]
    assert told[0].severity == "warning"
    line, column = told[0].line, told[0].column
    assert line
    assert column
    assert text.split("\n")[line - 1][column - 1 :].startswith("# lossdsl")


def test_other_comments_mean_nothing() -> None:
    assert str(lossdsl.check("bce  # lossdsl checks this; see lossdsl.check")) == "ok"


ANCHORS = {
    "anchor": "a: &x mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\nloss: *x\n",
    "anchor of this loss": "loss: &x mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\nb: {loss: *x}\n",
    "anchored block": "a: &x |\n  mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\nloss: *x\n",
    "anchored term": (
        "w: &w {expr: mean(p/depth), weight: 1}  # lossdsl: allow LD703 -- depth is 1 or more\n"
        "loss:\n  terms: {a: *w, b: bce}\n"
    ),
}


@pytest.mark.parametrize("text", ANCHORS.values(), ids=ANCHORS)
def test_answered_where_an_anchor_stands(tmp_path: Path, text: str) -> None:
    report = check_file(tmp_path, text)
    assert codes(report) == []
    assert [finding.code for finding in report.allowed] == ["LD703"]


def test_a_comment_at_an_anchor_is_not_judged_by_its_users(tmp_path: Path) -> None:
    assert codes(check_file(tmp_path, "a: &x bce  # lossdsl: allow LD703 -- x\nloss: *x\n")) == []


def test_a_blank_line_parts_a_comment_from_its_warning(tmp_path: Path) -> None:
    text = "# lossdsl: allow LD703 -- x\n\nloss: mean(p/depth)\n"
    assert sorted(codes(check_file(tmp_path, text))) == ["LD703", "LD801"]


def test_an_error_hides_the_warnings_behind_it() -> None:
    report = lossdsl.check("bec + mean(p/depth)  # lossdsl: allow LD703 -- x")
    assert codes(report) == ["LD201"]


def test_a_comment_of_another_loss_is_not_judged(tmp_path: Path) -> None:
    text = "a: bce  # lossdsl: allow LD703 -- x\nloss: bce\n# lossdsl: allow LD703 -- x\nb:\n  c: bce\n"
    assert codes(check_file(tmp_path, text)) == []
    text = "a: bce\nloss:\n  expr: bce\n\n# lossdsl: allow LD703 -- x\nb: bce\n"
    assert codes(check_file(tmp_path, text)) == []


def test_a_loss_compiles_whatever_its_comments_say() -> None:
    assert lossdsl.compile("bce  # lossdsl: allow").text == "bce"


def test_answered_in_a_loss_file(tmp_path: Path) -> None:
    from lossdsl.api.loss_file import check_library

    answer = "# lossdsl: allow LD209 -- it is 0 on purpose"
    text = (
        f"# Summary: One.\nloss one() -> [0, inf)\n    = bce + 1e-50  {answer}\n\n"
        f"# Summary: Two.\n{answer}\nloss two() -> [0, inf)\n    = bce + 1e-50\n\n"
        f"# Summary: Three.\nloss three() -> [0, inf)\n    {answer}\n    = bce\n"
    )
    reports = check_library(text, tmp_path / "mine.loss")
    assert [[finding.code for finding in report.allowed] for report in reports] == [["LD209"], ["LD209"], []]
    assert [codes(report) for report in reports] == [[], [], ["LD801"]]
