"""Adds a row for a function before anything reads the rows, and looks for the function everywhere."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from types import ModuleType

# The rows are imported in a package of that name alone: `lossdsl` itself reads them.
found_at = find_spec("lossdsl")
assert found_at is not None
alone = sys.modules["lossdsl"] = ModuleType("lossdsl")
alone.__path__ = found_at.submodule_search_locations

from lossdsl.operations import functions  # noqa: E402
from lossdsl.operations.row import Function, Rising, Within, between  # noqa: E402

ROWS = {
    "erf": Function(
        value=math.erf,
        course=Rising(math.erf),
        derivative=lambda x, _f: 2.0 * (-(x * x)).apply("exp") / math.sqrt(math.pi),
        slopes=between(0.0, 2 / math.sqrt(math.pi)),
        growth=lambda _size, _greatest: 1.0,
        passes_rounding=True,
        exact=False,
        torch="torch:erf",
        into="torch:erf",
        latex=r"\mathrm{erf}",
    ),
    "atan": Function(
        value=math.atan,
        course=Rising(math.atan),
        derivative=lambda x, _f: 1.0 / (1.0 + x * x),
        slopes=between(0.0, 1.0),
        growth=lambda _size, _greatest: math.pi / 2,
        passes_rounding=True,
        exact=False,
        torch="torch:atan",
        into=None,
        latex=r"\arctan",
    ),
    "cos": Function(
        value=math.cos,
        course=Within(-1.0, 1.0),
        derivative=lambda x, _f: ((x - math.pi) + 1.5 * math.pi).apply("cos"),
        slopes=between(-1.0, 1.0),
        growth=lambda _size, _greatest: 1.0,
        passes_rounding=False,
        exact=False,
        torch="torch:cos",
        into="torch:cos",
        latex=r"\cos",
    ),
}
# The interval of the values of all numbers, to six digits.
RANGES = {"erf": "[-1, 1]", "atan": "[-1.5708, 1.5708]", "cos": "[-1, 1]"}

name = sys.argv[1]
functions.FUNCTIONS[name] = ROWS[name]
del sys.modules["lossdsl"]

import torch  # noqa: E402

import lossdsl  # noqa: E402
from lossdsl.checking.vocabulary import FUNCTIONS, RESERVED  # noqa: E402
from lossdsl.graph.nodes import Graph  # noqa: E402
from lossdsl.proving import interval  # noqa: E402
from lossdsl.proving.transfer import transfer  # noqa: E402
from lossdsl.runtime import sweeps  # noqa: E402
from lossdsl.runtime.staged import Staged  # noqa: E402
from lossdsl.syntax.latex import latex  # noqa: E402

# The language.
text = f"mean({name}(z)*y) + mean({name}(2*z - y)**2)"
assert name in FUNCTIONS
assert name in RESERVED
assert str(lossdsl.parse(text)) == text
(wrong,) = lossdsl.check(f"mean({name}(z, y))").diagnostics
assert "1" in wrong.message, wrong

# The checker.
assert not lossdsl.check(text).diagnostics, lossdsl.check(text).diagnostics
graph = Graph({})
node = graph.make(name, graph.make("input", attributes=("pred",)))
assert str(transfer(node, [interval.ALL])) == RANGES[name], transfer(node, [interval.ALL])

# Explanations.
assert name in lossdsl.explain(text)
assert ROWS[name].latex in latex(lossdsl.parse(f"{name}(z)").expression)

# The engine: in one piece and in several, with its own gradient.
function = getattr(torch, name)
programs = []
found = Staged._program


def watched(self: Staged, *arguments: object) -> object:
    programs.append(found(self, *arguments))
    return programs[-1]


Staged._program = watched
torch.manual_seed(0)
for piece in (sweeps.PIECE, 6):
    sweeps.PIECE = piece
    loss = lossdsl.compile(text, task="binary")
    given = torch.randn(3, 1, 5, 7, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(3, 1, 5, 7) < 0.5).double()
    value = loss(given, target)
    wanted = (function(given) * target).mean() + (function(2 * given - target) ** 2).mean()
    torch.testing.assert_close(value, wanted, rtol=1e-9, atol=1e-12)
    slopes = [torch.autograd.grad(one, given)[0] for one in (value, wanted)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)
assert programs
assert None not in programs, "run by autograd"
