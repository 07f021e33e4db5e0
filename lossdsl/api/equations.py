"""A loss as LaTeX: its formula, then the definitions of its names and expanded losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossdsl.api.opening import Opening
from lossdsl.registry.model import Formula, Kernel, Loss
from lossdsl.spec.model import Spec
from lossdsl.syntax import tree
from lossdsl.syntax.latex import aligned, cases, latex, name_latex, text_latex

_INDENT = r"\quad "


def spec_latex(spec: Spec, expression: tree.Expression, opened: Sequence[Opening]) -> str:
    """The loss for math mode: one expression, or equations in an `aligned` environment."""
    lines = [("", latex(expression))]
    lines += [(name_latex(term.name), latex(term.value.expression)) for term in spec.terms]
    lines += [(name_latex(item.name), latex(item.value.expression)) for item in spec.definitions]
    lines += [line for opening in opened for line in _opening(opening)]
    return aligned(lines)


def loss_latex(loss: Loss) -> str:
    """A single loss with its parameters as symbols."""
    if isinstance(loss, Kernel):
        return latex(tree.Call(tree.Name(loss.name), tuple(map(tree.Name, loss.inputs)), ()))
    assert isinstance(loss, Formula)
    declaration = loss.declaration
    return aligned(list(_opening(Opening(tree.Name(loss.name), declaration.bindings, declaration.cases))))


def _opening(opening: Opening) -> Iterator[tuple[str, str]]:
    yield latex(_plain(opening.call)), _cases(opening.cases)
    for binding in opening.bindings:
        yield _INDENT + name_latex(binding.name), latex(binding.value)


def _plain(call: tree.Expression) -> tree.Expression:
    """A call without arguments is a name."""
    is_bare = isinstance(call, tree.Call) and not call.arguments and not call.keywords
    return call.function if isinstance(call, tree.Call) and is_bare else call


def _cases(written: Sequence[tree.Case]) -> str:
    if len(written) == 1:
        return latex(written[0].expression)
    return cases([(latex(case.expression), text_latex(_for(case))) for case in written])


def _for(case: tree.Case) -> str:
    return f"for {', '.join(case.tasks)}" if case.tasks else "otherwise"
