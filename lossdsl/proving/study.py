"""A loss looked at from all sides without torch: what it was read from, its graphs, and what is proved of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from lossdsl.checking.resolved import Objective
from lossdsl.config.model import Reading, Spec
from lossdsl.flat import Row, flattened, rebuilt
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.context import Context
from lossdsl.graph.graphs import Graphs
from lossdsl.proving.analysis import Proof, prove


class Study(Graphs):
    """A loss whose names and parameters are right. Each graph and each proof is made when it is first asked for.

    reading: what it was read from, with the options that it has. Copies share all; a pickle holds no graph.
    """

    def __init__(self, reading: Reading, objective: Objective):
        assert reading.spec
        super().__init__(objective, reading.spec.options)
        self.reading = reading
        self.spec: Spec = reading.spec
        self._proofs: dict[tuple[Context, bool], Proof] = {}

    def proof(self, built: BuiltLoss, closely: bool = True) -> Proof:
        """The intervals of all nodes of a graph.

        closely: use what parts have in common, which takes most of the time.
        """
        key = built.context, closely
        known = self._proofs.get(key)
        if known is None:
            known = self._proofs[key] = prove(self, built) if closely else prove(self, built, related=())
        return known

    def forget(self) -> None:
        """Drop graphs and proofs, which are made again when they are asked for."""
        super().forget()
        self._proofs.clear()

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing that it is asked changes what it answers

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _from_rows, (flattened((self.reading, self.objective)),)


def _from_rows(rows: tuple[Row, ...]) -> Study:
    return Study(*rebuilt(rows))
