"""One text while its names are looked up: what may stand in it, and where its findings go.

What reads a call of a function knows no more than this, and `scope.py`, which knows the functions, reads all the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from lossdsl.checking.body_cache import Memory
from lossdsl.checking.resolved import Constant, Resolved
from lossdsl.errors import Edit, Place, Source
from lossdsl.registry.entry_points import BUILT_IN
from lossdsl.syntax import tree

_NO_SOURCE = Source("")


@dataclass(frozen=True, slots=True)
class Text(ABC):
    """One text, and what its names may stand for.

    words: choices that may stand here. choosing: nothing but a choice may. tensors: an unknown name is a tensor that
    the caller passes; in_definition: it is one unless it is nearly a known one. passed: names that are one anywhere.
    home: the namespace looked in first. doubts: whether a tensor may be a misspelt name. defining: whose value it is.
    """

    memory: Memory
    names: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    home: str = BUILT_IN
    source: Source = _NO_SOURCE
    tensors: bool = False
    choosing: bool = False
    in_definition: bool = False
    passed: frozenset[str] = frozenset()
    doubts: bool = True
    defining: str = ""

    @abstractmethod
    def expression(self, node: tree.Expression) -> Resolved:
        """What a part of the text means."""

    def report(
        self, node: tree.Node, code: str, message: str, hint: str | None = None, edit: Edit | None = None
    ) -> None:
        self.memory.diagnostics.append(Place(self.source, node.span).says(code, message, hint, edit))

    def wrong(
        self, node: tree.Node, code: str, message: str, hint: str | None = None, edit: Edit | None = None
    ) -> Resolved:
        """Report, and stand in for the value so that the rest is still checked."""
        self.report(node, code, message, hint, edit)
        return Constant(1.0, Place(self.source, node.span))
