"""The complete text of findings, one or more for each code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

MESSAGES = {
    "loss: {expr: multiscale(bce, weights=[1, 2])}": """
experiment.yaml:1:38: error LD401: the file is not valid YAML: expected ',' or '}', but got '['
    loss: {expr: multiscale(bce, weights=[1, 2])}
                                         ^
    quote the formula: inside { } and [ ] a comma or a bracket ends a value
""",
    "loss:\n  taks: binary\n  expr: bce\n": """
experiment.yaml:2:3: error LD402: unknown key `taks`
      taks: binary
      ^~~~
    did you mean `task`? the keys are task, input, ignore_index, class_weight, backend, tensors, define, terms, total, expr
""",  # noqa: E501
    "loss:\n  terms:\n    pixel: ce\n    pixel: bce\n": """
experiment.yaml:4:5: error LD403: the key `pixel` is given twice; the first is in line 3
        pixel: bce
        ^~~~~
    remove one of them
""",
    "train:\n  loss: bce\n": """
experiment.yaml: error LD404: there is no key `loss` in the file
    did you mean `train.loss`?
""",
    "loss:\n  task: Binary\n  expr: bce\n": """
experiment.yaml:2:9: error LD405: task must be one of binary, multilabel, multiclass, regression, got `Binary`
      task: Binary
            ^~~~~~
    did you mean `binary`?
""",
    "loss:\n  terms: {pixel: {expr: focal(gamma=2, alpha=0.25), weight: 1}}\n": """
experiment.yaml:2:38: error LD405: in YAML, a comma inside { } ends the value; here it splits a formula
      terms: {pixel: {expr: focal(gamma=2, alpha=0.25), weight: 1}}
                                         ^
    quote the formula: expr: "focal(gamma=2, alpha=0.25)"
""",
    "loss: {expr: bce, tensors: edge}\n": """
experiment.yaml:1:28: error LD405: tensors must be a list of names or a mapping, got `edge`
    loss: {expr: bce, tensors: edge}
                               ^~~~
    for example tensors: [edge, depth], or tensors: {depth: "(0, inf)"}
""",
    "loss:\n  task: binary\n": """
experiment.yaml:1:1: error LD406: the loss has neither terms nor expr
    loss:
    ^~~~
    add expr: 0.5*bce + 0.5*dice
""",
    "loss: !include loss.yaml\n": """
experiment.yaml:1:7: error LD408: the tag `!include` is not supported
    loss: !include loss.yaml
          ^
    remove the tag
""",
    "loss: >\n  0.5*bce +   # the pixels\n  0.5*dice\n": """
experiment.yaml:2:15: error LD405: the comment hides the lines below it: YAML folds line breaks into spaces here
      0.5*bce +   # the pixels
                  ^~~~~~~~~~~~
    write the formula below `key: |` to keep its lines
""",
}


@pytest.mark.parametrize("text", MESSAGES)
def test_message(rendered: Callable[[str], str], text: str) -> None:
    assert rendered(text) == MESSAGES[text].strip("\n")
