"""`--fix` never changes a meaning: it leaves a text alone, or what it makes computes what a right reading computes."""

from __future__ import annotations

import pytest
import torch

import lossdsl
from lossdsl import words
from lossdsl.cli.fixes import Mended, mend
from lossdsl.cli.run_check import Wanted, formula_outcome
from lossdsl.errors import LossError

NAMES = sorted({word.name for group in words.groups() for word in group} | words._known())
FORMS = ["{}", "2*{}", "mean({}(p))", "bce + {}(p - y)", "nn.{}"]


def fixed(text: str, *, unsafe: bool = False) -> Mended:
    return mend(text, lambda changed: formula_outcome(changed, "", Wanted()).findings, unsafe=unsafe)


def is_read(text: str) -> bool:
    try:
        lossdsl.parse(text)
    except LossError:
        return False
    return True


@pytest.mark.sampled(4)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", range(20))
def test_no_name_of_the_field_is_mended(part: int, form: str) -> None:
    """Many to a text, as nothing here depends on the others."""
    names = [name for name in NAMES[part::20] if is_read(form.format(name))]
    assert len(names) > 100
    text = "\n + ".join(form.format(name) for name in names)
    text = f"({text})"
    assert fixed(text).text == text


# What people type for one of our words, or near it. None of it is a slip of the fingers for sure.
ALONE = [
    "mae",
    "rmse",
    "nmse",
    "msle",
    "wmse",
    "cmse",
    "mse2",
    "mse1",
    "mle",
    "mpe",
    "mase",
    "sse",
    "mre",
    "lmse",
    "awing",
    "dssim",
    "gdice",
    "wdice",
    "wbce",
    "cbce",
    "hinge2",
    "smooth_l2",
    "bce2",
    "bce_2",
    "dice2",
    "dice1",
    "l2",
    "l3",
    "ce2",
    "cce",
    "sce",
    "gce",
    "kld",
    "kl2",
    "js2",
    "focal2",
    "focal3",
    "wfocal",
    "sfocal",
    "tversky2",
    "wtversky",
    "iou2",
    "iou3",
    "diou",
    "ciou",
    "miou",
    "eiou",
    "siou",
    "fiou",
    "mcc2",
    "mccc",
    "huber2",
    "wing2",
    "twing",
    "cauchy2",
    "cldice2",
    "sdice",
    "ldice",
    "bdice",
    "cdice",
    "kdice",
    "pdice",
    "ssim2",
    "sssim",
    "mssim",
    "wssim",
    "fssim",
    "cssim",
    "tan",
    "sin",
    "cos",
    "elu",
    "gelu",
    "selu",
    "celu",
    "silu",
    "relu6",
    "prelu",
    "rrelu",
    "acosh",
    "asinh",
    "atanh",
    "sinh",
    "log2",
    "log10",
    "log1p",
    "exp2",
    "expm1",
    "amax",
    "amin",
    "sqr",
    "sqrt2",
    "sqr2",
    "cbrt",
    "rsqrt",
    "abs2",
    "sum2",
    "max2",
    "min2",
    "mean2",
    "topk2",
    "softmax2",
    "softmin",
]


@pytest.mark.parametrize("form", ["{}", "0.5*{} + 0.5*dice", "mean({}(p)) + bce"])
@pytest.mark.parametrize("name", ALONE)
def test_a_name_near_ours_is_left_alone(name: str, form: str) -> None:
    text = form.format(name)
    assert fixed(text).text == text


# slip: the right reading, which --fix writes
SLIPS = {
    # letters that changed places, one too many, one too few, another one
    "bec": "bce", "0.5*dcie": "0.5*dice", "idce": "dice", "dixe": "dice", "foacl": "focal",
    "focla": "focal", "focall": "focal", "foccal": "focal", "tverksy": "tversky",
    "tversk": "tversky", "tverssky": "tversky", "hnige": "hinge", "hinje": "hinge", "hinnge": "hinge",
    "lovaz": "lovasz", "lovsaz": "lovasz", "cauhcy": "cauchy", "hubre": "huber",
    "hubber": "huber", "wlesch": "welsch", "welsh": "welsch", "chrabonnier": "charbonnier",
    "charbonier": "charbonnier", "mes": "mse", "log_coshh": "log_cosh", "dice_cof": "dice_coef",
    "iou_coeff": "iou_coef", "balanced_bec": "balanced_bce", "f_betta": "f_beta",
    "recal": "recall", "preciison": "precision", "generalized_dcie": "generalized_dice",
    "focal_tverksy": "focal_tversky", "quality_foacl": "quality_focal", "flipped_iuo": "flipped_iou",
    "gemn_mcclure": "geman_mcclure", "normalised_focal": "normalized_focal",
    "epx(bce)": "exp(bce)", "lgo(1 + bce)": "log(1 + bce)", "sqrtt(bce)": "sqrt(bce)", "srqt(bce)": "sqrt(bce)",
    "mena(p*y)": "mean(p*y)", "meann(p*y)": "mean(p*y)", "smu(p*y)": "sum(p*y)", "sigmiod(bce)": "sigmoid(bce)",
    "sigmod(bce)": "sigmoid(bce)", "softplsu(bce)": "softplus(bce)", "tnah(bce)": "tanh(bce)",
    "clmap(bce, max=2)": "clamp(bce, max=2)", "stop_gradiant(bce)*dice": "stop_gradient(bce)*dice",
    "Tversky_": "tversky", "FOCAL": "focal", "Focal + bce": "focal + bce", "Lovasz": "lovasz", "Sqrt(bce)": "sqrt(bce)",
    "Charbonnier": "charbonnier",
    "regoin = dice\nregion + bce": "regoin = dice\nregoin + bce",
    "region = dice\nregoin + bce": "region = dice\nregion + bce",
    # parameters and their choices
    "focal(gama=3)": "focal(gamma=3)", "focal(gamm=3)": "focal(gamma=3)", "dice(smoth=2)": "dice(smooth=2)",
    "dice(smooht=2)": "dice(smooth=2)", "dice(pre=batch)": "dice(per=batch)", "dice(per=bacth)": "dice(per=batch)",
    "dice(per=imge)": "dice(per=image)", "dice(squard=true)": "dice(squared=true)",
    "dice(squared=ture)": "dice(squared=true)", "bce(pos_weigth=2)": "bce(pos_weight=2)",
    "bce(label_smothing=0.1)": "bce(label_smoothing=0.1)", "tversky(fp_wieght=0.3)": "tversky(fp_weight=0.3)",
    "mean(p*y, ovr=[batch, class, pixel])": "mean(p*y, over=[batch, class, pixel])",
    "huber(delat=2)": "huber(delta=2)", "bce(reductoin=mean)": "bce(reduction=mean)",
    "topk_ce(shre=0.5)": "topk_ce(share=0.5)", "focal(alpah=0.25)": "focal(alpha=0.25)",
    "f_beta(bta=2)": "f_beta(beta=2)", "lovasz(clases=all)": "lovasz(classes=all)",
    # signs
    "bce^2": "bce**2", "mean((p - y)^2)": "mean((p - y)**2)", "bce^0.5 + dice^2": "bce**0.5 + dice**2",
    "0.5 bce": "0.5*bce", "2bce": "2*bce", "2(bce + dice)": "2*(bce + dice)",
    "0.5 bce + 0.5 dice": "0.5*bce + 0.5*dice",
    "0,5*bce": "0.5*bce", "0,25*bce + 0,75*dice": "0.25*bce + 0.75*dice", "1,5*bce": "1.5*bce",
    "(0,5*bce + 1)*2": "(0.5*bce + 1)*2", "0,001*bce": "0.001*bce", "2.*bce": "2.0*bce",
    "'bce' + dice": "bce + dice", '"bce"': "bce", "dice(per='batch')": "dice(per=batch)",
    "mean(where(y = 1, p, 0))": "mean(where(y == 1, p, 0))",
    "mean(where(p => 0.5, p, 0))": "mean(where(p >= 0.5, p, 0))",
    "mean(where(p =< 0.5, p, 0))": "mean(where(p <= 0.5, p, 0))",
    "mean(where(y <> 1, p, 0))": "mean(where(y != 1, p, 0))",
    "exp(bce": "exp(bce)", "mean(abs(p": "mean(abs(p))", "dice(smooth=1": "dice(smooth=1)",
    "1 \N{MINUS SIGN} dice_coef": "1 - dice_coef", "2\N{MULTIPLICATION SIGN}bce": "2*bce",
    "2\N{MIDDLE DOT}bce": "2*bce", "bce\N{DIVISION SIGN}2": "bce/2", "bce\N{SUPERSCRIPT TWO}": "bce**2",
    "focal(\N{GREEK SMALL LETTER GAMMA}=3)": "focal(gamma=3)", "bce\N{NO-BREAK SPACE}+ dice": "bce + dice",
    "\N{CYRILLIC SMALL LETTER ES}e": "ce", "d\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}ce": "dice",
    "bce \N{EN DASH} 0.5*dice_coef": "bce - 0.5*dice_coef", "\N{FULLWIDTH LEFT PARENTHESIS}bce)*2": "(bce)*2",
}  # fmt: skip

# What has another reading, so that nobody but its writer can mend it.
LEFT = [
    "1,000*bce",
    "10,000*bce",
    "1,000,000*bce",
    "1.000,5*bce",
    "0x10*bce",
    "0b11*bce",
    "3.5 e-2*bce",
    "3.5 e - 2*bce",
    "3 E5*bce",
    "2 e5*bce",
    "2j*bce",
    "0.5f*bce",
    "1k*bce",
    "1 000*bce",
    "1\N{NO-BREAK SPACE}000*bce",
    "0\N{MIDDLE DOT}5*bce",
    "10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT THREE}*bce",
    "dice(weight=(1,2))",
    "dice(weight=(1, 2))",
    "dice(weight=(0,5))",
    "for_class(dice, (1,2))",
    "wasserstein_dice(distances=((0,1),(1,0)))",
    "(1,)*bce",
    "bce//2",
    "bce % 2",
    "bce(p, y) + dice",
    "bce(reduction=none) + dice",
    "mean(dice) + bce",
    "2 ** 3 bce",
    "bce/2 dice",
    "dice - bce",
    "bce*2 dice",
    "2. 5*bce",
    "0\N{DOT OPERATOR}5*bce",
    "term_a = bce\nterm_b + dice",
    "lossA = bce\nlossB + dice",
    "to_x_side = bce\nto_y_side + dice",
    "region1 = bce\nregion2 + dice",
    "exp(bce + dice*2",
]


def value(text: str) -> float:
    rng = torch.Generator().manual_seed(0)
    p = torch.rand((2, 1, 8), generator=rng, dtype=torch.float64)
    y = (torch.rand((2, 1, 8), generator=rng) > 0.5).double()
    try:
        return float(lossdsl.compile(text, task="binary")(torch.logit(p), y))
    except lossdsl.LossError:  # one for several classes
        logits, labels = torch.logit(torch.cat([p, 1 - p], dim=1)), torch.cat([y, 1 - y], dim=1)
        return float(lossdsl.compile(text, task="multiclass")(logits, labels))


@pytest.mark.parametrize("slip", SLIPS, ids=ascii)
def test_a_slip_is_mended_to_its_right_reading(slip: str) -> None:
    right, mended = SLIPS[slip], fixed(slip)
    assert not [finding for finding in mended.left if finding.severity == "error"]
    assert lossdsl.parse(mended.text) == lossdsl.parse(right)
    assert value(mended.text) == value(right)


def test_there_are_enough() -> None:
    assert len(NAMES) + len(ALONE) >= 500
    assert len(SLIPS) + len(LEFT) >= 100


@pytest.mark.parametrize("text", LEFT, ids=ascii)
def test_what_has_two_readings_is_left_alone(text: str) -> None:
    assert fixed(text).text.replace(" ", "") == text.replace("\N{NO-BREAK SPACE}", "").replace(" ", "")


# What --fix --unsafe makes of it.
SUGGESTED = {
    "mae + bce": "l1 + bce",
    "2*rmse": "2*sqrt(mse)",
    "nn.BCEWithLogitsLoss()": "bce",
    "torch.nn.BCEWithLogitsLoss()": "bce",
    "mean(log2(1 + p))": "mean(log(1 + p)/log(2))",
    "mean(2*log2(1 + p))": "mean(2*(log(1 + p)/log(2)))",
    "mean(square(p - y)*2)": "mean(((p - y)**2)*2)",
    "mean(pow(p - y, 2))": "mean((p - y)**2)",
    "mean(torch.exp(p))": "mean(exp(p))",
    "detach(bce)*dice": "stop_gradient(bce)*dice",
    "0.01*wmse + bce": "0.01*mse + bce",
    "3.5 e-2*bce": "3.5e-2*bce",
    "generalized_dice + (1,2)*bce": "generalized_dice + [1, 2]*bce",
    "bce(p, y) + dice": "bce(z, y) + dice",
}


@pytest.mark.parametrize("text", ["0.5. *bce", "0.5 x bce", "2 X dice", "1.5.*bce"])
def test_what_has_no_sure_reading_is_left(text: str) -> None:
    assert fixed(text).text == text
    assert fixed(text, unsafe=True).text == text


@pytest.mark.parametrize("text", SUGGESTED)
def test_what_is_suggested_is_made_when_asked(text: str) -> None:
    assert fixed(text).text == text
    assert fixed(text, unsafe=True).text == SUGGESTED[text]
