"""Reading runs nothing, changes nothing, ends soon, and gives the same twice."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings

from lossdsl.config import read_file, read_formula, read_mapping

LONG = {
    "task": "binary",
    "class_weight": [1, 2.5],
    "define": {"overlap": "dice"},
    "terms": {"a": {"expr": "bce", "weight": 0.5}, "b": "overlap + nothing +"},
    "unknown": {"x": [1, {"y": None}]},
}


@pytest.mark.parametrize(
    "text",
    [
        "loss: !!python/object/apply:pathlib.Path.touch [{path}]",
        "loss: {{expr: !!python/object/apply:pathlib.Path.touch [{path}]}}",
        "x: !!python/object/apply:pathlib.Path.touch [{path}]\nloss: bce",
        "? !!python/object/apply:os.mkdir [{path}]\n: 1\nloss: {{? !!python/name:os.system '' : 1,\n  expr: bce}}",
        "loss: !!python/object/new:os.system [touch {path}]",
        "loss: !!python/module:this",
    ],
)
def test_nothing_is_constructed(tmp_path: Path, read_marked: Callable[..., Any], text: str) -> None:
    touched = tmp_path / "touched"
    codes = {finding.code for finding in read_marked(text.format(path=touched)).findings}
    assert codes <= {"LD408"}
    assert not touched.exists()


def test_the_shared_loader_is_not_changed() -> None:
    assert yaml.safe_load("{a: 012, b: no, 1: 1.0e+3}") == {"a": 10, "b": False, 1: 1000.0}


BOMBS = {
    "wide": "a0: &a0 [bce]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    + "loss: {expr: bce, define: *a39}\n",
    "wide mappings": "a0: &a0 {x: bce}\n"
    + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 60))
    + "loss: *a59\n",
    "long": f"a: &a '{'bce+' * 10_000}bce'\nloss: {{define: {{{', '.join(f'a{i}: *a' for i in range(5_000))}}}}}\n",
    "deep": "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}}}\n" for i in range(1, 300)) + "loss: *a299\n",
    "endless": "loss: &a {terms: {x: *a}}\n",
    "many": f"loss: [{', '.join('1' for _ in range(20_000))}]\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_alias_bombs_end_soon(read_marked: Callable[..., Any], bomb: str) -> None:
    start = time.process_time()
    (finding,) = read_marked(BOMBS[bomb]).findings
    assert finding.code == "LD408"
    assert finding.message.startswith("this cannot be read: it ")
    assert (finding.line, finding.column) == (BOMBS[bomb].count("\n"), 1)
    assert time.process_time() - start < 10


def test_a_bomb_beside_the_loss_is_harmless(read_marked: Callable[..., Any]) -> None:
    text = BOMBS["wide"].replace("loss:", "other:")
    (finding,) = read_marked(text).findings
    assert finding.code == "LD404"


def test_endless_mappings() -> None:
    endless: dict[str, Any] = {"expr": "bce"}
    endless["define"] = {"x": endless}
    for mapping in ({"define": endless}, {"define": [endless]}, {"class_weight": range(10**12)}):
        (finding,) = read_mapping(mapping).diagnostics
        assert finding.code == "LD408"


class Frozen(Mapping[str, Any]):
    """A mapping that is no dict, makes its children when asked, and cannot be changed."""

    def __init__(self, items: Mapping[str, Any]):
        self._items = items

    def __getitem__(self, key: str) -> Any:
        if self._items[key] == "???":
            raise RuntimeError("Missing mandatory value: task\n    full_key: task")
        return frozen(self._items[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class FrozenList(Sequence[Any]):
    def __init__(self, items: Sequence[Any]):
        self._items = items

    def __getitem__(self, index: Any) -> Any:
        return frozen(self._items[index])

    def __len__(self) -> int:
        return len(self._items)


def frozen(item: Any) -> Any:
    if isinstance(item, dict):
        return Frozen(item)
    return FrozenList(item) if isinstance(item, list) else item


def test_any_mapping_and_sequence() -> None:
    assert read_mapping(Frozen(LONG)) == read_mapping(LONG) == read_mapping(MappingProxyType(LONG))


def test_a_mapping_whose_values_cannot_be_read() -> None:
    (finding,) = read_mapping(Frozen({"expr": "bce", "task": "???"})).diagnostics
    assert finding.render() == ("<loss.task>: error LD405: the value cannot be read: Missing mandatory value: task")


def test_the_mapping_is_not_changed() -> None:
    before = copy.deepcopy(LONG)
    read_mapping(LONG)
    assert before == LONG


def test_the_same_twice(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.dump({"loss": LONG}))
    assert read_file(path) == read_file(path)
    assert read_mapping(LONG) == read_mapping(LONG)
    assert read_formula("a = bce\na + dice") == read_formula("a = bce\na + dice")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(["bce", "1e-3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["expr", "weight", "a"]) | st.text(max_size=3) | st.integers(), inner, max_size=3
        )
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    ["task", "input", "ignore_index", "class_weight", "backend", "define", "terms", "total", "expr", "x"]
)


@given(st.dictionaries(keys, anything, max_size=5))
def test_no_mapping_makes_it_raise(mapping: dict[str, Any]) -> None:
    reading = read_mapping(mapping)
    assert reading.spec or reading.diagnostics
    for finding in reading.diagnostics:
        assert finding.render()


@given(text=st.text(st.sampled_from("loss: {}[]'\"|>-&*!#\n\t ab+(),0.5%@`?<=\r\x85")))
@settings(max_examples=300)
def test_no_file_makes_it_raise(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "experiment.yaml"
    for document in (text, f"loss: {text}", f"loss:\n  expr: {text}"):
        path.write_bytes(document.encode())
        reading = read_file(path)
        assert reading.spec or reading.diagnostics
        for finding in reading.diagnostics:
            assert finding.render()
