"""No regular expression of the package takes quadratic time, whatever text it is given."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lossdsl

PACKAGE = Path(lossdsl.__file__).parent
METHODS = ("match", "search", "fullmatch", "finditer", "findall", "split", "sub")
FLAGS = ("ASCII", "DOTALL", "MULTILINE", "IGNORECASE")
LENGTH = 8_000
# What is repeated, between a beginning and an end that keep it from matching.
REPEATED = (
    " ", "\n", "a", "1", "_", "- ", ".", "(", "()", "#", "#\n", " #", "'", "\\", ":", "a:", "a ", "&a ", "! ", "1,",
    "1_", "loss ", "\n#", "# Absent: a\n", " for a", "reduction=none,",
)  # fmt: skip
BEFORE = ("", "a: @", "(", "# Absent:", "sigmoid(", "-> [", "loss", "logits for a", "!")
AFTER = ("", "x")


def patterns() -> Iterator[tuple[str, re.Pattern[str], tuple[str, ...]]]:
    """Each with its place and the methods that are used of it."""
    for file in sorted(PACKAGE.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=how), args=[written, *_]):
                    pass
                case _:
                    continue
            if how == "escape":
                continue
            text = _text(written)
            flags = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)} & {*FLAGS}
            named = re.match(r"\s*(\w+) = ", source.splitlines()[node.lineno - 1])
            used = [how] if how in METHODS else [m for m in METHODS if named and f"{named[1]}.{m}(" in source]
            pattern = re.compile(text, re.RegexFlag(sum(getattr(re, flag) for flag in flags)))
            yield (
                f"{file.relative_to(PACKAGE)}:{node.lineno}:{node.col_offset}",
                pattern,
                tuple(used or ("match", "finditer")),
            )


def _text(written: ast.expr) -> str:
    """What an f-string fills in is a word or words."""
    if isinstance(written, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "loss" for v in written.values)
    return str(ast.literal_eval(written))


# It reads what the printer wrote, whose brackets close and are at most 64 deep.
PRINTED = "graph/frames.py"
FOUND = tuple(row for row in patterns() if not row[0].startswith(PRINTED))


def calls(pattern: re.Pattern[str], how: str) -> Callable[[str], object]:
    if how == "sub":
        return lambda text: pattern.sub("", text)
    method = getattr(pattern, how)
    return (lambda text: list(method(text))) if how in ("finditer", "findall") else method


def seconds(call: Callable[[str], object], text: str, times: int) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        call(text)
        spent.append(time.perf_counter() - started)
    return min(spent)


def test_all_are_found() -> None:
    assert len(FOUND) > 60


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("pattern", "used"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_time_grows_with_the_length_alone(pattern: re.Pattern[str], used: tuple[str, ...]) -> None:
    for how in used:
        call = calls(pattern, how)
        for unit in REPEATED:
            for before in BEFORE:
                for after in AFTER:
                    text = before + unit * (LENGTH // len(unit)) + after
                    quick = seconds(call, text, 1) < 0.03 or seconds(call, text, 3) < 0.06
                    assert quick, (how, text[:40])


def test_broken_yaml_with_a_long_line(tmp_path: Path) -> None:
    lines = ["loss: @" + " " * 100_000 + "x", "loss: @" + "- " * 50_000, "- " * 90 + "&a" + " " * 100_000 + "- @x"]
    for line in lines:
        (tmp_path / "a.yaml").write_text(line)
        started = time.perf_counter()
        report = lossdsl.check(tmp_path / "a.yaml")
        assert not report.ok
        assert time.perf_counter() - started < 3, line[:20]
