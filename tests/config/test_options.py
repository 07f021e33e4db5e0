"""One rule for an option, whether it comes by keyword, from a mapping or from a file."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

import lossdsl
from lossdsl.config import Options

Way: TypeAlias = Callable[..., Any]


class Kind(str, Enum):  # noqa: UP042 - its str() is `Kind.PIXELS`
    PIXELS = "multiclass"


def by_keyword(**options: Any) -> Any:
    return lossdsl.compile("ce", **options)


def by_mapping(**options: Any) -> Any:
    return lossdsl.compile({"expr": "ce", **options})


WAYS = pytest.mark.parametrize("way", [by_keyword, by_mapping])

WEIGHTS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "list": ([1, 2.5], (1, 2.5)),
    "tuple": ((0, 2), (0, 2)),
    "deque": (deque([1, 2]), (1, 2)),
    "range": (range(1, 4), (1, 2, 3)),
    "numpy": (np.array([1, 2.5]), (1, 2.5)),
    "numpy of integers": (np.array([1, 2], dtype=np.uint8), (1, 2)),
    "numpy scalars": ([np.float64(1), np.int64(2), np.float16(0.5)], (1, 2, 0.5)),
    "tensor": (torch.tensor([1, 2.5], dtype=torch.float64), (1, 2.5)),
    "bfloat16": (torch.tensor([1, 2.5], dtype=torch.bfloat16), (1, 2.5)),
    "parameter": (torch.nn.Parameter(torch.tensor([1.0, 2.0])), (1, 2)),
    "tensors": ([torch.tensor(1.0), torch.tensor(2)], (1, 2)),
    "numbers of all kinds": ([Fraction(1, 2), Decimal("0.25"), 3], (0.5, 0.25, 3)),
    "mapping": ({0: 1, 1: 2.5}, (1, 2.5)),
    "mapping in another order": (OrderedDict([(2, 3), (0, 1), (1, 2)]), (1, 2, 3)),
    "mapping of numpy integers": ({np.int64(1): 2, np.int64(0): np.float32(0.5)}, (0.5, 2)),
    "mapping that cannot change": (MappingProxyType({0: 1, 1: 2}), (1, 2)),
    "text of PyYAML": (["1e-3", 1], (1e-3, 1)),
}


@WAYS
@pytest.mark.parametrize("name", WEIGHTS)
def test_class_weight(way: Way, name: str) -> None:
    given, expected = WEIGHTS[name]
    assert way(class_weight=given).options.class_weight == expected


NO_WEIGHTS: dict[str, Any] = {
    "set": {1.0, 2.0},
    "frozenset": frozenset([1, 2]),
    "bytes": b"\x01\x02",
    "bytearray": bytearray(b"\x01\x02"),
    "text": "12",
    "word": "balanced",
    "generator": (weight for weight in (1, 2)),
    "iterator": iter([1, 2]),
    "map": map(float, (1, 2)),
    "keys": {0: 3, 1: 4}.keys(),
    "values": {0: 3, 1: 4}.values(),
    "items": {0: 3, 1: 4}.items(),
    "counter of words": Counter("aab"),
    "counter of labels": Counter([0, 1, 1, 2]),
    "nested list": [[1, 2]],
    "two-dimensional array": np.ones((1, 2)),
    "two-dimensional tensor": torch.ones(1, 2),
    "0-d tensor": torch.tensor(1.0),
    "0-d array": np.array(2),
    "meta tensor": torch.ones(2, device="meta"),
    "complex": torch.ones(2, dtype=torch.complex64),
    "array of words": np.array(["1", "2"]),
    "masked array": np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    "bool": True,
    "bools": [True, False],
    "numpy bools": np.array([True, True]),
    "bool tensor": torch.tensor([True, True]),
    "digits": ["1", "2"],
    "digits with a point": ["1.0", "2.5"],
    "None inside": [1, None],
    "nan": [1, float("nan")],
    "nan of decimals": [1, Decimal("sNaN")],
    "inf": np.array([1, np.inf]),
    "below 0": [1, -1],
    "huge": [1, 10**400],
    "empty": [],
    "empty mapping": {},
    "empty tensor": torch.ones(0),
    "zeros": [0, 0],
    "zero tensor": torch.zeros(3),
    "zeros by label": {0: 0, 1: 0.0},
    "number": 2,
    "function": len,
    "label missing": {0: 1, 2: 1},
    "label 0 missing": {1: 1, 2: 1},
    "label below 0": {-1: 1, 0: 1},
    "ignored label": {0: 1, 1: 2, 255: 0},
    "labels as text": {"0": 1, "1": 2},
    "labels as bools": {False: 1, True: 2},
    "labels as floats": {0.0: 1, 1.0: 2},
    "a label twice": {0: 1, "0": 2},
    "label None": {None: 1},
    "weights as text": {0: "1", 1: "2"},
    "weights as lists": {0: [1], 1: [2]},
    "names": {"road": 1, "sky": 2},
}


@WAYS
@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_no_class_weight(way: Way, name: str) -> None:
    """It says what was given and what belongs there, in one finding for each thing that is wrong."""
    with pytest.raises(lossdsl.ConfigError) as caught:
        way(class_weight=NO_WEIGHTS[name])
    assert {one.code for one in caught.value.diagnostics} == {"LD405"}
    assert all("class_weight" in one.render() for one in caught.value.diagnostics)


def test_what_is_said() -> None:
    said = {
        "set": "class_weight must be a list of numbers, one for each class, got a set",
        "generator": "class_weight must be a list of numbers, one for each class, got a generator",
        "digits": "a class weight must be a finite number of at least 0, got `1`",
        "zeros": "all class weights are 0, so no class counts",
        "label missing": "class_weight has no weight for the label 1",
        "labels as floats": "the label `0.0` must be a whole number of at least 0",
    }
    for name, message in said.items():
        found = lossdsl.check("ce", class_weight=NO_WEIGHTS[name]).diagnostics
        assert found[0].message == message
        assert found[0].hint


INDICES: list[tuple[Any, int]] = [
    (255, 255),
    (-100, -100),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (np.uint8(255), 255),
    (np.int64(-1), -1),
    (np.array(7), 7),
    (torch.tensor(255), 255),
]
HUGE = 10**5000  # too many digits for Python to print
NO_INDICES: list[Any] = [
    2**63,
    2**70,
    -(2**63) - 1,
    HUGE,
    True,
    np.True_,
    torch.tensor(True),
    255.0,
    np.float32(255),
    torch.tensor(255.0),
    Fraction(255),
    Decimal(255),
    "255",
    "1e2",
    [255],
    torch.tensor([255]),
    {255},
    {255: 1},
    float("nan"),
    1j,
]


@WAYS
@pytest.mark.parametrize(("given", "expected"), INDICES, ids=repr)
def test_ignore_index(way: Way, given: Any, expected: int) -> None:
    read = way(ignore_index=given).options.ignore_index
    assert (read, type(read)) == (expected, int)


@WAYS
@pytest.mark.parametrize("given", NO_INDICES, ids=lambda given: "huge" if given is HUGE else repr(given))
def test_no_ignore_index(way: Way, given: Any) -> None:
    with pytest.raises(lossdsl.ConfigError) as caught:
        way(ignore_index=given)
    (found,) = caught.value.diagnostics
    assert (found.code, bool(found.hint)) == ("LD405", True)
    assert "ignore_index must be a whole number" in found.message


@WAYS
@pytest.mark.parametrize("option", ["task", "input", "backend"])
@pytest.mark.parametrize("given", [1, True, ["binary"], {"binary"}, b"binary", "", "Binary", len, 0.5], ids=repr)
def test_no_choice(way: Way, option: str, given: Any) -> None:
    with pytest.raises(lossdsl.ConfigError, match=f"LD405: {option} must be one of"):
        way(**{option: given})


@WAYS
@pytest.mark.parametrize("given", ["multiclass", np.str_("multiclass"), Kind.PIXELS], ids=repr)
def test_choice(way: Way, given: Any) -> None:
    read = way(task=given).options.task
    assert (read, type(read)) == ("multiclass", str)


# what stands in a file: the options that it gives, or what is said of it
FILES: dict[str, Options | str] = {
    "class_weight: {0: 1, 1: 2}": Options(class_weight=(1, 2)),
    "class_weight: {1: 2, 0: 0}": Options(class_weight=(0, 2)),
    "class_weight:\n    0: 1\n    1: 1e-3\n": Options(class_weight=(1, 1e-3)),
    "class_weight: {0: 0, 1: 0}": "all class weights are 0",
    "class_weight: [0, 0.0]": "all class weights are 0",
    "class_weight: {}": "got an empty mapping",
    "class_weight: {1: 1, 2: 1}": "no weight for the label 0",
    "class_weight: {0: 1, 0.5: 1}": "the label `0.5` must be a whole number",
    "class_weight: {'0': 1, '1': 2}": "the label `0` must be a whole number",
    "class_weight: {road: 1, sky: 2}": "the label `road` must be a whole number",
    "class_weight: {true: 1, false: 2}": "the label `true` must be a whole number",
    "class_weight: {0: 1, 1: -2}": "got `-2`",
    "class_weight: {0: 1, 1: '2'}": "got `2`",
    "class_weight: [1, true]": "got `true`",
    "class_weight: [1, 1e400]": "got `1e400`",
    "class_weight: ['1', 2]": "got `1`",
    "class_weight: [1,000, 2]": "got `000`",
    "class_weight: [010, 2]": "got `010`",
    "class_weight: !!set {1, 2}": "the tag `!!set` is not supported",
    "ignore_index: 010": "got `010`",
    "ignore_index: 0x10": "got `0x10`",
    "ignore_index: 1_000": "got `1_000`",
    "ignore_index: 9223372036854775808": "got `9223372036854775808`",
    "ignore_index: 0": Options(ignore_index=0),
    "task: [binary]": "got a list",
}


@pytest.mark.parametrize("text", FILES)
def test_in_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(f"loss:\n  expr: ce\n  {text}\n", encoding="utf-8")
    expected = FILES[text]
    if isinstance(expected, Options):
        assert lossdsl.load(path).options == expected
        return
    found = lossdsl.check(path).diagnostics
    assert found
    assert {one.code for one in found} <= {"LD405", "LD408"}
    assert expected in found[0].message
    assert all(one.line and one.line >= 3 for one in found)


def test_numbers_as_names_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    for text in (
        "terms: {0: bce}",
        "define: {1: bce}\n  expr: bce",
        "terms: {a: {expr: bce, 2: 1}}",
        "expr: bce\n  1: 1",
    ):
        path.write_text(f"loss:\n  {text}\n", encoding="utf-8")
        assert "must be a string; YAML reads it as a number" in str(lossdsl.check(path))


def test_a_mapping_weighs_the_classes_of_its_labels() -> None:
    z, y = torch.randn(2, 3, 5, dtype=torch.float64), torch.randint(0, 3, (2, 5))
    weights = torch.tensor([0.5, 2, 1], dtype=torch.float64)
    wanted = torch.nn.functional.cross_entropy(z, y, weights)
    torch.testing.assert_close(lossdsl.compile("ce", class_weight={2: 1, 0: 0.5, 1: 2})(z, y), wanted)


def test_a_wrong_option_is_said_once_for_all_ways() -> None:
    in_mapping, by_word = (
        lossdsl.check({"expr": "ce", "class_weight": [0, 0]}).diagnostics,
        lossdsl.check("ce", class_weight=[0, 0]).diagnostics,
    )
    assert [one.message for one in in_mapping] == [one.message for one in by_word]
    assert [one.hint for one in in_mapping] == [one.hint for one in by_word]
