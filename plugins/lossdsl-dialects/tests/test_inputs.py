"""What the model returns: a loss has its library's number for logits and probabilities, or says that it takes one."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
import lossdsl.testing
from lossdsl.testing.batches import Setting, random_batch
from lossdsl.testing.subjects import Subject, subject_of

pytestmark = [pytest.mark.usefixtures("full_precision"), pytest.mark.filterwarnings("ignore:single channel prediction")]

TASKS = ("binary", "multilabel", "multiclass")
INPUTS = ("logits", "probs")
COMPOUNDS = ("DiceCELoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss")
CLASSES = {"binary": 1, "multilabel": 3, "multiclass": 3}


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


def a_call(task: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, what they are as probabilities, and a target."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, CLASSES[task], 4, 5, generator=generator, dtype=torch.float64)
    if task == "multiclass":
        return z, z.softmax(1), torch.randint(0, 3, (2, 4, 5), generator=generator)
    return z, z.sigmoid(), (torch.rand(z.shape, generator=generator) < 0.5).to(z.dtype)


def outcomes(subject: Subject, call: str, task: str) -> dict[str, Any]:
    """The value of a call for a model that returns logits, and for one that returns what they are as probabilities."""
    found: dict[str, Any] = {}
    for given in INPUTS:
        setting = Setting(task, given, "hard", *(subject.loss.documentation.shape or (3, 6)))
        batch = random_batch(setting, subject.tensors, 3)
        said = lossdsl.check(call, task=task, input=given).diagnostics
        if any(one.code == "LD724" for one in said):
            found[given] = next(one.severity for one in said if one.code == "LD724")
        elif not any(one.severity == "error" for one in said):
            found[given] = subject.value(setting, batch, formula=call).item()
    return found


def calls() -> Iterator[tuple[Subject, str, str]]:
    """Every loss with each of its parameters at other values."""
    for name in lossdsl.testing.names("lossdsl-dialects"):
        subject = subject_of(name)
        plain = Subject(subject.call.partition("(")[0], subject.loss, subject.tasks, subject.tensors)
        called = [subject.call, *plain.variants()] if "=" in subject.call else [subject.call, *subject.variants()]
        yield from ((subject, call, task) for call in dict.fromkeys(called) for task in subject.tasks)


@pytest.mark.long
def test_the_same_for_logits_and_probabilities_or_said() -> None:
    """A number that depends on what the model returns is found before the first batch, for every loss and word."""
    wrong, tried, told = [], 0, 0
    for subject, call, task in calls():
        found = outcomes(subject, call, task)
        numbers = [value for value in found.values() if isinstance(value, float)]
        tried += len(numbers) == 2
        told += len(numbers) < len(found)
        if len(numbers) == 2 and abs(numbers[0] - numbers[1]) > 1e-9 * max(1, abs(numbers[0])):
            wrong.append((call, task, found))
        if list(found.values()) == ["error", "error"]:  # nothing that a model can return
            wrong.append((call, task, found))
    assert not wrong
    assert tried > 150
    assert told > 80


# the call, what is said of it for a model that returns logits (its severity), the way out that stands first
ON_LOGITS = [
    ("keras.Dice", "error", "keras.Dice(p, y)"),
    ("keras.dice", "error", "keras.dice(p, y)"),
    ("keras.dice_coef_loss(smooth=0.5)", "error", "keras.dice_coef_loss(p, y)"),
    ("keras.BinaryCrossentropy", "error", "from_logits=true"),
    ("keras.binary_crossentropy(label_smoothing=0.1)", "error", "from_logits=true"),
    ("monai.DiceLoss", "error", "sigmoid=true or softmax=true"),
    ("monai.DiceLoss(batch=true)", "error", "sigmoid=true or softmax=true"),
    ("monai.GeneralizedDiceLoss", "error", "sigmoid=true or softmax=true"),
    ("monai.TverskyLoss(sigmoid=false)", "error", "sigmoid=true or softmax=true"),
    ("monai.Activated", "error", "sigmoid=true or softmax=true"),
    ("monai.AsymmetricUnifiedFocalLoss", "error", "monai.AsymmetricUnifiedFocalLoss(p, y)"),
    ("monai.DiceCELoss", "warning", "sigmoid=true or softmax=true"),
    ("monai.DiceFocalLoss", "warning", "sigmoid=true or softmax=true"),
    ("monai.GeneralizedDiceFocalLoss(batch=true)", "warning", "sigmoid=true or softmax=true"),
    ("smp.DiceLoss(mode=binary, from_logits=false)", "error", "from_logits=true"),
    ("smp.JaccardLoss(mode=multilabel, from_logits=false)", "error", "from_logits=true"),
    ("smp.TverskyLoss(mode=multiclass, from_logits=false)", "error", "from_logits=true"),
    ("smp.ClassLosses(from_logits=false)", "error", "from_logits=true"),
    ("smp.MCCLoss", "error", "smp.MCCLoss(p, y)"),
    ("toolbelt.DiceLoss(mode=binary, from_logits=false)", "error", "from_logits=true"),
    ("toolbelt.JaccardLoss(mode=multiclass, from_logits=false)", "error", "from_logits=true"),
    ("toolbelt.LovaszLoss", "error", "toolbelt.LovaszLoss(p, y)"),
]


@pytest.mark.parametrize(("text", "severity", "way"), ON_LOGITS)
def test_of_probabilities_on_logits(text: str, severity: str, way: str) -> None:
    (found,) = (one for one in lossdsl.check(text).diagnostics if one.code == "LD724")
    assert (found.severity, found.line, found.column) == (severity, 1, 1)
    assert (found.hint or "").startswith(way)
    assert "LD724" not in str(lossdsl.check(text, input="probs"))
    if severity == "error":
        with pytest.raises(lossdsl.FormulaError, match="LD724"):
            lossdsl.compile(text)
    name, _, inside = text.partition("(")
    mended = f"{name}(p, y{', ' if inside else ')'}{inside}" if "(p, y)" in way else ""
    mended = mended or text.replace("false", "true") if "false" in text or mended else f"{name}({way.split()[0]})"
    assert "LD724" not in str(lossdsl.check(mended)), mended


ON_PROBABILITIES = [
    ("monai.FocalLoss", "use_softmax=true"),
    ("monai.DiceLoss(sigmoid=true)", "input=logits"),
    ("monai.TverskyLoss(sigmoid=true)", "input=logits"),
    ("monai.GeneralizedDiceLoss(sigmoid=true)", "input=logits"),
    ("monai.DiceCELoss(sigmoid=true)", "input=logits"),
    ("monai.DiceFocalLoss(softmax=true)", "input=logits"),
    ("monai.GeneralizedDiceFocalLoss", "input=logits"),
    ("smp.FocalLoss(mode=multiclass)", "input=logits"),
]


@pytest.mark.parametrize(("text", "way"), ON_PROBABILITIES)
def test_sigmoids_of_class_probabilities(text: str, way: str) -> None:
    """Class probabilities are the same for logits plus a constant, so they do not say what the sigmoid of each is."""
    (found,) = lossdsl.check(text, task="multiclass", input="probs").diagnostics
    assert (found.code, found.severity) == ("LD724", "error")
    assert (found.hint or "").startswith(way)
    with pytest.raises(lossdsl.FormulaError, match="LD724"):
        lossdsl.compile(text, task="multiclass", input="probs")


def test_for_one_channel_softmax_has_no_effect() -> None:
    """MONAI ignores it and warns; the prediction would be taken as it is."""
    (found,) = lossdsl.check("monai.DiceLoss(softmax=true)", task="binary").diagnostics
    assert found.code == "LD305"
    assert lossdsl.check("monai.DiceLoss(softmax=true)").ok


ACTIVATIONS = (None, "sigmoid", "softmax")


@pytest.mark.parametrize(("name", "task", "activation"), list(itertools.product(COMPOUNDS, TASKS, ACTIVATIONS)))
def test_compounds_have_the_numbers_of_monai_on_what_the_model_returns(
    name: str, task: str, activation: str | None, monai: Any
) -> None:
    """MONAI takes what it is given for logits, but for the Dice loss without an activation: that is input=logits."""
    if task == "binary" and activation == "softmax":
        assert not lossdsl.check(f"monai.{name}(softmax=true)", task=task).ok
        return
    z, p, target = a_call(task)
    text = f"monai.{name}({f'{activation}=true' if activation else ''})"
    one_hot = torch.nn.functional.one_hot(target, 3).movedim(-1, 1) if task == "multiclass" else target
    indexed = task == "multiclass" and "Generalized" not in name  # class indices, which MONAI's cross-entropy weighs
    theirs = getattr(monai, name)(**({activation: True} if activation else {}), to_onehot_y=indexed)
    loss = lossdsl.compile(text, task=task)  # type: ignore[arg-type]
    for given in (z, p):
        wanted = theirs(given, target[:, None] if indexed else one_hot.to(z.dtype))
        torch.testing.assert_close(loss(given, target), wanted, rtol=1e-6, atol=1e-8)
    said = [one.code for one in lossdsl.check(text, task=task).diagnostics]
    assert said == ([] if activation else ["LD724"])


@pytest.mark.parametrize("task", TASKS)
def test_the_cross_entropy_of_probabilities(task: str, monai: Any) -> None:
    """With input=probs it is that of the probabilities; MONAI on the logits has it, MONAI on probabilities has not."""
    z, p, target = a_call(task)
    ours = lossdsl.compile("monai.DiceCELoss", task=task, input="probs")(p, target)  # type: ignore[arg-type]
    indexed = task == "multiclass"
    options = {"to_onehot_y": indexed}
    given = target[:, None] if indexed else target
    both = monai.DiceLoss(**options)(p, given) + monai.DiceCELoss(lambda_dice=0, **options)(z, given)
    torch.testing.assert_close(ours, both, rtol=1e-6, atol=1e-8)
    assert (ours - monai.DiceCELoss(**options)(p, given)).abs() > 0.01


def test_what_keras_returned_for_logits() -> None:
    """A Dice loss of 1.44, with a declared range of [0, 1]."""
    z = torch.tensor([[-1.0, 2.0, -3.0, 0.5]])
    y = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    with pytest.raises(lossdsl.FormulaError, match="needs probabilities; the model returns logits"):
        lossdsl.compile("keras.Dice")(z, y)
    value = lossdsl.compile("keras.Dice(p, y)", task="binary")(z, y)
    assert 0 <= value <= 1
    assert value == lossdsl.compile("keras.Dice", task="binary", input="probs")(z.sigmoid(), y)
