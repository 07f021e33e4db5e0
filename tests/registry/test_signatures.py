"""Malformed definitions: every one ends in findings with a code and a place, in a .loss file and in `define`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from torch.nn.functional import huber_loss

import lossdsl
import lossdsl.testing
from lossdsl.api.loss_file import check_library
from lossdsl.errors import Diagnostic
from lossdsl.registry.define import read_definition

# parameters -> code, column of the first line, words of the message
PARAMETERS = {
    "m: [0, 1] = -(1/2)": ("LD205", 20, "`-(1/2)` cannot be the default of `m`"),
    "m: [0, 1] = 1/2": ("LD205", 20, "`1/2` cannot be the default"),
    "m: [0, 1] = exp(1)": ("LD205", 20, "`exp(1)` cannot be the default"),
    "m: [0, 1] = q": ("LD205", 20, "`q` cannot be the default"),
    "m: [0, 1] = m": ("LD205", 20, "`m` cannot be the default"),
    "k: [0, 1] = 1, m: [0, 1] = k": ("LD205", 35, "`k` cannot be the default of `m`"),
    "m: [0, 1] = nan": ("LD205", 20, "`nan` cannot be the default"),
    "m: [0, 1] = [1]": ("LD205", 20, "`[1]` cannot be the default"),
    "m: [0, 1] = 2": ("LD204", 20, "the default of `m` is 2, outside its range"),
    "m: [0, 1) = 1": ("LD204", 20, "is 1, outside"),
    "m: [0, 1] = -inf": ("LD204", 20, "is -inf, outside"),
    "m: [0, 1] | none = some": ("LD205", 27, "`some` cannot be the default"),
    "m: [[0, 1]] = [1, [2]]": ("LD205", 22, "`[1, [2]]` cannot be the default"),
    "m: [[0, 1]] = []": ("LD205", 22, "`[]` cannot be the default"),
    "m: [[0, 1]] = [1, 2]": ("LD204", 22, "is 2, outside"),
    "m: [[[0, 1]]] = [1, 0]": ("LD205", 24, "`[1, 0]` cannot be the default"),
    "m: x | y = w": ("LD205", 19, "`w` cannot be the default"),
    "m: x | y = 1": ("LD205", 19, "`1` cannot be the default"),
    "m: x | x = x": ("LD105", 8, "`x` is given twice as a choice of `m`"),
    "m: task = x": ("LD205", 18, "`x` cannot be the default"),
    "m: [0, 1] = 1, m: [0, 1] = 1": ("LD105", 23, "`m` is given twice"),
    "p: [0, 1] = 1": ("LD206", 8, "`p` is reserved in every call"),
    "reduction: [0, 1] = 1": ("LD206", 8, "`reduction` is reserved in every call"),
    "mask: [0, 1] = 1": ("LD206", 8, "`mask` is reserved in every call"),
    "epoch: [0, 1] = 1": ("LD206", 8, "`epoch` is reserved in every call"),
    "inf: [0, 1] = 1": ("LD206", 8, "`inf` is reserved in every call"),
    "m = 1": ("LD101", 8, "a parameter must declare its allowed values"),
    "p, y": ("LD101", 8, "a parameter must declare its allowed values"),
    "m: 1": ("LD101", 11, "unexpected `1`"),
    "m: [0] = 1": ("LD101", 13, "unexpected `]`"),
    "m: [1, 0] = 1": ("LD101", 11, "the range is empty"),
    "m: (0, 0) = 0": ("LD101", 11, "the range is empty"),
    "m: [nan, 1] = 1": ("LD101", 12, "`nan` is not a number"),
    "m: [0, 1] = 1e999": ("LD101", 20, "too large a number"),
    'm: "x" = "x"': ("LD101", 11, "quotes are not part of the language"),
    "\u00f6: [0, 1] = 1": ("LD103", 8, "is not part of the language"),
    ",": ("LD108", 8, "unexpected `,`"),
}
# body -> code, place, words of the message
BODIES = {
    "": ("LD108", (1, 32), "the definition ends after `]`"),
    "=": ("LD108", (2, 6), "the definition ends after `=`"),
    "= mean(": ("LD107", (2, 11), "`(` is never closed"),
    "= a": ("LD210", (1, 1), "circular definition: "),
    "= q = 1": ("LD101", (2, 9), "`=` must be on a line of its own"),
    "for bin = mean(p)": ("LD101", (2, 9), "`bin` is not a task"),
    "for binary | = mean(p)": ("LD101", (2, 18), "unexpected `=`"),
    "for binary = bce\n    for binary = bce": ("LD105", (3, 5), "`for binary` is given twice"),
    "= bce\n    = bce": ("LD105", (3, 7), "`=` is given twice"),
    "q = p\n    q = y\n    = mean(q)": ("LD105", (3, 5), "`q` is given twice"),
    "q = r\n    r = q\n    = mean(q)": ("LD210", (2, 9), "circular definition: q -> r -> q"),
    "p = y\n    = mean(p)": ("LD206", (2, 5), "`p` is already defined"),
    "= mean(p < y)": ("LD104", (2, 12), "a comparison is only allowed"),
    "= nosuch(1)": ("LD201", (2, 7), "unknown loss or function `nosuch`"),
    "= mean(p)\x00": ("LD103", (2, 14), "U+0000 control character"),
    "mean(p)": ("LD102", (2, 9), "missing operator"),
}
COMMENTS = {
    "Better: highest": "`Better: highest` is not one of lower, higher, neither",
    "Input: logit": "`Input: logit` is not one of logits, probs",
    "Input: probs for": "`Input: probs for` is not one of logits, probs",
    "Input: probs for binry": "`binry` is not one of binary, multilabel",
    "Input: probs for binary, ": "`` is not one of binary, multilabel",
    "Input: probs unless sigmoid=true": "no parameter takes `sigmoid=true`",
    "Input: probs unless sigmoid": "no parameter takes `sigmoid=`",
    "Shape: 4": "`Shape: 4` must have a form such as (N, 4)",
    "Shape: (N, 0)": "`Shape: (N, 0)` must have a form such as (N, 4)",
    "Shape: (N, 3, 99999999999)": "must have a form such as (N, 4)",
    "Except: worse": "`Except: worse` must have the form `Except: rule -- reason`",
    "Except:": "must have the form `Except: rule -- reason`",
    "Otherwise: binry -- use bce": "`Otherwise: binry` is not one of binary, multilabel",
    "Otherwise: binary": "must have the form `Otherwise: task -- what to use instead`",
    "Refused: alpha": "must have the form `Refused: word -- what to write instead`",
    "Refused: -- write beta": "must have the form `Refused: word -- what to write instead`",
    "Accepted: alpha": "must have the form `Accepted: word -- reason`",
}


def in_a_file(text: str) -> Diagnostic:
    return next(found for report in check_library(text, Path("some.loss")) for found in report.diagnostics)


def defined(text: str) -> Diagnostic:
    with lossdsl.testing.registry():
        try:
            lossdsl.define(text)
        except lossdsl.LossError as error:
            return error.diagnostics[0]
    raise AssertionError(f"{text} can be defined")


@pytest.fixture(params=[in_a_file, defined], ids=["file", "define"])
def finding(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_signatures(parameters: str, finding: Any) -> None:
    code, column, words = PARAMETERS[parameters]
    found = finding(f"loss a({parameters}) -> [0, 1]\n    = mean(abs(p - y))\n")
    assert (found.code, found.line, found.column) == (code, 1, column)
    assert words in found.message


@pytest.mark.parametrize("body", BODIES)
def test_bodies(body: str, finding: Any) -> None:
    code, place, words = BODIES[body]
    found = finding(f"loss a(m: [0, 1] = 1) -> [0, 1]\n    {body}\n")
    assert (found.code, (found.line, found.column)) == (code, place)
    assert words in found.message


@pytest.mark.parametrize("comment", COMMENTS)
def test_comments(comment: str, finding: Any) -> None:
    found = finding(f"# A loss.\n# {comment}\nloss a() -> [0, 1]\n    = mean(abs(p - y))\n")
    assert (found.code, found.line, found.column) == ("LD109", 3, 1)
    assert COMMENTS[comment] in found.message


def test_all_faults_of_a_signature_at_once() -> None:
    text = "# Better: so\nloss a(m: [0, 1] = 2, n: x | y = 1) -> [0, 1]\n    = mean(abs(p - y))\n"
    found = [
        (each.code, each.column) for report in check_library(text, Path("some.loss")) for each in report.diagnostics
    ]
    assert sorted(found) == [("LD109", 1), ("LD204", 20), ("LD205", 34)]


WORDS = {
    "Input: probs unless act=on": ("probs", (), (), (("act", "on"),)),
    "Input: probs unless act=on, act=softly": ("probs", (), (), (("act", "on"), ("act", "softly"))),
    "Input: logits for binary, multilabel": ("logits", ("binary", "multilabel"), (), ()),
    "Input: logits if act=on": ("logits", (), (("act", "on"),), ()),
    "Input: logits for multiclass unless act=on": ("logits", ("multiclass",), (), (("act", "on"),)),
    "Input: probs for binary if act=on, act=softly unless act=off": (
        "probs", ("binary",), (("act", "on"), ("act", "softly")), (("act", "off"),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("comment", WORDS)
def test_what_a_loss_takes_as_it_is(comment: str) -> None:
    """It is read, and printed as it was written."""
    entry = f"# A loss.\n# {comment}\nloss a(act: on | softly | off = off) -> [0, 1]\n    = mean(abs(p - y))\n"
    (taken,) = read_definition(entry).documentation.taken
    assert (taken.kind, taken.tasks, taken.when, taken.unless) == WORDS[comment]
    assert f"Input: {taken}" == comment


@pytest.mark.parametrize("comment", ["Input: probs unless act=of", "Input: probs unless m=1", "Input: probs if x=on"])
def test_a_word_that_no_parameter_takes(comment: str, finding: Any) -> None:
    found = finding(f"# {comment}\nloss a(act: on | off = off, m: [0, 1] = 1) -> [0, 1]\n    = mean(abs(p - y))\n")
    assert (found.code, found.line) == ("LD109", 2)
    assert found.message == f"`{comment}`: no parameter takes `{comment.rpartition(' ')[2]}`"


def test_a_word_that_no_parameter_of_a_kernel_takes() -> None:
    def f(pred: Any, y: Any, *, act: Literal["on", "off"] = "off") -> Any:
        """A loss.
        Input: probs unless act=no
        """

    with pytest.raises(lossdsl.PluginError, match="no parameter takes `act=no`"):
        lossdsl.loss()(f)
    with pytest.raises(lossdsl.PluginError, match="no parameter takes `reduction=sum`"):
        lossdsl.adapt("acme", {"f": huber_loss}, about="Huber.\nInput: probs unless reduction=sum")


KERNELS: dict[str, tuple[Any, Any, str]] = {
    "out of range": (Annotated[float, "[0, 1]"], 2.0, "in `f`, the default of `m` is 2, outside its range"),
    "none": (Annotated[float, "[0, 1]"], None, "the default of `m` of `f` is None, which is not a number"),
    "a number for words": (Annotated[float, "[0, 1]"], "half", "in `f`, `half` cannot be the default of `m`"),
}


@pytest.mark.parametrize("case", KERNELS)
def test_kernels(case: str) -> None:
    annotation, default, message = KERNELS[case]

    def f(p: Any, y: Any, *, m: Any = default) -> Any: ...

    f.__annotations__["m"] = annotation
    with pytest.raises(lossdsl.PluginError) as caught:
        lossdsl.loss()(f)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", [Sequence[float], list[float], tuple[float, ...]], ids=str)
def test_lists_of_a_kernel(kind: Any) -> None:
    def f(p: Any, y: Any, *, m: Any = (0.2, 0.5)) -> Any: ...

    f.__annotations__["m"] = Annotated[kind, "[0, 1]"]
    with lossdsl.testing.registry():
        lossdsl.loss()(f)
        assert lossdsl.check("f(m=[0, 1, 0.5])").ok
        assert [found.code for found in lossdsl.check("f(m=[0, 2])").diagnostics] == ["LD204"]


def test_a_truth_value_of_a_kernel_is_two_words() -> None:
    def f(p: Any, y: Any, *, m: bool = True) -> Any: ...

    with pytest.raises(lossdsl.PluginError, match=r'annotate it Literal\["true", "false"\]'):
        lossdsl.loss()(f)


def test_a_kernel_has_no_parameter_that_every_call_has() -> None:
    def f(p: Any, y: Any, *, reduction: Annotated[float, "[0, 1]"] = 1) -> Any: ...

    with pytest.raises(lossdsl.PluginError, match="`f` cannot have a parameter `reduction`"):
        lossdsl.loss()(f)
