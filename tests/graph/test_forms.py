"""Graphs in numbers: what is built is what the formula says, and every form of it has the same value and slope.

Here each operation is numpy's, in double precision, so neither torch nor anything that is run takes part.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from lossdsl.errors import FormulaError
from lossdsl.graph.factored_form import Unsupported, is_number
from lossdsl.graph.nodes import AXES, Node, in_order
from lossdsl.graph.schedule import CHEAPEST_TOGETHER, COMPILED, DIFFERENTIATE, EXPAND, PIECES, SMALL, Joint, passed
from lossdsl.graph.stable_form import stable
from lossdsl.registry.discover import default_registry

SIZES = {"batch": 2, "class": 3, "pixel": 5}
TENSORS = (("u", ("class",)), ("w", ("batch", "pixel")))
EDGE = float(np.sqrt(np.finfo(np.float64).tiny))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def at_class(value: Any, index: Any) -> Any:
    shape = np.broadcast_shapes((*np.shape(value)[:1], 1, *np.shape(value)[2:]), index.shape)
    full = np.broadcast_to(value, (shape[0], np.shape(value)[1], shape[2]))
    return np.take_along_axis(full, np.broadcast_to(index, shape), axis=1)


def hot(index: Any, classes: int) -> Any:
    return np.arange(classes)[None, :, None] == index


def bounded(x: Any, rounded: bool = False) -> Any:
    return np.maximum(x, np.finfo(np.float64).eps if rounded else EDGE)


def power(x: Any, exponent: Any) -> Any:
    return x**exponent if float(exponent).is_integer() else np.maximum(x, 0) ** exponent


def logsumexp(x: Any, valid: Any = True, axis: Any = None) -> Any:
    return np.log(np.where(valid, np.exp(x), 0).sum(axis=axis, keepdims=True))


def extreme(kind: str) -> Callable[..., Any]:
    def found(x: Any, valid: Any = True, axis: Any = None) -> Any:
        counted = np.where(valid, x, -np.inf if kind == "max" else np.inf)
        result = getattr(counted, kind)(axis=axis, keepdims=True)
        return np.where(np.isinf(result), 0, result)

    return found


PLAIN: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "negative": operator.neg,
    "quotient": operator.truediv, "raw_power": operator.pow, "power": power, "exp": np.exp, "abs": np.abs,
    "tanh": np.tanh, "cosh": np.cosh, "sinh": np.sinh, "sign": np.sign, "sigmoid": sigmoid, "softmax": softmax,
    "divide": lambda a, b: np.where((np.abs(a) < EDGE) & (np.abs(b) < EDGE), 0, a) / np.where(b == 0, EDGE, b),
    "log": lambda x: np.log(np.maximum(x, np.finfo(np.float64).tiny)),
    "log1p": lambda x: np.log1p(np.maximum(x, -1 + 1e-16)),
    "raw_log1p": np.log1p, "log1p_of_share": np.log1p,
    "sqrt": lambda x: np.sqrt(np.maximum(x, 0)),
    "softplus": lambda x: np.logaddexp(0, x),
    "logcosh": lambda x: np.logaddexp(x, -x) - np.log(2),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "log_softmax": lambda x: np.log(softmax(x)),
    "log_one_minus_softmax": lambda x: np.log1p(-softmax(x)),
    "relu": lambda x: np.maximum(x, 0), "minimum": np.minimum, "maximum": np.maximum, "where": np.where,
    "finite": lambda x: x, "stop_gradient": lambda x: x, "cast": lambda x: x, "cast_like": lambda x, _: x,
    "index": lambda x: x.astype(int), "both": operator.and_,
    "any_of": lambda *masks: np.array(any(mask.any() for mask in masks)),
    "keep": lambda x, valid: np.where(valid, x, 0),
    "one_hot": lambda index, like: hot(index, like.shape[1]).astype(float),
    "pick": at_class,
    "classes": lambda x: np.array(float(x.shape[1])), "ones": np.ones_like,
    "foreground": lambda x: (np.arange(x.shape[1]) > 0).astype(float)[None, :, None],
    "per_class": lambda _, *numbers: np.array(numbers, dtype=float)[None, :, None],
    "bounded": bounded, "within_domain": lambda x: x >= EDGE, "away_from_zero": lambda x: np.abs(x) >= EDGE,
    "safe_denominator": lambda x: np.where(np.abs(x) < EDGE, np.where(x < 0, -EDGE, EDGE), x),
    "undefined": lambda a, b: (np.abs(a) < EDGE) & (np.abs(b) < EDGE),
    "scatter": lambda x, index, like: np.where(hot(index, like.shape[1]), x, 0.0),
    "placed": lambda x, index, like: np.where(hot(index, like.shape[1]), x, 0.0),
    "add_at_class": lambda base, x, index: base + np.where(hot(index, base.shape[1]), x, 0.0),
    "scaled_difference": lambda half, a, b: 2 * half * (a - b),
    "squared_difference": lambda a, b: (a - b) ** 2,
    "interpolate": lambda a, b, weight: a + weight * (b - a),
    "add_product": lambda x, a, b: x + a * b,
    "subtract_product": lambda x, a, b: x - a * b,
}  # fmt: skip
ALONG: dict[str, Callable[..., Any]] = {
    "sum": lambda x, axis: np.sum(x, axis=axis, keepdims=True),
    "mean": lambda x, axis: np.mean(x, axis=axis, keepdims=True),
    "any": lambda x, axis: np.any(x, axis=axis, keepdims=True),
    "reduce_max": extreme("max"),
    "reduce_min": extreme("min"),
    "logsumexp": logsumexp,
}
COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
               "!=": np.not_equal}  # fmt: skip


def computed(nodes: Sequence[Node], inputs: Mapping[str, Any]) -> dict[Node, Any]:
    """The value of each node, which has the axes that the node says it has."""
    made: dict[Node, Any] = {}
    for node in nodes:
        arguments = [made[argument] for argument in node.arguments]
        match node.operation, node.attributes:
            case "input", (name,):
                made[node] = inputs[str(name)]
            case "constant", (number,):
                made[node] = number
            case "size", (axis,):
                made[node] = arguments[0].shape[AXES.index(str(axis))]
            case "compare", (sign,):
                made[node] = COMPARISONS[str(sign)](*arguments)
            case "differs", (ignored,):
                made[node] = arguments[0] != ignored
            case "class_is_one_of", numbers:
                made[node] = np.isin(np.arange(arguments[0].shape[1]), numbers)[None, :, None]
            case operation, (over,) if operation in ALONG:
                assert isinstance(over, tuple)
                made[node] = ALONG[operation](*arguments, axis=tuple(AXES.index(axis) for axis in over))
            case "bounded", ("rounded",):
                made[node] = bounded(*arguments, rounded=True)
            case operation, _:
                made[node] = PLAIN[operation](*arguments)
        if is_number(node):
            assert np.ndim(made[node]) == 0
            assert not node.axes
        else:
            shape = (1, 1, 1)[np.ndim(made[node]) :] + np.shape(made[node])
            assert shape == tuple(SIZES_OF[inputs["task"]][axis] if axis in node.axes else 1 for axis in AXES)
    return made


SIZES_OF = {task: {**SIZES, "class": 1 if task == "binary" else 3} for task in
            ("binary", "multilabel", "multiclass", "regression")}  # fmt: skip


def inputs_of(task: str, context: str) -> dict[str, Any]:
    """What a call provides, with some elements that do not count."""
    random, sizes = np.random.default_rng(3), SIZES_OF[task]
    shape = tuple(sizes.values())
    z = 2 * random.standard_normal(shape)
    target = (random.random(shape) < 0.4).astype(float)
    if task == "multiclass":
        target = random.integers(0, 3, (shape[0], 1, shape[2]))
        target[0, 0, 1] = 255 if "ignoring" in context else 2
    if task == "regression":
        target = random.standard_normal(shape)
    mask = np.ones((shape[0], 1, shape[2]), dtype=bool)
    mask[0, 0, 0] = mask[1, 0, 3] = False
    if context == "probabilities":
        z = softmax(z / 4) if task == "multiclass" else sigmoid(z / 2)
    return {
        "task": task,
        "pred": z,
        "target": target,
        "mask": mask,
        "class_weight": np.array([0.5, 2.0, 1.5])[None, : shape[1], None],
        "tensor:w": random.random((shape[0], 1, shape[2])) + 0.5,
        "tensor:u": np.array([0.25, 1.0, 3.0])[None, : shape[1], None],
        "scalar:epoch": np.array(3.0),
        "seed:0": np.array(1.25),
    }


BUILT_INS = [loss.name for loss in default_registry().built_ins()]
COMPOSITIONS = [
    "0.5*bce + 0.3*dice(per=batch) + focal + tversky",
    "ce(label_smoothing=0.1) + 0.3*dice",
    "ce + 0.5*for_class(dice, [1, 2]) + focal",
    "mean(relu(z)*w) + mean(max(z, 0.1)*abs(z)) + sqrt(mean(z**2))",
    "min(1, epoch/10)*bce + dice(smooth=0)",
    "mean(where(y > 0.5, 1 - p, p**2)) + mean(max(y, over=pixel)*mean(p, over=pixel))",
    "bce(pos_weight=[1, 2, 3]) - log(1 - iou)",
    "l1 + huber(delta=0.5) + mean(max(pred, target))",
    "mean((p - mean(p))**2) + mean(p**0.5/(p + y))",
    "mean(y*log(p) + (1 - y)*log(1 - p)) - 2*mean(softplus(-z)*u)",
    "mean(w*(1 - p)*y + (1 - w)*p) + mean(w*(y - p))",
    "mean(exp(z)/sum(exp(z), over=pixel)) + mean(log(sum(y*exp(z), over=pixel)))",
    "mean(log(sum(exp(z), over=class)) - tanh(z)*logcosh(z - y) + cosh(0.1*z))",
    "mean(min(z, y)) + mean(max(0.2, z)) + mean(min(p, 0.5)) + mean(clamp(z, min=-1, max=1))",
    "mean(1/(0.1 + p**2)) + mean((0.1 + p)**-0.5) + mean(p**1.5) + mean(abs(z)**0.3)",
    "log(1 + mean(p)) + sqrt(dice) - mean(stop_gradient(p)*z)",
    "mean(sum(y*p*u, over=class)/sum(p, over=class)) + mean(-sum(y*(1 - p)*log(p)/w, over=class))",
    "mean(max(p, over=class)) + mean(-log(sum(y*p, over=class)))",
    "mean(p*sum(p*y, over=[batch, pixel])) + mean(sum(w*p)*u*z)",
    "mean(w*sum(y*log(p), over=class)) + mean(log(1 - p)*w) + mean(max(p, per=batch)*z)",
]
FORMS = {
    "large": PIECES.passes,
    "small": SMALL.passes,
    "together": (EXPAND, DIFFERENTIATE, CHEAPEST_TOGETHER),
    "fused": COMPILED.passes,
}
CONTEXTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"mask": ("batch", "pixel")},
    "ignoring and weighted": {"ignore_index": 255, "weighted": True},
    "probabilities": {"input": "probs"},
}


# What has no derivative here: torch's own autograd runs such a loss.
WITHOUT_A_RULE = {"reduce_max", "per_class", "log_one_minus_softmax"}
# Of kernels and windows, which numpy has not.
OTHERS = {
    *("barlow_twins", "bi_tempered", "class_distance", "cldice", "context_attention", "giou"),
    *("lovasz", "lovasz_extension", "ms_ssim", "nt_xent", "soft_skeleton", "ssim", "tempered_sigmoid"),
    *("tempered_softmax", "topk_ce", "total_variation", "wasserstein_dice"),
}


def graphs(built: Any, text: str) -> Iterator[tuple[str, str, Any]]:
    """The loss for each task and kind of call that it is for."""
    for task, context in itertools.product(SIZES_OF, CONTEXTS):
        try:
            loss = built(text, task, tensors=TENSORS, **CONTEXTS[context])
        except FormulaError:
            continue
        nodes = in_order([loss.total])
        lists = {len(node.arguments) - 1 for node in nodes if node.operation == "per_class"}
        if lists <= {SIZES_OF[task]["class"]} and not any(_is_other(node) for node in nodes):
            yield task, context, loss


def _is_other(node: Node) -> bool:
    return node.operation.startswith(("kernel", "local_", "filled", "topk"))


def slope(total: Node, inputs: Mapping[str, Any]) -> Any:
    """By differences of values beside each element of the prediction, to the fourth order."""
    nodes, result = in_order([total]), np.zeros_like(inputs["pred"])
    for place in np.ndindex(result.shape):
        values = []
        for step in (-2e-4, -1e-4, 1e-4, 2e-4):
            moved = inputs["pred"].copy()
            moved[place] += step
            values.append(computed(nodes, {**inputs, "pred": moved})[total].item())
        result[place] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 1.2e-3
    return result


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", [*BUILT_INS, *COMPOSITIONS])
def test_value_and_slope(text: str, built: Any) -> None:
    """What is run has the value of what was written; its gradient is what differences of values say."""
    tried, missing = 0, set[str]()
    for task, context, loss in graphs(built, text):
        inputs = inputs_of(task, context)
        written = computed(in_order([loss.total]), inputs)[loss.total]
        run = stable([loss.total])[loss.total]
        nodes = in_order([run])
        assert computed(nodes, inputs)[run] == pytest.approx(written, rel=1e-12)
        tried += 1
        try:
            forms = {name: passed(passes, Joint((run,), ("pred",))) for name, passes in FORMS.items()}
        except Unsupported as reason:
            missing.add(str(reason))
            continue
        held = any(node.operation == "stop_gradient" for node in nodes)
        wanted = None if held or (text in BUILT_INS and context != "plain") else 1.25 * slope(run, inputs)
        for name, both in forms.items():
            values = computed(in_order([*both.outputs, *both.gradients.values()]), inputs)
            assert values[both.outputs[0]] == pytest.approx(written, rel=1e-12), (name, task, context)
            assert both.differentiable == (bool(both.gradients),)
            found = np.broadcast_to(values[both.gradients["pred"]], inputs["pred"].shape)
            if wanted is None:
                wanted = found
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-8), (name, task, context)
    assert bool(tried) == (text not in OTHERS)
    assert missing <= WITHOUT_A_RULE


def scores(x: Any, y: Any, axis: Any, smooth: float = 1.0) -> Any:
    """The dice coefficients of each class and image, or of what the axes say."""
    return (2 * (x * y).sum(axis=axis) + smooth) / (x.sum(axis=axis) + y.sum(axis=axis) + smooth)


# text: what it is, for logits z, probabilities p, and labels y that are one-hot
MEANT: dict[str, Callable[..., Any]] = {
    "mean(z)": lambda z, p, y, w, u: z.mean(),
    "mean(p)": lambda z, p, y, w, u: p.mean(),
    "mean(pred) + sum(y)": lambda z, p, y, w, u: z.mean() + y.sum(),
    "mean((p - y)**2)": lambda z, p, y, w, u: ((p - y) ** 2).mean(),
    "mean(w*p)": lambda z, p, y, w, u: (w * p).mean(),
    "mean(u*p) - mean(w)": lambda z, p, y, w, u: (u * p).mean() - w.mean(),
    "mean(max(p, over=pixel))": lambda z, p, y, w, u: p.max(axis=2).mean(),
    "mean(min(z, over=[batch, pixel]))": lambda z, p, y, w, u: z.min(axis=(0, 2)).mean(),
    "mean(sum(p, over=class)**2)": lambda z, p, y, w, u: (p.sum(axis=1) ** 2).mean(),
    "mean(sum(p*y, per=image)/sum(p + y, per=image))": lambda z, p, y, w, u: (
        (p * y).sum(axis=2) / (p + y).sum(axis=2)
    ).mean(),
    "mean(sum(p*y, per=batch)/sum(p + y, per=batch))": lambda z, p, y, w, u: (
        (p * y).sum(axis=(0, 2)) / (p + y).sum(axis=(0, 2))
    ).mean(),
    "mean(p, weight=w)": lambda z, p, y, w, u: (w * p).sum() / (w * np.ones_like(p)).sum(),
    "mean(p, count=w)": lambda z, p, y, w, u: p.sum() / (w * np.ones_like(p)).sum(),
    "mean(where(p > 0.5, z, -y))": lambda z, p, y, w, u: np.where(p > 0.5, z, -y).mean(),
    "mean(where(p <= 0.5, 2, epoch))": lambda z, p, y, w, u: np.where(p <= 0.5, 2, 3).mean(),
    "mean(clamp(z, min=-1, max=0.5))": lambda z, p, y, w, u: z.clip(-1, 0.5).mean(),
    "mean(clamp(z, max=0.5) + clamp(z, min=0.1))": lambda z, p, y, w, u: (z.clip(None, 0.5) + z.clip(0.1)).mean(),
    "mean(max(z, y, 0.3)) - mean(min(z, y))": lambda z, p, y, w, u: (
        np.maximum(np.maximum(z, y), 0.3).mean() - np.minimum(z, y).mean()
    ),
    "mean(sigmoid(2*z) + tanh(z) + abs(z) + relu(z))": lambda z, p, y, w, u: (
        sigmoid(2 * z) + np.tanh(z) + np.abs(z) + np.maximum(z, 0)
    ).mean(),
    "mean(softplus(z) - log(1 + exp(z)) + logcosh(z))": lambda z, p, y, w, u: np.log(np.cosh(z)).mean(),
    "mean(cosh(z) - exp(z) + sqrt(p) + log(1 + p))": lambda z, p, y, w, u: (
        np.cosh(z) - np.exp(z) + np.sqrt(p) + np.log(1 + p)
    ).mean(),
    "mean(softmax(z)*u)": lambda z, p, y, w, u: (softmax(z) * u).mean(),
    "mean(logsumexp(z, over=class)) + mean(logsumexp(z, over=pixel))": lambda z, p, y, w, u: (
        np.log(np.exp(z).sum(axis=1)).mean() + np.log(np.exp(z).sum(axis=2)).mean()
    ),
    "mean(log(sum(2*exp(z)*w, over=pixel)))": lambda z, p, y, w, u: np.log((2 * np.exp(z) * w).sum(axis=2)).mean(),
    "mean(exp(z)/(exp(z) + exp(-2*z)))": lambda z, p, y, w, u: (np.exp(z) / (np.exp(z) + np.exp(-2 * z))).mean(),
    "mean(log(exp(z)**2*sqrt(exp(z))/3))": lambda z, p, y, w, u: (2.5 * z - np.log(3)).mean(),
    "mean(log(exp(z) + exp(-z)))": lambda z, p, y, w, u: np.log(np.exp(z) + np.exp(-z)).mean(),
    "mean(log(mean(exp(z)*y, over=pixel) + 0.1))": lambda z, p, y, w, u: np.log(
        (np.exp(z) * y).mean(axis=2) + 0.1
    ).mean(),
    "mean((exp(z) - exp(-z))/(exp(z) + exp(-z)))": lambda z, p, y, w, u: np.tanh(z).mean(),
    "mean(-y*log(p) - (1 - y)*log(1 - p))": lambda z, p, y, w, u: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(),
    "mean(-sum(y*log(p), over=class))": lambda z, p, y, w, u: -(y * np.log(p)).sum(axis=1).mean(),
    "mean(-sum(u*y*(1 - p)**2*log(p)/w, over=class))": lambda z, p, y, w, u: (
        -(u * y * (1 - p) ** 2 * np.log(p) / w).sum(axis=1).mean()
    ),
    "dice": lambda z, p, y, w, u: (1 - scores(p, y, 2)).mean(),
    "dice(per=batch, smooth=0.5)": lambda z, p, y, w, u: (1 - scores(p, y, (0, 2), 0.5)).mean(),
    "1 - dice_coef": lambda z, p, y, w, u: (1 - scores(p, y, 2)).mean(),
    "for_class(dice, [0])": lambda z, p, y, w, u: (1 - scores(p, y, 2))[:, [0]].mean(),
    "s = 0.5*epoch\ns*mean(p) + s**2": lambda z, p, y, w, u: 1.5 * p.mean() + 2.25,
    "mean(stop_gradient(p)*z)": lambda z, p, y, w, u: (p * z).mean(),
    "mean(p)/classes": lambda z, p, y, w, u: p.mean() / p.shape[1],
}


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize("text", MEANT)
def test_value_of_the_text(text: str, task: str, built: Any) -> None:
    """Of the graph as it is written, and of what is run of it."""
    inputs = inputs_of(task, "plain")
    z, y = inputs["pred"], inputs["target"]
    if task == "multiclass":
        y = hot(y, 3).astype(float)
    p = softmax(z) if task == "multiclass" else sigmoid(z)
    total = built(text, task, tensors=TENSORS).total
    wanted = MEANT[text](z, p, y, inputs["tensor:w"], inputs["tensor:u"])
    for node in (total, stable([total])[total]):
        assert computed(in_order([node]), inputs)[node] == pytest.approx(wanted, rel=1e-12), text
