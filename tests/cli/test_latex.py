"""LaTeX and opened losses in `explain` and `show`."""

from __future__ import annotations

from pathlib import Path

import pytest

import lossdsl
from lossdsl.api.explain import loss_latex
from lossdsl.errors import FormulaError
from lossdsl.registry.discover import default_registry

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.yaml"))


def assert_balanced(text: str) -> None:
    assert text.replace(r"\{", "").count("{") == text.replace(r"\}", "").count("}")
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.isascii()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe(recipe: Path) -> None:
    opened = lossdsl.explain(recipe, latex=True, open="all")
    assert_balanced(opened)
    assert len(opened) >= len(lossdsl.explain(recipe, latex=True))


@pytest.mark.parametrize(
    "candidate", default_registry().all(), ids=lambda candidate: f"{candidate.namespace}.{candidate.name}"
)
def test_every_loss(candidate) -> None:
    loss = default_registry().load(candidate)
    text = loss_latex(loss)
    assert_balanced(text)
    assert text.startswith((r"\begin{aligned}", r"\mathrm{", "p"))


def test_show(invoke) -> None:
    assert invoke("show", "mse", "--latex").stdout == (
        "\\begin{aligned}\n"
        r"  \mathrm{mse} &= \operatorname*{mean} \left(\left(\mathrm{pred} - \mathrm{target}\right)^{2}\right)"
        "\n\\end{aligned}\n"
    )


OPENED = """
opened:
    tversky(fn_weight=0.7)
        tp = sum(p*y, per=image)
        fp = sum(p, per=image) - tp
        fn = sum(y, per=image) - tp
        wrong = 0.5*fp + 0.7*fn
        for binary | multilabel | multiclass = mean(wrong/(tp + wrong + 1))
"""


def test_a_loss_is_opened_with_the_parameters_of_its_call(invoke) -> None:
    arguments = ("explain", "-e", "bce + tversky(fn_weight=0.7)")
    short, opened = invoke(*arguments), invoke(*arguments, "--open", "tversky")
    assert "opened:" not in short.stdout
    assert OPENED in opened.stdout
    assert opened.stdout.replace(f"{OPENED}", "") == short.stdout
    assert "opened:\n    bce\n        for binary" in invoke(*arguments, "--open", "all").stdout


def test_losses_that_losses_name_are_opened_too() -> None:
    text = lossdsl.explain("focal_tversky(gamma=2)", open="all")
    assert "= mean(tversky(fp_weight=0.3, fn_weight=0.7, smooth=1, per=image, reduction=none)**2)" in text
    assert "    tversky(fp_weight=0.3, fn_weight=0.7, smooth=1, per=image)\n        tp = " in text
    assert "opened:\n    tversky(" in lossdsl.explain("focal_tversky", open=["tversky"])


def test_choices_are_decided() -> None:
    text = lossdsl.explain("dice(average=micro, squared=true)", open="all").partition("opened:")[2]
    assert "both = sum(p**2, per=image) + sum(y**2, per=image)" in text
    assert "micro)" not in text.partition("\n        ")[2]


def test_what_is_1_or_0_is_left_out() -> None:
    """The default Dice loss, without its other variants."""
    assert lossdsl.explain("dice(smooth=0)", open="all").partition("opened:\n")[2].partition("\n\n")[0] == (
        "    dice(smooth=0)\n"
        "        tp = sum(p*y, per=image)\n"
        "        both = sum(p, per=image) + sum(y, per=image)\n"
        "        wrong = (both - 2*tp)/both\n"
        "        for binary = mean(wrong)\n"
        "        for multilabel | multiclass = mean(wrong)"
    )
    assert "= mean(-(y*log(p) + (1 - y)*log(1 - p)))" in lossdsl.explain("bce", open="all").partition("opened:")[2]


def test_a_tensor_in_brackets_and_reduction_are_not_part_of_what_is_opened() -> None:
    text = lossdsl.explain("dice(aux, seg) + mean(w*bce(reduction=none)) + dice", open="all").partition("opened:")[2]
    assert text.count("    dice\n") == 1
    assert text.count("    bce\n") == 1


def test_a_name_that_is_not_used(invoke) -> None:
    result = invoke("explain", "-e", "bce + dice", "--open", "dcie")
    assert "the loss does not use `dcie`" in result.stderr
    assert "did you mean `dice`?" in result.stderr
    assert result.exit_code == 1
    with pytest.raises(FormulaError, match="does not use `lovasz_extension`"):
        lossdsl.explain("lovasz", open=["lovasz_extension"])


def test_latex_of_a_long_form(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "loss:\n  define: {overlap: dice(smooth=0)}\n  terms:\n    pixel: {expr: bce, weight: 0.5}\n"
        "    region: {expr: -log(1 - overlap), weight: 'min(0.5, epoch/20)'}\n"
    )
    assert invoke("explain", "a.yaml", "--latex").stdout == (
        "\\begin{aligned}\n"
        "  & 0.5\\,\\mathrm{pixel} + \\min\\left(0.5, \\frac{\\mathrm{epoch}}{20}\\right) "
        "\\cdot \\mathrm{region} \\\\\n"
        "  \\mathrm{pixel} &= \\mathrm{bce} \\\\\n"
        "  \\mathrm{region} &= -\\log\\left(1 - \\mathrm{overlap}\\right) \\\\\n"
        "  \\mathrm{overlap} &= \\mathrm{dice}\\left(\\mathrm{smooth} = 0\\right)\n"
        "\\end{aligned}\n"
    )


def test_a_code(invoke) -> None:
    result = invoke("explain", "ld204")
    assert result.stdout.startswith("LD204: a number outside of the range of its parameter\n")
    assert "\n    focal(gamma=-1)\n" in result.stdout
    assert result.exit_code == 0
    unknown = invoke("explain", "LD299")
    assert "there is no code LD299: the nearest are " in unknown.stderr
    assert "LD210" in unknown.stderr
    assert unknown.exit_code == 2
    assert invoke("explain", "LD9999").exit_code == 2
