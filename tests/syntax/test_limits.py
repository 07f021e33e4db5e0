"""How much is read, and that nothing below the limits runs out of stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

from lossdsl.errors import FormulaError
from lossdsl.syntax.parse import MAX_DEPTH, MAX_LENGTH, MAX_NAME, MAX_NODES, parse, parse_library

Result = TypeVar("Result")


LIMITS: dict[str, tuple[int, Callable[[int], str]]] = {
    "length": (MAX_LENGTH, lambda size: "a" + " " * (size - 1)),
    "length of a comment": (MAX_LENGTH, lambda size: "a#" + "b" * (size - 2)),
    "brackets": (MAX_DEPTH, lambda size: "(1 + " * size + "a" + ")" * size),
    "unary minus": (MAX_DEPTH, lambda size: "-" * size + "a"),
    "powers": (MAX_DEPTH, lambda size: "a**" * size + "b"),
    "products": (MAX_DEPTH, lambda size: "(2*" * size + "a" + ")" * size),
    "calls": (MAX_DEPTH, lambda size: "f(" * size + "a" + ")" * size),
    "keywords": (MAX_DEPTH, lambda size: "f(k=" * size + "a" + ")" * size),
    "lists": (MAX_DEPTH, lambda size: "[" * size + "a" + "]" * size),
    "depth in a binding": (MAX_DEPTH, lambda size: f"r = {'-' * size}a\nr"),
    "nodes": (MAX_NODES, lambda size: "[" + ",".join(["a"] * (size - 2)) + "]"),
    "names": (MAX_NAME, lambda size: "a" * size),
    "names with a dot": (MAX_NAME, lambda size: "a." + "b" * (size - 2)),
    "names of bindings": (MAX_NAME, lambda size: f"{'a' * size} = 1\nb"),
    "names of keywords": (MAX_NAME, lambda size: f"f({'a' * size}=1)"),
    "names of calls": (MAX_NAME, lambda size: f"{'a' * size}(b)"),
}


@pytest.mark.parametrize(("limit", "text"), LIMITS.values(), ids=LIMITS)
def test_the_limit_is_read_and_one_more_is_not(limit: int, text: Callable[[int], str]) -> None:
    for size in (limit - 1, limit):
        program = parse(text(size))
        assert parse(str(program)) == program
    with pytest.raises(FormulaError) as caught:
        parse(text(limit + 1))
    (fault,) = caught.value.diagnostics
    assert fault.code == "LD110"
    assert f"{limit:,}" in fault.message
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("size", [MAX_NAME, MAX_NAME + 1])
@pytest.mark.parametrize("text", ["loss {}() -> [0, 1]\n = a", "loss f({}: b = b) -> [0, 1]\n = a"])
def test_names_in_definitions(text: str, size: int) -> None:
    text = text.format("n" * size)
    if size <= MAX_NAME:
        parse_library(text)
    else:
        with pytest.raises(FormulaError, match="the limit is 64"):
            parse_library(text)


def test_the_last_line_of_a_library_may_end_at_the_limit() -> None:
    text = "loss f() -> [0, 1]\n = a #"
    parse_library(text + "b" * (MAX_LENGTH - len(text)))


LONG = {
    "sum": " + ".join(f"a{index}" for index in range(2000)),
    "difference": " - ".join(f"a{index}" for index in range(2000)),
    "product": "*".join(f"a{index}" for index in range(2000)),
    "quotient": "/".join(f"a{index}" for index in range(2000)),
    "weighted sum": " + ".join(f"{index}*a{index}**2" for index in range(2000)),
    "list": f"[{', '.join(map(str, range(2000)))}]",
    "call": f"f({', '.join(f'k{index}={index}' for index in range(2000))})",
    "bindings": "\n".join(f"a{index} = {index}" for index in range(2000)) + "\nb",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_is_not_deep(text: str) -> None:
    program = parse(text)
    assert str(program) == text
    assert parse(str(program)) == program
    assert hash(parse(text)) == hash(program)


def below(frames: int, function: Callable[[], Result]) -> Result:
    return function() if frames == 0 else below(frames - 1, function)


DEEP = {
    **{name: text(MAX_DEPTH) for name, (limit, text) in LIMITS.items() if limit == MAX_DEPTH},
    "only brackets": "(" * 30_000 + "a" + ")" * 30_000,
    "where": "where(" * 32 + "a" + " < 1, 2, 3)" * 32,
    "signs that mean nothing": "+" * 60_000 + "a",
    "sum": LONG["sum"],
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_formulas_parse_and_print_with_600_frames_on_the_stack(text: str) -> None:
    assert below(600, lambda: str(parse(text))) == str(parse(text))


TOO_DEEP = {
    "brackets": "(1 + " * 10_000 + "a" + ")" * 10_000,
    "open brackets": "(" * 60_000,
    "open calls": "f(" * 30_000,
    "closing brackets": ")" * 60_000,
    "unary minus": "-" * 60_000 + "a",
    "powers": "a**" * 20_000 + "a",
    "lists": "[" * 30_000 + "]" * 30_000,
    "values": "a " * 30_000,
    "commas": "," * 60_000,
    "digits": "9" * 60_000,
    "exponent": "1e" + "9" * 60_000,
    "name": "a" * 60_000,
    "attributes": "a" + ".a" * 30_000,
    "newlines": "\n" * 60_000,
    "lines": "a\n" * 30_000,
    "foreign": "\N{MINUS SIGN}" * 60_000,
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP)
def test_too_much_is_a_short_error_even_with_600_frames_on_the_stack(text: str) -> None:
    for frames in (0, 600):
        with pytest.raises(FormulaError) as caught:
            below(frames, lambda: parse(text))
        assert len(below(frames, lambda: str(caught.value))) < 1000


def test_the_first_formula_of_a_process_may_come_with_600_frames_on_the_stack() -> None:
    program = (
        "from lossdsl.syntax.parse import parse\n"
        "def below(frames): return parse('a + b') if frames == 0 else below(frames - 1)\n"
        "assert str(below(600)) == 'a + b'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


NUMBERS = {
    "1" + "0" * 308: 1e308,
    "0." + "0" * 300 + "1": 1e-301,
    "1_" * 300 + "0": float("1" * 300 + "0"),
    "0." + "0" * 60_000: 0.0,
}


@pytest.mark.parametrize(("text", "value"), NUMBERS.items(), ids=["large", "small", "underscores", "zeros"])
def test_long_numbers(text: str, value: float) -> None:
    assert str(parse(text)) == str(parse(repr(value)))
