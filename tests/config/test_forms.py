"""What the YAML forms mean: the short one, the long one, and their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lossdsl.config import Options, Reading, Spec, read_formula, read_mapping

LONG = """
loss:
  task: multiclass
  input: logits
  ignore_index: 255
  class_weight: [1, 0.5, 1e-3]
  backend: eager
  define: {overlap: "dice(smooth=1, per=batch)"}
  terms:
    pixel:  {expr: ce(label_smoothing=0.1), weight: 0.5}
    region: {expr: -log(1 - overlap), weight: "min(0.5, epoch/20)"}
    edge: l1
  total: pixel + region + edge
"""


def summary(spec: Spec | None) -> dict[str, Any]:
    """The meaning of a spec without its places."""
    assert spec is not None
    return {
        "define": {item.name: str(item.value.expression) for item in spec.definitions},
        "terms": {term.name: (str(term.value.expression), str(term.weight.expression)) for term in spec.terms},
        "total": spec.total and str(spec.total.expression),
        "options": spec.options,
    }


def clean(reading: Reading) -> Spec:
    assert not reading.diagnostics
    assert reading.spec
    return reading.spec


def test_long_form(read_marked: Callable[..., Any]) -> None:
    assert summary(clean(read_marked(LONG).reading)) == {
        "define": {"overlap": "dice(smooth=1, per=batch)"},
        "terms": {
            "pixel": ("ce(label_smoothing=0.1)", "0.5"),
            "region": ("-log(1 - overlap)", "min(0.5, epoch/20)"),
            "edge": ("l1", "1"),
        },
        "total": "pixel + region + edge",
        "options": Options("multiclass", "logits", 255, (1.0, 0.5, 0.001), "eager"),
    }


def test_file_mapping_and_typed_formula_agree(read_marked: Callable[..., Any]) -> None:
    formula = "region = dice(smooth=1)\n0.5*bce + 0.5*region"
    from_file = read_marked("loss: |\n  region = dice(smooth=1)\n  0.5*bce + 0.5*region\n").spec
    expected = {
        "define": {"region": "dice(smooth=1)"},
        "terms": {},
        "total": "0.5*bce + 0.5*region",
        "options": Options(),
    }
    assert summary(from_file) == expected
    assert summary(clean(read_formula(formula))) == expected
    assert summary(clean(read_mapping({"expr": formula}))) == expected
    assert clean(read_mapping({"expr": formula})).total == clean(read_mapping({"expr": formula})).total


def test_mapping_and_file_agree_on_the_long_form(read_marked: Callable[..., Any]) -> None:
    # PyYAML gives 1e-3 as text; it is a number all the same.
    mapping = yaml.safe_load(LONG)["loss"]
    assert mapping["class_weight"][2] == "1e-3"
    assert summary(clean(read_mapping(mapping))) == summary(read_marked(LONG).spec)


def test_expr_of_the_long_form_is_a_whole_formula(read_marked: Callable[..., Any]) -> None:
    spec = clean(read_marked('loss:\n  task: binary\n  define: {a: dice}\n  expr: "b = iou; a + b"\n').reading)
    assert summary(spec) == {
        "define": {"a": "dice", "b": "iou"},
        "terms": {},
        "total": "a + b",
        "options": Options(task="binary"),
    }


@pytest.mark.parametrize(
    ("written", "expression"),
    [("1", "1"), ("1e-3", "0.001"), ("-2", "-2"), ("bce", "bce"), ("'0.5'", "0.5"), ("+.5", "0.5"), ("1e-05", "1e-05")],
)
def test_scalar_is_a_formula(read_marked: Callable[..., Any], written: str, expression: str) -> None:
    spec = clean(read_marked(f"loss: {written}\n").reading)
    assert spec.total
    assert str(spec.total.expression) == expression


@pytest.mark.parametrize("name", ["no", "yes", "on", "off", "y", "n", "'true'", '"null"', "loss", "for", "_"])
def test_words_of_yaml_1_1_are_names(read_marked: Callable[..., Any], name: str) -> None:
    (term,) = clean(read_marked(f"loss: {{terms: {{{name}: bce}}}}\n").reading).terms
    assert term.name == name.strip("'\"")


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null", "NULL"])
@pytest.mark.parametrize(
    "key", ["task", "input", "ignore_index", "class_weight", "backend", "terms", "total", "define"]
)
def test_null_is_the_same_as_leaving_out(read_marked: Callable[..., Any], key: str, nothing: str) -> None:
    spec = clean(read_marked(f"loss:\n  expr: bce\n  {key}: {nothing}\n").reading)
    assert summary(spec) == summary(read_formula("bce").spec)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("ignore_index: -100", Options(ignore_index=-100)),
        ("class_weight: [0, 1., .5]", Options(class_weight=(0.0, 1.0, 0.5))),
        ("class_weight: {0: 1, 1: 2.5}", Options(class_weight=(1.0, 2.5))),
        ("class_weight:\n    2: 3e0\n    0: 0.5\n    1: 0\n", Options(class_weight=(0.5, 0.0, 3.0))),
        ("input: probs", Options(input="probs")),
        ("task: 'regression'", Options(task="regression")),
        ("backend: inductor", Options(backend="inductor")),
    ],
)
def test_options(read_marked: Callable[..., Any], option: str, expected: Options) -> None:
    assert clean(read_marked(f"loss:\n  expr: bce\n  {option}\n").reading).options == expected


def test_aliases_of_scalars_and_mappings(read_marked: Callable[..., Any]) -> None:
    text = "w: &w 0.5\npart: &part {expr: bce, weight: *w}\nloss: {terms: {a: *part, b: {expr: dice, weight: *w}}}\n"
    assert summary(clean(read_marked(text).reading))["terms"] == {"a": ("bce", "0.5"), "b": ("dice", "0.5")}


def test_json(read_marked: Callable[..., Any]) -> None:
    text = '{\n\t"train": {\n\t\t"loss": "region = dice\\n0.5*bce + region"\n\t}\n}\n'
    assert summary(clean(read_marked(text, key="train.loss").reading))["total"] == "0.5*bce + region"


def test_empty_key_is_the_whole_file(read_marked: Callable[..., Any]) -> None:
    assert summary(clean(read_marked("expr: bce\n", key="").reading))["total"] == "bce"


def test_number_of_a_weight_has_its_place(read_marked: Callable[..., Any]) -> None:
    marked = read_marked("loss:\n  terms:\n    pixel: {expr: ce, weight: «0.25»}\n")
    (term,) = clean(marked.reading).terms
    assert [term.weight.source.place(term.weight.expression.span.start)] == marked.places


def test_default_weight_stands_at_the_name_of_the_term(read_marked: Callable[..., Any]) -> None:
    marked = read_marked("loss:\n  terms:\n    «p»ixel: ce\n")
    (term,) = clean(marked.reading).terms
    assert str(term.weight.expression) == "1"
    assert [term.weight.source.place(0)] == marked.places


def test_default_weight_of_a_mapping_has_a_key_path() -> None:
    (term,) = clean(read_mapping({"terms": {"pixel": "ce"}})).terms
    assert term.weight.source.label == "<loss.terms.pixel.weight>"


@pytest.mark.parametrize("read", [read_formula, lambda text: read_mapping({"expr": text})])
def test_bad_formula_does_not_raise(read: Callable[[str], Reading]) -> None:
    reading = read("0.5*bce +")
    assert reading.spec is None
    assert [finding.code for finding in reading.diagnostics] == ["LD108"]
