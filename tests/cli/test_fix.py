"""`lossdsl check --fix` and `--diff`: what is mended, and that nothing else changes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import lossdsl
from lossdsl.cli import main

# wrong: what one run of --fix makes of it
MENDED = {
    "0.5*bec + 0.5*dcie": "0.5*bce + 0.5*dice",
    "Focal + bce": "focal + bce",
    "focal(gama=2)": "focal(gamma=2)",
    "dice(per=imag)": "dice(per=image)",
    "dice(per='imge')": "dice(per='image')",
    "bce(reduction=men)": "bce(reduction=mean)",
    "mean(p**2, ovr=[batch, class, pixel])": "mean(p**2, over=[batch, class, pixel])",
    "mean((p - y)^2)": "mean((p - y)**2)",
    "bce^2 + dice^2": "bce**2 + dice**2",
    "0.5 bce + 2(dice + iou)": "0.5*bce + 2*(dice + iou)",
    "0.5   bce": "0.5*bce",
    "ce + 1 \N{MINUS SIGN} dice_coef": "ce + 1 - dice_coef",
    "2\N{MULTIPLICATION SIGN}dice\N{NO-BREAK SPACE}+ bce\N{ZERO WIDTH SPACE}": "2*dice + bce",
    "mean((p - y)\N{SUPERSCRIPT TWO})": "mean((p - y)**2)",
    "d\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}ce": "dice",
    "focal(\N{GREEK SMALL LETTER GAMMA}=2)": "focal(gamma=2)",
    "mean(where(y = 1, 1 - p, p))": "mean(where(y == 1, 1 - p, p))",
    "mean(where(2*y = 1, 1 - p, p))": "mean(where(2*y == 1, 1 - p, p))",
    "mean(where(y => 1, 1 - p, p))": "mean(where(y >= 1, 1 - p, p))",
    "mean(where(y <> 1, 1 - p, p))": "mean(where(y != 1, 1 - p, p))",
    "'dice' + \"bce\"": "dice + bce",
    "0,5*bce + 0,5*dice": "0.5*bce + 0.5*dice",
    "2.*bce": "2.0*bce",
    "dice(smooth=1e-3, per=batch": "dice(smooth=1e-3, per=batch)",
    "mean(max(0.5, where(y > 0.5, p, 1)": "mean(max(0.5, where(y > 0.5, p, 1)))",
    "0.5*exp(dice  # the region": "0.5*exp(dice)  # the region",
}

# What runs, or may be meant otherwise: what --fix --unsafe makes of it, and --fix leaves.
SUGGESTED = {
    "bce(p, y) + dice": "bce(z, y) + dice",
    "bce(1 - p, 1 - y) + dice": "bce(-z, 1 - y) + dice",
    "bce(sigmoid(z), y) + dice": "bce(z, y) + dice",
    "bce + 0.4*bce(sigmoid(2*aux), y)": "bce + 0.4*bce(2*aux, y)",
    "bce + mean(abs(sigmoid(sigmoid((z + 1)/2)) - y))": "bce + mean(abs(sigmoid((z + 1)/2) - y))",
    "ce(softmax(aux), y) + ce": "ce(aux, y) + ce",
    "bce(reduction=none) + dice": "bce + dice",
    "2*bce(pos_weight=3, reduction=none) + dice": "2*bce(pos_weight=3) + dice",
    "dice + focal(reduction = none, gamma=1)": "dice + focal(gamma=1)",
    "mean(dice) + mean( bce(pos_weight=2) )": "dice + bce(pos_weight=2)",
    "mae + 2*rmse": "l1 + 2*sqrt(mse)",
}

# What has more than one reading, or none that the hint gives.
LEFT = [
    "2*mean(dice + iou)",
    "max(dice) + bce",
    "w*bce(reduction=none)",
    "bce + dice_coef",
    "bce + 0*dice",
    "bce - dice",
    "focal(gamma=2 - epoch)",
    "bce + mean(abs(sigmoid(1 - sigmoid(z)) - y))",
    "(bce + dice*2",
    "bce/2 dice",
    "log(1 + bce",
    "region := dice\nregion",
    "2**3 bce",
    "mean(0.5 p)",
    "bce dice",
    "xce + bce",
    "0.5*\N{SQUARE ROOT}dice",
    "mean(p\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT ZERO})",
    "2\N{GREEK SMALL LETTER ALPHA}x",
    "tversky(alpha=0.7)",
    "1.e-3*bce",
    "dice_los",
    "bce(\N{LEFT DOUBLE QUOTATION MARK}aux\N{RIGHT DOUBLE QUOTATION MARK})",
    "e\N{COMBINING ACUTE ACCENT}",
]


@pytest.mark.parametrize("wrong", MENDED, ids=ascii)
def test_what_is_mended(wrong: str) -> None:
    result = CliRunner().invoke(main, ["check", "--fix", "-e", wrong, "--format", "json"], catch_exceptions=False)
    document = json.loads(result.stdout)
    assert document["ok"]
    assert document["diagnostics"] == []
    shown = CliRunner().invoke(main, ["check", "--fix", "-e", wrong], catch_exceptions=False).stdout
    assert shown.endswith(f"<formula> fixed:\n    {MENDED[wrong]}\n1 loss, nothing left; {_counted(document)} fixed\n")


def _counted(document: dict[str, list[object]]) -> str:
    count = len(document["fixed"])
    return f"{count} finding{'s' * (count > 1)}"


@pytest.mark.parametrize("wrong", SUGGESTED)
def test_what_is_suggested(invoke, wrong: str) -> None:
    left = json.loads(invoke("check", "--fix", "-e", wrong, "--format", "json").stdout)
    assert left["fixed"] == []
    assert {finding["edit"]["applicability"] for finding in left["diagnostics"] if finding["edit"]} == {"suggested"}
    shown = invoke("check", "--fix", "--unsafe", "-e", wrong)
    assert f"<formula> fixed:\n    {SUGGESTED[wrong]}\n" in shown.stdout
    assert json.loads(invoke("check", "--fix", "--unsafe", "-e", wrong, "--format", "json").stdout)["ok"]


@pytest.mark.parametrize("wrong", LEFT, ids=ascii)
def test_what_is_left_alone(wrong: str) -> None:
    report = lossdsl.check(wrong)
    assert report.diagnostics
    assert not any(finding.edit for finding in report.diagnostics)


LAYOUTS = {
    "plain": "loss: 0.5*bec  # why\nother: 0.5*bec\n",
    "single quotes": "# 0.5*bec\nloss: '0.5*bec'\nother: 'it''s'\n",
    "double quotes": 'other: "caf\\u00e9"\nloss: "0.5*bec"\n',
    "literal block": "loss: |\n  # a comment: 0.5*bex\n  0.5*bec\nother: |-\n  x\n",
    "folded block": "loss: >-\n  0.5*bec\n  + dcie\nother: 1\n",
    "flow": "train: {lr: 1e-3}\nloss: {expr: 0.5*bec, task: binary}\n",
    "terms": "loss:\n  terms:\n    a: {expr: bec, weight: 0.5}\n    b: dcie   # two\n",
    "anchor": "base: &base 0.5*dcie\nloss: *base\n",
    "a key": 'loss:\n  taks: binary\n  "expr": bce\n',
    "a quoted key": "loss:\n  'taks': binary\n  expr: bce\n",
    "an option": "loss:\n  task: binry\n  expr: bce\n",
    "json": '{\n\t"other": [1, 2],\n\t"loss": "0.5*bec"\n}',
    "no line end": "loss: 0.5*bec",
}
EXPECTED = {"bec": "bce", "dcie": "dice", "taks": "task", "binry": "binary"}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_scalar_style(invoke, folder: Path, layout: str, encoding: str, ends: str) -> None:
    text = ("# \N{SNOWMAN}\n" * (layout != "json") + LAYOUTS[layout]).replace("\n", ends)
    before = text.encode(encoding)
    (folder / "a.yaml").write_bytes(before)
    wanted = text
    for wrong, right in EXPECTED.items():
        wanted = re.sub(rf"(?<!# )(?<!other: 0.5\*)(?<!# 0.5\*)\b{wrong}\b", right, wanted)
    assert wanted != text
    shown = invoke("check", "a.yaml", "--diff")
    assert (folder / "a.yaml").read_bytes() == before
    assert shown.exit_code == 1
    result = invoke("check", "a.yaml", "--fix")
    assert (folder / "a.yaml").read_bytes() == wanted.encode(encoding)
    assert "nothing left" in result.stdout
    assert result.exit_code == 0
    assert invoke("check", "a.yaml", "--fix").stdout == "1 loss, nothing found\n"


DIFF = """\
--- a/a.yaml
+++ b/a.yaml
@@ -1,2 +1,2 @@
 # the loss
-loss: 0.5*bec + dice(per=side)
+loss: 0.5*bce + dice(per=side)
a.yaml:2:26: error LD205: `per` takes image or batch
    loss: 0.5*bce + dice(per=side)
                             ^~~~
    the default is image
1 error left in 1 loss; 1 finding to be fixed
"""
FIXED = """\
fixed a.yaml:2:11: error LD201: unknown loss `bec`
a.yaml:2:26: error LD205: `per` takes image or batch
    loss: 0.5*bce + dice(per=side)
                             ^~~~
    the default is image
1 error left in 1 loss; 1 finding fixed
"""


def test_what_is_said(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text("# the loss\nloss: 0.5*bec + dice(per=side)\n")
    result = invoke("check", "a.yaml", "--diff")
    assert (result.stdout, result.exit_code) == (DIFF, 1)
    result = invoke("check", "a.yaml", "--fix")
    assert (result.stdout, result.exit_code) == (FIXED, 1)


@pytest.mark.parametrize(
    "text",
    [
        "loss: 0.5\n  bce\n",  # the space is a line break
        'loss: "0.5\\x20bce"\n',  # the space is an escape
        "loss: {expr: 'mean(where(y = 1, ''p'', 0))', task: binary}\n",
        'loss: "\\"dice\\""\n',
        "loss: ^dice\n",  # ** would begin an alias, and is no formula either
    ],
)
def test_what_cannot_be_written_is_left(invoke, folder: Path, text: str) -> None:
    (folder / "a.yaml").write_text(text)
    result = invoke("check", "a.yaml", "--fix")
    assert result.exit_code == 1
    after = (folder / "a.yaml").read_text()
    assert len(after.splitlines()) == len(text.splitlines())
    assert invoke("check", "a.yaml", "--fix").exit_code == 1
    assert (folder / "a.yaml").read_text() == after


def test_an_edit_that_yaml_would_read_otherwise_is_not_made(invoke, folder: Path) -> None:
    """`0.5 *bce` would be fine, but at the start of a plain scalar `*` is an alias."""
    (folder / "a.yaml").write_text("loss: \N{MULTIPLICATION SIGN}bce\n")
    assert invoke("check", "a.yaml", "--fix").exit_code == 1
    assert (folder / "a.yaml").read_text() == "loss: \N{MULTIPLICATION SIGN}bce\n"


CUT = [
    "a: {loss: mean(clamp(p, min=0.1))}\n",
    "a: {loss: mean(clamp(p , min=0.1)), task: binary}\n",
    "a: {loss: {expr: dice(smooth=1, per=batch)}}\n",
    "a: {loss: {terms: {one: bce, two: exp(dice(smooth=1, per=batch))}}}\n",
    "a: {loss: max(bce, dice)}\n",
    "a:\n  loss: {expr: mean(max(p,\n    y))}\n",
]


@pytest.mark.parametrize("text", CUT)
@pytest.mark.parametrize("options", [[], ["--unsafe"]])
def test_a_formula_that_yaml_cuts_at_a_comma_is_left(invoke, folder: Path, text: str, options: list[str]) -> None:
    (folder / "a.yaml").write_text(text)
    result = invoke("check", "a.yaml", "--key", "a.loss", "--fix", *options)
    assert (folder / "a.yaml").read_text() == text
    assert "comma" in result.stdout
    assert "quote the formula" in result.stdout
    assert result.exit_code == 1


COUNTED = {
    "twice in a line": ("loss: bec + bec\n", 2),
    "twice with weights": ("loss: 0.5*bec + dice + 2*bec - bec\n", 3),
    "a parameter": ("loss: focal(gama=2) - 0.1*focal(gama=2)\n", 2),
    "twice in a power": ("loss: bec^2 + bec^2\n", 4),
    "three commas": ("loss: 0,5*bce + 0,5*dice + 0,5*iou\n", 3),
    "by an anchor": ("a: &one 0.5*bec\nloss: *one\nother: *one\n", 1),
    "in definitions": ("loss: {define: {a: bec, b: bec}, expr: a + 2*b + dice}\n", 2),
    "in a total": ("loss: {terms: {a: 2*bec, b: dice}, total: a + b + a + a}\n", 1),
    "in losses": ("loss: bec\nother: bec\n", 2),
}


@pytest.mark.parametrize("case", COUNTED)
def test_a_slip_is_counted_as_often_as_it_is_mended(invoke, folder: Path, case: str) -> None:
    text, count = COUNTED[case]
    (folder / "a.yaml").write_text(text)
    keys = ["--key", "loss", "--key", "other"] if "other" in text else []
    plain = invoke("check", "a.yaml", *keys).stdout
    if "^" not in text and "0,5" not in text:  # of two that cannot be read, the first is told
        assert plain.rstrip().endswith(f"{count} fixable with --fix")
    diff = json.loads(invoke("check", "a.yaml", "--diff", "--format", "json", *keys).stdout)
    assert len(diff["fixed"]) == count
    result = invoke("check", "a.yaml", "--fix", *keys)
    assert f"; {count} finding{'s' * (count > 1)} fixed\n" in result.stdout
    assert result.stdout.count("fixed a.yaml:") == count


def test_the_diff_in_json(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text("# the loss\nloss: 0.5*bec + dice\n")
    result = invoke("check", "a.yaml", "--diff", "--format", "json")
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert document["diagnostics"] == []
    assert [finding["code"] for finding in document["fixed"]] == ["LD201"]
    assert document["diff"].splitlines() == [
        "--- a/a.yaml",
        "+++ b/a.yaml",
        "@@ -1,2 +1,2 @@",
        " # the loss",
        "-loss: 0.5*bec + dice",
        "+loss: 0.5*bce + dice",
    ]
    assert result.exit_code == 1
    (folder / "a.yaml").write_text("loss: 0.5*bce + dice\n")
    document = json.loads(invoke("check", "a.yaml", "--diff", "--format", "json").stdout)
    assert document == {"ok": True, "diagnostics": [], "allowed": [], "tensors": [], "fixed": [], "diff": ""}


def test_both_kinds_are_told_apart(invoke) -> None:
    shown = invoke("check", "-e", "bec + mae + rmse").stdout
    assert shown.endswith("3 errors in 1 loss; 1 fixable with --fix; 2 more fixable with --fix --unsafe\n")
    shown = invoke("check", "-e", "bec + mae + rmse", "--fix").stdout
    assert shown.endswith("2 errors left in 1 loss; 1 finding fixed; 2 more fixable with --fix --unsafe\n")


def test_unsafe_alone_is_wrong_use(invoke) -> None:
    result = invoke("check", "-e", "bce", "--unsafe")
    assert result.exit_code == 2
    assert "--unsafe goes with --fix or --diff" in result.output


def test_definitions_in_a_loss_file(invoke, folder: Path) -> None:
    text = "# mine\nloss mine(gamma: [0, inf) = 1) -> [0, inf)\n    for binary = mean(p^gamma) + dcie\n"
    (folder / "mine.loss").write_text(text)
    assert invoke("check", "mine.loss", "--fix").exit_code == 0
    assert (folder / "mine.loss").read_text() == text.replace("^", "**").replace("dcie", "dice")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is writable for root")
def test_a_file_that_cannot_be_written(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text("loss: bec\n")
    (folder / "a.yaml").chmod(0o444)
    result = invoke("check", "a.yaml", "--fix")
    assert "the file cannot be written" in result.stdout
    assert result.exit_code == 2


GOOD = [
    "0.5*bce + 0.5*dice",
    "0.5*bce - log(1 - dice)",
    "mean((p - y)**2) + 0.25*tversky(fp_weight=0.3, smooth=2)",
    "focal(gamma=2) + min(1, epoch/10)*dice(per=batch)",
    "0.5*exp(bce) + mean(where(y == 1, 1 - p, p))",
]
WORDS = re.compile(r"[a-z_]{4,}|bce")
HEADS = [
    "# top: 0,5 bec^2\n",
    "seed: 1\n",
    "data: {size: [1, 2]}  # x^2\n",
    "note: 'it''s 0,5'\n",
    't: "\\u2212 bec"\n',
    "",
]
TAILS = ["\nafter: bec^2\n", "\n# 0,5 dcie\n", "", "\nlist:\n- bec\n- 0,5\n"]
FORMS = {
    "plain": "loss: {}",
    "single": "loss: '{}'",
    "double": 'loss: "{}"',
    "literal": "loss: |\n    {}",
    "folded": "loss: >\n  {}",
    "flow": 'loss: {{expr: "{}", task: binary}}',
    "term": "loss:\n  terms:\n    one: {{expr: '{}', weight: 2}}",
}


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """A good formula, and the same with up to three slips."""
    good = text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        text = _slip(draw, text)
    return good, text


def _slip(draw: st.DrawFn, text: str) -> str:
    kind = draw(st.sampled_from(["power", "product", "minus", "comma", "equal", "end", "twice", "swapped"]))
    simple = {"power": ("**", "^"), "minus": ("-", "\N{MINUS SIGN}"), "equal": ("==", "="), "comma": ("0.5", "0,5")}
    if kind in simple:
        return text.replace(*simple[kind], draw(st.integers(1, 2)))
    if kind == "product":
        return re.sub(r"(\d)\*(?=[a-z])", r"\1 ", text, count=1)
    if kind == "end":
        return text.removesuffix(")")
    words = list(WORDS.finditer(text))
    word = draw(st.sampled_from(words)) if words else None
    if word is None:
        return text
    at = draw(st.integers(word.start(), word.end() - 2))
    swapped = text[at + 1] + text[at]
    return text[:at] + (swapped if kind == "swapped" else swapped[::-1] + text[at + 1]) + text[at + 2 :]


@settings(max_examples=150)
@given(
    slips(),
    st.sampled_from(HEADS),
    st.sampled_from(TAILS),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(["\n", "\r\n"]),
)
def test_only_the_formula_is_mended_or_left_with_a_finding(
    tmp_path_factory: pytest.TempPathFactory, slip: tuple[str, str], head: str, tail: str, form: str, ends: str
) -> None:
    good, wrong = slip
    before, after = FORMS[form].split("{}") if "{{" not in FORMS[form] else FORMS[form].format("\0").split("\0")
    before, after = (head + before).replace("\n", ends), (after + tail).replace("\n", ends)
    file = tmp_path_factory.mktemp("fix") / "a.yaml"
    file.write_bytes(f"{before}{wrong}{after}".encode())
    result = CliRunner().invoke(main, ["check", "--fix", str(file)], catch_exceptions=False)
    mended = file.read_bytes().decode()
    assert mended.startswith(before)
    assert mended.endswith(after)
    formula = mended[len(before) : len(mended) - len(after)]
    report = lossdsl.check(file)
    assert report.ok is (result.exit_code == 0)
    if report.ok and not lossdsl.check(wrong).ok:
        assert lossdsl.parse(formula) == lossdsl.parse(good)
    again = CliRunner().invoke(main, ["check", "--fix", str(file)], catch_exceptions=False)
    assert (file.read_bytes().decode(), again.exit_code) == (mended, result.exit_code)
