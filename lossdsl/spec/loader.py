"""YAML text to PyYAML nodes. Nothing is constructed: a node is a tag, raw values and marks."""

from __future__ import annotations

from typing import Any

import yaml

from lossdsl.spec.others import refused
from lossdsl.spec.page import Page
from lossdsl.spec.values import Found

PLAIN = "plain"
STANDARD = "standard"
MAX_DEPTH = 100


class TooDeep(yaml.MarkedYAMLError):
    """The file is nested so deeply that composing it would overflow the stack."""


class NodeLoader(yaml.SafeLoader):
    """Composes nodes only. A node's tag is PLAIN (unquoted text), STANDARD, or what the user wrote after `!`."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ARG002 - PyYAML calls it
        """The tag of a scalar: PLAIN if it is unquoted, instead of a type that YAML 1.1 guesses."""
        return PLAIN if kind is yaml.ScalarNode and implicit[0] else STANDARD

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise TooDeep(problem=f"more than {MAX_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def compose(page: Page) -> Found[yaml.Node | None]:
    """The node of a file's only document."""
    foreign = refused(page)
    if foreign:
        return Found(None, (foreign,))
    try:
        node = NodeLoader(without_tabs(page.text)).get_single_node()
    except TooDeep as error:
        start = error.problem_mark.index if error.problem_mark else 0
        return Found(None, (page.at(start).says("LD408", f"the file is nested too deeply: {error.problem}"),))
    except yaml.YAMLError as error:
        from lossdsl.spec.unreadable import explain  # a right file needs none of it

        return Found(None, (refused(page, unreadable=True) or explain(error, page),))
    if node is None:
        hint = "for example loss: 0.5*bce + 0.5*dice"
        return Found(None, (page.whole.says("LD401", "the file is empty", hint),))
    return Found(node)


def without_tabs(text: str) -> str:
    """Replace the tabs of JSON, which PyYAML refuses, by spaces; offsets stay the same."""
    return text.replace("\t", " ") if text.lstrip()[:1] in ("{", "[") else text
