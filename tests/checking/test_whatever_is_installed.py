"""A text means the same whatever plugins are installed: every formula in the tests is judged with and without them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

import lossdsl
from lossdsl.api import check_reading
from lossdsl.checking.facts import facts_of
from lossdsl.checking.resolve import resolve
from lossdsl.config import read_formula
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.registry.entry_points import BUILT_IN, provider_of
from lossdsl.syntax.tree import Name, walk

TESTS = Path(__file__).parents[1]

# Names that people give to tensors.
TENSORS = [
    "logvar",
    "sigma",
    "weight",
    "depth",
    "scale",
    "temp",
    "beta",
    "image",
    "seg",
    "real",
    "area",
    "index",
    "dists",
    "dist_map",
    "boundary_map",
    "labels",
    "logits",
    "aux",
    "teacher",
    "student",
    "mu",
    "var",
    "alpha",
    "gamma",
    "delta",
    "eps",
    "reward",
    "advantage",
    "ratio",
    "old_logp",
    "values",
    "returns",
    "entropy",
    "w",
    "wmap",
    "weight_map",
    "edge",
    "edges",
    "border",
    "dist",
    "distance",
    "sdf",
    "probs",
    "scores",
    "feats",
    "features",
    "emb",
    "embedding",
    "anchor",
    "positive",
    "negative",
    "queue",
    "keys",
    "query",
    "centers",
    "prototypes",
    "bins",
    "hist",
    "flow",
    "disparity",
    "normals",
    "trimap",
    "uncertainty",
    "confidence",
    "box",
    "boxes",
    "bbox",
    "objectness",
    "reg",
    "offset",
    "offsets",
    "heatmap",
    "visible",
    "valid",
    "ignore",
    "keep",
    "noise",
    "snr",
    "t",
    "levels",
    "bands",
    "channels",
    "lat",
    "lon",
    "time",
    "speed",
    "area_weight",
    "cell",
    "volume",
    "spacing",
    "length",
    "width",
    "height",
    "size",
    "counts",
    "num",
    "total",
    "energy",
    "force",
    "charge",
    "positions",
    "velocity",
    "pressure",
    "density",
    "class_map",
    "instance",
    "panoptic",
    "aux_logits",
    "deep1",
    "deep2",
    "head",
    "side",
    "out1",
    "y_pred",
    "y_true",
    "y_hat",
    "label",
    "soft",
    "hard",
    "recon",
    "generalized",
    "tversky_map",
    "boundary",
    "surface",
    "dice_map",
    "focal_weight",
    "hausdorff",
    "contour",
    "fake",
    "preds",
    "pred2",
    "targets",
    "target2",
    "prev",
    "ious",
    "steps",
    "epochs",
]

Verdict: TypeAlias = tuple[tuple[tuple[object, ...], ...], frozenset[str]]


@cache
def bare() -> Registry:
    """What there is without any plugin."""
    return Registry([point for point in default_registry().points if provider_of(point).distribution == BUILT_IN])


def verdict(text: str, registry: Registry) -> Verdict:
    """The findings, and the tensors that the call passes. Hints may name what a plugin brings."""
    reading = read_formula(text)
    report = check_reading(reading, registry)
    found = tuple((finding.code, finding.severity, finding.line, finding.column) for finding in report.diagnostics)
    objective = resolve(reading.spec, registry).objective if reading.spec else None
    return found, facts_of(objective).tensors if objective else frozenset()


def asks_for_a_plugin(text: str) -> bool:
    """Whether the name of a loss stands in it that only a plugin brings."""
    registry = default_registry()
    program = lossdsl.parse(text)
    roots = [program.expression, *(binding.value for binding in program.bindings)]
    names = {node.text for root in roots for node, _ in walk(root) if isinstance(node, Name)}
    known = (name for name in names if registry.candidates(name) or registry.namesakes(name))
    return any(not bare().candidates(name) for name in known)


def formulas() -> Iterator[str]:
    """The texts in the tests that are formulas, with one call or operation at least."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or len(node.value) > 400:
                continue
            if any(sign in node.value for sign in "(*+/-") and reads(node.value):
                yield node.value


def reads(text: str) -> bool:
    try:
        lossdsl.parse(text)
    except lossdsl.LossError:
        return False
    return True


def test_the_plugins_are_there() -> None:
    spaces = {candidate.namespace for candidate in default_registry().all()}
    assert {"boundary", "monai", "smp"} <= spaces
    assert {candidate.namespace for candidate in bare().all()} == {BUILT_IN}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", TENSORS)
def test_a_name_is_a_tensor_in_a_definition_as_in_brackets(name: str) -> None:
    texts = [
        f"k = clamp({name}, min=0, max=10)\nbce + mean(k*bce(reduction=none))",
        f"bce + mean(clamp({name}, min=0, max=10)*bce(reduction=none))",
        f"k = {name}\nbce + mean(k*bce(reduction=none))",
        f"bce + mean({name}*bce(reduction=none))",
    ]
    for text in texts:
        for registry in (default_registry(), bare()):
            assert verdict(text, registry) == ((), frozenset({name}))


@pytest.mark.parametrize(
    "text",
    [
        "{} + bce",
        "k = {}\nbce + k",
        "a = k\nk = {}\nbce + mean(a*p)",
        "bce + mean(-{}*p)",
        "bce + {}(gamma=1)",
        "bce(aux, {})",
        "bce + mean(where({} > 0, p, y))",
        "bce({}=1)",
    ],
)
@pytest.mark.parametrize("name", ["dcie", "generalized", "boundry", "hausdorf", "mea", "targte", "dice_los", "Dice"])
def test_a_misspelt_name(text: str, name: str) -> None:
    written = text.format(name)
    assert verdict(written, default_registry()) == verdict(written, bare())


def differing(texts: list[str]) -> list[str]:
    asked = (text for text in texts if not asks_for_a_plugin(text))
    return [text for text in asked if verdict(text, default_registry()) != verdict(text, bare())]


def test_formulas_of_the_tests() -> None:
    texts = sorted(set(formulas()))
    assert len(texts) > 1500
    assert differing(random.Random(0).sample(texts, 300)) == []


@pytest.mark.long
def test_all_formulas_of_the_tests() -> None:
    assert differing(sorted(set(formulas()))) == []
