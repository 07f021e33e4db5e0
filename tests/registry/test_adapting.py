"""`lossdsl.adapt`: losses of torch.nn.functional, and modules in the style of metric libraries, as a namespace."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lossdsl
import lossdsl.testing

EACH = ("batch", "class", "pixel")


class PairMargin(nn.Module):
    """Pulls embeddings with the same label together and pushes others apart. As in pytorch-metric-learning."""

    def __init__(self, pos_margin=0, neg_margin=1, reducer: object = None, **kwargs: object):
        super().__init__()
        self.pos_margin, self.neg_margin = pos_margin, neg_margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        assert embeddings.ndim == 2
        assert (labels.ndim, labels.dtype) == (1, torch.int64)
        apart = torch.cdist(embeddings, embeddings)
        same = labels[:, None] == labels[None]
        return torch.where(
            same, functional.relu(apart - self.pos_margin), functional.relu(self.neg_margin - apart)
        ).mean()


class RunningError(nn.Module):
    """Keeps sums over its calls, as the metrics of torchmetrics do, and returns that of the batch."""

    higher_is_better = False

    def __init__(
        self, squared: bool = True, num_outputs: int = 1, mode: Literal["mean", "max"] = "mean", **kwargs: object
    ):
        super().__init__()
        assert isinstance(num_outputs, int)
        self.squared, self.mode = squared, mode
        self.register_buffer("total", torch.zeros(()))

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        error = (preds - target) ** 2 if self.squared else (preds - target).abs()
        self.total = self.total + error.sum().detach()
        return error.mean() if self.mode == "mean" else error.amax()


class Cut(nn.Module):
    """Cut off at the most."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        return (preds - target).abs().clamp(max=self.most).mean()


class Trained(nn.Module):
    """Has weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))


def picky(preds: Tensor, target: Tensor, scale: float, *, extra: float = 1) -> Tensor:
    return preds.mean()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with lossdsl.testing.registry():
        yield


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5)


ELEMENTWISE = {
    "l1": functional.l1_loss,
    "mse": functional.mse_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "huber": functional.huber_loss,
    "soft_margin": functional.soft_margin_loss,
}


def test_functions_of_torch(batch: tuple[Tensor, Tensor]) -> None:
    """Their values are torch's own, with our reductions and masks; parameters have their names and defaults."""
    pred, target = batch
    lossdsl.adapt("nn", ELEMENTWISE, keeps=EACH, range="[0, inf)")
    for name, function in ELEMENTWISE.items():
        formula = f"nn.{name}"
        torch.testing.assert_close(lossdsl.compile(formula, task="regression")(pred, target), function(pred, target))
        total = lossdsl.compile(f"{formula}(reduction=sum)", task="regression")(pred, target)
        torch.testing.assert_close(total, function(pred, target, reduction="sum"))
    mask = torch.rand(3, 4, 5) < 0.5
    masked = lossdsl.compile("nn.huber(delta=0.3) + nn.smooth_l1", task="regression")(pred, target, mask=mask)
    kept = [tensor.movedim(1, -1)[mask] for tensor in batch]
    torch.testing.assert_close(masked, functional.huber_loss(*kept, delta=0.3) + functional.smooth_l1_loss(*kept))
    assert [d.code for d in lossdsl.check("nn.huber(reduce=true) + nn.huber(dleta=1)").diagnostics] == [
        "LD203",
        "LD203",
    ]


def test_class_probabilities_of_torch() -> None:
    torch.manual_seed(0)
    z, index = torch.randn(3, 4, 5, 5), torch.randint(0, 4, (3, 5, 5))
    labels = lossdsl.Input("y", axes=("batch", "pixel"), integer=True)
    lossdsl.adapt("nn", {"ce": functional.cross_entropy}, inputs=["z", labels], range="[0, inf)")
    loss = lossdsl.compile("nn.ce(label_smoothing=0.1)")
    torch.testing.assert_close(loss(z, index), functional.cross_entropy(z, index, label_smoothing=0.1))
    with pytest.raises(lossdsl.FormulaError, match="LD306: `ce` cannot exclude elements"):
        loss(z, index, mask=torch.ones(3, 5, 5))
    with pytest.raises(lossdsl.FormulaError, match="LD306: `ce` cannot weight or select classes"):
        lossdsl.compile("nn.ce", class_weight=[1, 2, 3, 4])
    with pytest.raises(lossdsl.FormulaError, match="LD302: `ce` has no map"):
        lossdsl.compile("nn.ce(reduction=none)", task="multiclass")


@pytest.mark.parametrize("named", [True, False])
def test_modules_in_the_style_of_metric_learning(named: bool) -> None:
    """Labels are the target where there are fewer than embedding sizes, or a tensor by name."""
    torch.manual_seed(0)
    embeddings, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    names = ("pred", "labels") if named else ("z", "y")
    inputs = [lossdsl.Input(names[0], ("batch", "class")), lossdsl.Input(names[1], ("batch",), integer=True)]
    lossdsl.adapt("pml", {"contrastive": PairMargin}, inputs=inputs)
    wanted = PairMargin(neg_margin=2)(embeddings, labels)
    if named:
        loss = lossdsl.compile("pml.contrastive(pred, labels, neg_margin=2)", task="regression")
        torch.testing.assert_close(loss(embeddings, embeddings, labels=labels), wanted)
        with pytest.raises(lossdsl.InputError, match="takes `labels` without class"):
            loss(embeddings, embeddings, labels=embeddings)
    else:
        loss = lossdsl.compile("pml.contrastive(neg_margin=2)", task="multiclass")
        torch.testing.assert_close(loss(embeddings, labels), wanted)
    shown = lossdsl.explain("pml.contrastive(pred, labels)" if named else "pml.contrastive")
    assert "Pulls embeddings with the same label together" in shown
    assert "neg_margin: (-inf, inf), default 1" in shown
    assert "reducer" not in shown


def test_embeddings_and_labels_alone() -> None:
    """The short way: labels are the target. They count from 0, below the size of an embedding."""
    embeddings, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    lossdsl.adapt("pml", {"contrastive": PairMargin}, inputs=lossdsl.EMBEDDINGS, range="[0, inf)")
    loss = lossdsl.compile("2*pml.contrastive(neg_margin=0.5) + pml.contrastive")
    wanted = 2 * PairMargin(neg_margin=0.5)(embeddings, labels) + PairMargin()(embeddings, labels)
    torch.testing.assert_close(loss(embeddings, labels), wanted)
    with pytest.raises(lossdsl.InputError, match="LD506: `target` has the class index 20, `pred` has 8 classes"):
        lossdsl.compile("pml.contrastive")(embeddings, torch.tensor([0, 1, 20, 0, 1, 20]))
    with pytest.raises(lossdsl.FormulaError, match="LD306: `contrastive` cannot exclude elements"):
        loss(embeddings, labels, mask=torch.ones(6))


def test_what_has_no_default_is_given_by_partial(batch: tuple[Tensor, Tensor]) -> None:
    made = {"cut": partial(Cut, most=1.5), "picky": partial(picky, scale=2.0)}
    lossdsl.adapt("acme", made)
    pred, target = batch
    results = [lossdsl.compile(text, task="regression")(pred, target) for text in ("acme.cut", "acme.cut(most=0.5)")]
    difference = (pred - target).abs()
    torch.testing.assert_close(results, [difference.clamp(max=most).mean() for most in (1.5, 0.5)])
    assert "Cut off at the most." in lossdsl.explain("acme.cut")
    assert lossdsl.compile("acme.picky", task="regression")(pred, target) == pred.mean()


def test_modules_in_the_style_of_torchmetrics(batch: tuple[Tensor, Tensor]) -> None:
    """A fresh one for each call: what it would remember never counts."""
    pred, target = batch
    lossdsl.adapt("metrics", {"error": RunningError}, range="[0, inf)", about="The error.\nSource: none")
    loss = lossdsl.compile("metrics.error(squared=false, num_outputs=2) + metrics.error(mode=max)", task="regression")
    with pytest.raises(lossdsl.InputError, match=r"`num_outputs` of `metrics.error` must be a whole number, not 0.5"):
        lossdsl.compile("metrics.error(num_outputs=0.5)", task="regression")(pred, target)
    values = [loss(pred, target) for _ in range(2)]
    assert torch.equal(*values)
    torch.testing.assert_close(values[0], (pred - target).abs().mean() + ((pred - target) ** 2).amax())
    assert loss.state_dict() == {}
    breakdown = loss.breakdown(pred, target)
    assert list(breakdown.terms) == ["metrics.error(squared=false, num_outputs=2)", "metrics.error(mode=max)"]
    lossdsl.testing.check_loss("metrics.error", rules=["range", "gradient", "best", "worse", "no_state", "stored"])


def test_adapted_losses_conform() -> None:
    lossdsl.adapt("nn", {"huber": functional.huber_loss}, keeps=EACH, range="[0, inf)")
    lossdsl.testing.check_loss("nn.huber")


def test_they_can_be_stored(batch: tuple[Tensor, Tensor]) -> None:
    lossdsl.adapt("nn", {"l1": functional.l1_loss}, keeps=EACH)
    loss = lossdsl.compile("nn.l1", task="regression")
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(other(*batch), loss(*batch))


def test_an_entry_point_names_one(install) -> None:
    """A package says which functions are its losses, and no more Python than that."""
    text = 'import lossdsl\nfrom torch.nn import functional as F\nnn = lossdsl.adapt("acme", {"l1": F.l1_loss})\n'
    install("acme", "1.0", {"acme_nn.py": text}, {"lossdsl.losses": {"acme.l1": "acme_nn:nn.l1"}})
    pred, target = torch.zeros(2, 3), torch.ones(2, 3)
    assert lossdsl.compile("acme.l1 + l1(pred, target)", task="regression")(pred, target) == 2
    assert "from: acme 1.0, acme.l1" in lossdsl.explain("acme.l1")


@pytest.mark.parametrize(
    ("namespace", "target", "options", "message"),
    [
        ("a-b", functional.l1_loss, {}, "`a-b` cannot be the namespace of losses"),
        ("a", picky, {}, "`a.x` needs `scale`, which is not listed in `inputs` and has no default"),
        ("a", picky, {"inputs": list("vwxyz")}, "`a.x` takes 4 arguments, `inputs` names 5"),
        ("a", picky, {"inputs": ["p", "y", "w"], "keeps": EACH}, "`a.x` has no `reduction`, so it cannot keep axes"),
        (
            "a",
            RunningError(),
            {},
            "`a.x` is a module, which may keep state between calls; pass its class, RunningError",
        ),
        ("a", Cut, {}, "`a.x` needs `most`, which is not listed in `inputs` and has no default"),
        ("a", functional.l1_loss, {"range": "positive"}, "`positive` of `a.x` is not a range"),
    ],
)
def test_what_cannot_be_adapted(namespace: str, target: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(lossdsl.PluginError) as caught:
        lossdsl.adapt(namespace, {"x": target}, **options)
    assert message in str(caught.value)


def test_weights_of_its_own_are_refused(batch: tuple[Tensor, Tensor]) -> None:
    lossdsl.adapt("a", {"trained": Trained})
    with pytest.raises(lossdsl.PluginError, match=r"`a.trained` has trainable parameters"):
        lossdsl.compile("a.trained", task="regression")(*batch)
