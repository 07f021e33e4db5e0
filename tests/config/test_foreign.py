"""Configs of other frameworks are recognised, and answered once with the formula that is meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lossdsl
from lossdsl.config.foreign_configs import KINDS
from lossdsl.errors import ConfigError

MAY_DIFFER = "; its smoothing and averaging may differ"
HYDRA = "; with Hydra, use `_target_: lossdsl.compile` with the formula as `source`"
LIGHTNING = "; with Lightning, use `class_path: lossdsl.compile` with the formula as `source`"
NONE = "lossdsl has no `{}`; write its formula, or wrap its function with lossdsl.adapt"

# config -> the start of the message, the whole hint; the mark is where the finding stands
CONFIGS = {
    # Hydra
    "loss: {«_target_»: torch.nn.BCEWithLogitsLoss}": ("`_target_`", f"write `bce`{HYDRA}"),
    "loss:\n  «_target_»: torch.nn.CrossEntropyLoss\n  label_smoothing: 0.1\n  ignore_index: 255\n  weight: [1, 2.0]\n": (  # noqa: E501
        "`_target_`",
        f'write `{{expr: "ce(label_smoothing=0.1)", ignore_index: 255, class_weight: [1, 2]}}`{HYDRA}',
    ),
    "loss: {«_target_»: torch.nn.HuberLoss, delta: 1e-3, reduction: mean, _convert_: all}": (
        "`_target_`", f"write `huber(delta=0.001)`{HYDRA}",
    ),
    "loss: {«_target_»: torch.nn.BCELoss}": ("`_target_`", f'write `{{expr: "bce", input: probs}}`{HYDRA}'),
    "loss: [{«_target_»: torch.nn.CrossEntropyLoss, weight: [1, 2]}, {_target_: torch.nn.CrossEntropyLoss}]": (
        "`_target_`", f'the nearest is `{{expr: "ce + ce", class_weight: [1, 2]}}`{MAY_DIFFER}{HYDRA}',
    ),
    "loss: [{«type»: CrossEntropyLoss, class_weight: [1, 2]}, {type: DiceLoss, class_weight: [1, 3]}]": (
        "`type`", f"the nearest is `ce + dice`{MAY_DIFFER}; `class_weight` is omitted",
    ),
    "loss: {«_target_»: torch.nn.KLDivLoss}": ("`_target_`", f"the nearest is `kl`{MAY_DIFFER}{HYDRA}"),
    "loss: {«_target_»: torch.nn.L1Loss, reduction: sum}": (
        "`_target_`", f"the nearest is `l1`{MAY_DIFFER}; `reduction` is omitted{HYDRA}",
    ),
    "loss: {«_target_»: mine.losses.FancyLoss, a: 1}": ("`_target_`", NONE.format("mine.losses.FancyLoss") + HYDRA),
    "loss: {a: {«_target_»: torch.nn.L1Loss}, b: {_target_: torch.nn.MSELoss}}": ("`_target_`", f"write `l1 + mse`{HYDRA}"),  # noqa: E501
    "loss: [{«_target_»: torch.nn.L1Loss}, {_target_: torch.nn.MSELoss}]": ("`_target_`", f"write `l1 + mse`{HYDRA}"),
    # Lightning
    "loss: {«class_path»: torch.nn.BCEWithLogitsLoss, init_args: {pos_weight: 2}}": (
        "`class_path`", f"write `bce(pos_weight=2)`{LIGHTNING}",
    ),
    "loss: {«class_path»: torch.nn.SmoothL1Loss}": ("`class_path`", f"write `smooth_l1`{LIGHTNING}"),
    # registries of classes, as mmsegmentation, PaddleSeg and BasicSR have them
    "loss: [{«type»: CrossEntropyLoss, loss_name: loss_ce, loss_weight: 1.0}, {type: DiceLoss, loss_weight: 3.0}]": (
        "`type`", f"the nearest is `ce + 3*dice`{MAY_DIFFER}",
    ),
    "loss: {«type»: CrossEntropyLoss, use_sigmoid: True, loss_weight: 0.4}": ("`type`", f"the nearest is `0.4*bce`{MAY_DIFFER}"),  # noqa: E501
    "loss: {«type»: FocalLoss, gamma: 2.0, alpha: 0.25, loss_weight: 10}": (
        "`type`", f"the nearest is `10*focal(gamma=2, alpha=0.25)`{MAY_DIFFER}",
    ),
    "loss: {«type»: CrossEntropyLoss, class_weight: [0.5, 1], avg_non_ignore: true}": (
        "`type`",
        f'the nearest is `{{expr: "ce", class_weight: [0.5, 1]}}`{MAY_DIFFER}; `avg_non_ignore` is omitted',
    ),
    "loss: {pixel_opt: {«type»: L1Loss, loss_weight: 1e-2}, gan_opt: {type: GANLoss}}": ("`type`", NONE.format("GANLoss")),  # noqa: E501
    "loss: {«types»: [{type: CrossEntropyLoss}], coef: [1, 0.4]}": (
        "a list of losses with a list", f"the nearest is `multiscale(ce, weights=[1, 0.4])`{MAY_DIFFER}",
    ),
    "loss: {«types»: [{type: MixedLoss, losses: [{type: CrossEntropyLoss}, {type: LovaszSoftmaxLoss}], coef: [0.8, 0.2]}], coef: [1]}": (  # noqa: E501
        "a list of losses with a list", f"the nearest is `0.8*ce + 0.2*lovasz`{MAY_DIFFER}",
    ),
    "loss: {«loss_type»: [DiceLoss, CrossEntropyLoss], loss_weight: [0.5, 0.5]}": (
        "a list of losses with a list", f"the nearest is `0.5*dice + 0.5*ce`{MAY_DIFFER}",
    ),
    "loss: {«losses»: [bce, dice], weights: [1, 2.5]}": ("a list of losses with a list", "write `bce + 2.5*dice`"),
    # by name
    "loss: {«name»: BCEDiceLoss, skip_last_target: true}": (
        "`name`", f"the nearest is `bce + dice`{MAY_DIFFER}; `skip_last_target` is omitted",
    ),
    "loss: [{«name»: l1, weight: 2}, {name: mse, args: {}}]": ("`name`", f"the nearest is `2*l1 + mse`{MAY_DIFFER}"),
    "loss: {«name»: dice, params: {smooth: 0}}": ("`name`", f"the nearest is `dice(smooth=0)`{MAY_DIFFER}"),
    # names with weights
    "loss: {«bce»: 0.5, dice: 0.5}": ("a mapping of names", "write `0.5*bce + 0.5*dice`"),
    "loss: {«bce»: 1.0, dice: 0.50, task: binary}": ("a mapping of names", 'write `{expr: "bce + 0.5*dice", task: binary}`'),  # noqa: E501
    "loss: [{«bce»: 0.5}, {dice: -1}]": ("a mapping of names", "write `0.5*bce - 1*dice`"),
    "loss: {«bce»: {weight: 0.5}, dice: {smooth: 0}}": ("a mapping of names", "write `0.5*bce + dice(smooth=0)`"),
    "loss: {«CrossEntropyLoss»: 1, DiceLoss: 3}": ("a mapping of names", f"the nearest is `ce + 3*dice`{MAY_DIFFER}"),
    "loss: {«bce»: '0.5', dice: '0.5'}": ("a mapping of names", "write `0.5*bce + 0.5*dice`"),
    "loss: {«bce»: 0.5, dice: epoch/10}": ("a mapping of names", "write `0.5*bce + (epoch/10)*dice`"),
    "loss: {«bce»: 'min(1, epoch/10)', dice: 1}": ("a mapping of names", "write `min(1, epoch/10)*bce + dice`"),
    "loss: {«ce»: 0.1, wombat: 0.9}": ("a mapping of names", NONE.format("wombat")),
    # terms in the place of a loss
    "loss: {expr: bce, «weight»: 0.5}": ("`expr` and `weight`", "write `0.5*bce`"),
    'loss: {expr: bce + dice, «weight»: "min(1, epoch/10)", task: binary}': (
        "`expr` and `weight`", 'write `{expr: "min(1, epoch/10)*(bce + dice)", task: binary}`',
    ),
    "loss: [{«expr»: bce, weight: 0.5}, {expr: bce + dice, weight: 2}]": (
        "`expr` and `weight`", "write `0.5*bce + 2*(bce + dice)`",
    ),
    "loss:\n  pixel: {«expr»: ce, weight: 0.5}\n  region: {expr: dice}\n": ("`expr` and `weight`", "write `0.5*ce + dice`"),  # noqa: E501
    "loss: {a: {«expr»: bce, weight: null}, b: {expr: -dice}}": ("`expr` and `weight`", "write `bce - dice`"),
    "loss: {expr: bce, «weight»: 0.5, ignore_index: x}": (
        "`expr` and `weight`", "write `0.5*bce`; `ignore_index` is omitted",
    ),
    'loss: [{«expr»: "bce # the pixels"}, {expr: dice}]': ("`expr` and `weight`", "write a formula: 0.5*bce + 0.5*dice"),  # noqa: E501
    "loss: {a: {«expr»: bce, weight: [1, 2]}}": ("`expr` and `weight`", "write a formula: 0.5*bce + 0.5*dice"),
    "loss: {a: {«expr»: bce, weight: ''}}": ("`expr` and `weight`", "write a formula: 0.5*bce + 0.5*dice"),
    "loss: «[»bce, 0.5*dice]": ("a list of losses", "write `bce + 0.5*dice`"),
}  # fmt: skip


@pytest.mark.parametrize("text", CONFIGS)
def test_one_finding_with_the_formula(read_marked: Callable[..., Any], text: str) -> None:
    start, hint = CONFIGS[text]
    marked = read_marked(text)
    (finding,) = marked.findings
    assert (finding.code, finding.severity, finding.hint) == ("LD409", "error", hint)
    assert finding.message.startswith(start)
    assert finding.message.endswith(("lossdsl expects a formula", "or one formula"))
    assert marked.found_marks == list(marked.marks)


@pytest.mark.parametrize("text", CONFIGS)
def test_python_data_is_told_the_same(text: str) -> None:
    data = yaml.safe_load(text.replace("«", "").replace("»", ""))["loss"]
    if isinstance(data, dict):
        (finding,) = lossdsl.check(data).diagnostics
        assert (finding.code, finding.hint) == ("LD409", CONFIGS[text][1])
        with pytest.raises(ConfigError):
            lossdsl.compile(data)


@pytest.mark.parametrize(
    "text", [text for text, (_, hint) in CONFIGS.items() if not hint.startswith(("lossdsl has no", "write a"))]
)
def test_the_hint_compiles(text: str) -> None:
    hint = CONFIGS[text][1]
    offered = re.search("`([^`]+)`", hint)
    assert offered
    source = yaml.safe_load(f"loss: {offered[1]}")["loss"] if offered[1].startswith("{") else offered[1]
    report = lossdsl.check(source, files=False)
    assert {found.code for found in report.diagnostics if found.severity == "error"} <= {"LD301"}  # ce beside bce
    assert str(lossdsl.parse(source if isinstance(source, str) else source["expr"]))


TORCH = {
    "{_target_: torch.nn.CrossEntropyLoss, label_smoothing: 0.1, weight: [1, 2.0, 0.5]}": lambda nn: (
        nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1, 2, 0.5]))
    ),
    "{_target_: torch.nn.BCEWithLogitsLoss, pos_weight: 3}": lambda nn: nn.BCEWithLogitsLoss(
        pos_weight=torch.tensor(3)
    ),
    "{_target_: torch.nn.HuberLoss, delta: 0.5}": lambda nn: nn.HuberLoss(delta=0.5),
    "{_target_: torch.nn.SmoothL1Loss, beta: 0.25}": lambda nn: nn.SmoothL1Loss(beta=0.25),
    "{_target_: torch.nn.MSELoss}": lambda nn: nn.MSELoss(),
    "{_target_: torch.nn.L1Loss}": lambda nn: nn.L1Loss(),
    "{_target_: torch.nn.BCELoss}": lambda nn: nn.BCELoss(),
}


@pytest.mark.parametrize("text", TORCH)
def test_what_is_to_be_written_has_the_number_of_torch(text: str) -> None:
    (finding,) = lossdsl.check(yaml.safe_load(text)).diagnostics
    assert finding.hint
    offered = finding.hint.removeprefix("write `").partition("`")[0]
    source = yaml.safe_load(offered) if offered.startswith("{") else offered
    torch.manual_seed(0)
    pred = torch.rand(2, 3, 5, 4)
    target = torch.randint(0, 3, (2, 5, 4)) if "CrossEntropy" in text else torch.rand_like(pred).round()
    task = "multiclass" if "CrossEntropy" in text else "multilabel"
    given = lossdsl.compile(source, task=task)(pred, target)
    torch.testing.assert_close(given, TORCH[text](torch.nn)(pred, target))


OTHERS = [
    "loss: bce",
    "loss: {expr: bce, task: binary}",
    "loss: {terms: {a: {expr: bce, weight: 0.5}, b: dice}, total: a + b}",
    "loss: {define: {type: dice, name: bce}, terms: {bce: {expr: type, weight: 0.5}, dice: name}}",
    "loss: {terms: {type: bce, name: dice, losses: l1}}",
    'loss: "bce  # costs ${x} or {{ y }}"',
]
SLIPS = {
    "loss: {taks: 0.5, exp: 0.5}": ["LD406", "LD402", "LD402"],
    "loss: {pixel: 0.5, region: 0.5}": ["LD406", "LD402", "LD402"],
    "loss: {type: multiclass, expr: ce}": ["LD402"],
    "loss: {name: adam, lr: 1}": ["LD406", "LD402", "LD402"],
    "loss: {_target_: 3}": ["LD406", "LD402"],
    "loss: {types: [], coef: []}": ["LD406", "LD402", "LD402"],
    "loss: [1, 2]": ["LD405"],
    "loss:\n  - log(1 - dice)\n": ["LD405"],
}


@pytest.mark.parametrize("text", OTHERS)
def test_own_configs_are_none_of_these(read_marked: Callable[..., Any], text: str) -> None:
    assert read_marked(text).findings == ()


@pytest.mark.parametrize("text", SLIPS)
def test_slips_in_own_configs_are_none_of_these(read_marked: Callable[..., Any], text: str) -> None:
    assert [finding.code for finding in read_marked(text).findings] == SLIPS[text]


def test_in_a_term(read_marked: Callable[..., Any]) -> None:
    marked = read_marked(
        "loss:\n  terms:\n    a: {«type»: L1Loss, loss_weight: 2}\n    b: {expr: «bcee»}\n    c: mse\n"
    )
    assert [finding.code for finding in marked.findings] == ["LD409"]
    assert [
        finding.code for finding in lossdsl.check({"terms": {"a": {"type": "L1Loss"}, "b": "bcee"}}).diagnostics
    ] == [
        "LD409",
        "LD201",
    ]


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.name for kind in KINDS}) == len({kind.message for kind in KINDS}) == len(KINDS)


# text -> who fills it in
FILLED_IN = {
    'loss: "«${a}»"': "OmegaConf",
    'loss: "0.5*bce + «${weights.dice}»*dice"': "OmegaConf",
    'loss: {expr: bce, task: "«${task}»"}': "OmegaConf",
    'loss: {expr: bce, ignore_index: "«${oc.env:IGNORE}»"}': "OmegaConf",
    'loss: {expr: bce, class_weight: [1, "«${w}»"]}': "OmegaConf",
    'loss: {terms: {a: {expr: bce, weight: "«${w}»"}, b: dice}}': "OmegaConf",
    'loss: {define: {a: "«${w}»"}, terms: {b: bce}}': "OmegaConf",
    'loss: "«{{ loss }}» + dice"': "Jinja",
    "loss: «{{ loss }}»": "Jinja",
    "loss: {expr: «{{ loss }}», task: binary}": "Jinja",
    "loss: «{{ loss }}» + dice": "Jinja",
    "«{% if a %}»\nloss: bce\n{% endif %}": "Jinja",
    'loss: "«$@loss_function»"': "MONAI",
    'loss: "«@loss»"': "MONAI",
}


@pytest.mark.parametrize("text", FILLED_IN)
def test_what_others_fill_in(read_marked: Callable[..., Any], text: str) -> None:
    marked = read_marked(text)
    (finding,) = marked.findings
    assert finding.code == "LD409"
    assert f"is not resolved here: {FILLED_IN[text]}" in finding.message
    assert finding.hint
    assert marked.found_marks == list(marked.marks)


def test_many_of_them_are_told_once(read_marked: Callable[..., Any]) -> None:
    marked = read_marked('loss: {task: "«${task}»", expr: "${a}*bce", ignore_index: "${x}"}')
    (finding,) = marked.findings
    assert finding.message == "`${task}` and 2 more places are not resolved here: OmegaConf or Hydra fills it in"
    assert marked.found_marks == list(marked.marks)


def test_the_rest_is_still_checked(read_marked: Callable[..., Any]) -> None:
    marked = read_marked('loss: {task: «binry», terms: {a: {expr: bce, weight: "«${w}»"}}}')
    assert [finding.code for finding in marked.findings] == ["LD405", "LD409"]


NAMES = ["exp.toml", "conf/run.ini", "setup.cfg", "configs/_base_/unet.py", "a.jsonnet", "run.TOML", "nb.ipynb"]


@pytest.mark.parametrize("name", NAMES)
def test_files_of_other_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("loss: bce\n")
    for found in (lossdsl.check(path), lossdsl.check(name)):
        (finding,) = found.diagnostics
        assert finding.code == "LD409"
        assert finding.message.startswith("lossdsl reads YAML and JSON; `")
        assert finding.hint
    with pytest.raises(ConfigError, match="lossdsl reads YAML and JSON"):
        lossdsl.load(path)


def test_json_with_extensions(tmp_path: Path) -> None:
    plain, commented = tmp_path / "a.json5", tmp_path / "b.jsonc"
    plain.write_text('{"loss": "bce"}')
    commented.write_text('// the loss\n{loss: "bce",}')
    assert lossdsl.check(plain).ok
    (finding,) = lossdsl.check(commented).diagnostics
    assert finding.code == "LD409"


@pytest.mark.parametrize("text", ["0.5*bce.py", "bce + a.toml", "mean(x.ini)", "py", "a.toml\n+ bce"])
def test_formulas_are_no_names_of_files(text: str) -> None:
    assert all(finding.code != "LD409" for finding in lossdsl.check(text).diagnostics)
