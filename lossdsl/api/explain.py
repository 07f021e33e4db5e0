"""The explanation of a loss: its terms, the formula of each loss that it uses, the rewrites, and the whole as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lossdsl.api.open_losses import Opening
from lossdsl.checking.facts import Facts
from lossdsl.checking.resolve import terms_of
from lossdsl.config.model import Spec, Task, TermSpec
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.cost import cost
from lossdsl.graph.printing import node_text
from lossdsl.proving.edges import positive_denominators
from lossdsl.proving.messages import described
from lossdsl.proving.rounding import rounded_roots
from lossdsl.proving.study import Study
from lossdsl.registry.model import Formula, Kernel, Loss, Parameter, allowed_values, full_name
from lossdsl.syntax import tree
from lossdsl.syntax.latex import aligned, cases, latex, name_latex, text_latex
from lossdsl.syntax.printing import text
from lossdsl.syntax.tree import Expression, Name, Node, Part, Product, Sum

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


def explain_study(study: Study, opened: Sequence[Opening] = (), with_cost: bool = False) -> str:
    """The explanation of a loss without errors."""
    working = study.working()
    sections = [
        formula_text(study.spec),
        _terms(terms_of(study.spec)),
        _needs(study.facts, working),
        _ranges(study),
        *(show_loss(loss) for loss in study.facts.losses),
        _opened(opened),
        *_rewrites(working),
        *(_costs(study, working) if with_cost else ()),
    ]
    return "\n\n".join(section for section in sections if section)


def show_loss(loss: Loss) -> str:
    """A loss as `lossdsl show` prints it."""
    lines = [f"{loss.name}: {loss.documentation.summary}"]
    lines += [f"    {line}" for line in _text(loss).splitlines()]
    lines += [
        f"    {parameter.name}: {allowed_values(parameter)}, {_default(parameter)}" for parameter in loss.parameters
    ]
    lines.append(f"    range: {loss.range}")
    if loss.tasks:
        lines.append(f"    tasks: {', '.join(loss.tasks)}")
    if loss.documentation.source:
        lines.append(f"    source: {loss.documentation.source}")
    if loss.documentation.better != "lower":
        lines.append(f"    better: {loss.documentation.better}")
    lines += [f"    input: {taken}" for taken in loss.documentation.taken]
    lines += [f"    note: {note}" for note in loss.documentation.notes]
    lines += [f"    refused: {word}; {instead}" for word, instead in loss.documentation.refused]
    lines += [f"    accepted: {word}; {reason}" for word, reason in loss.documentation.accepted]
    lines.append(f"    from: {loss.provider}, {full_name(loss)}")
    return "\n".join(lines)


def _default(parameter: Parameter) -> str:
    return f"default {parameter.default}" if parameter.default else "must be given"


def _text(loss: Loss) -> str:
    if isinstance(loss, Kernel):
        return f"kernel {loss.name}({', '.join(loss.inputs)}), Python function {loss.provider.entry_point}"
    return text(loss.declaration)


def formula_text(spec: Spec) -> str:
    """The loss as a formula, or as the weighted sum of its terms."""
    lines = [f"{definition.name} = {definition.value.expression}" for definition in spec.definitions]
    return "\n".join([*lines, text(total_of(spec))])


def total_of(spec: Spec) -> Expression:
    """The expression of a loss, or the weighted sum of its terms."""
    if spec.total:
        return spec.total.expression
    summands = (Part("+", Product((Part("*", t.weight.expression), Part("*", Name(t.name))))) for t in spec.terms)
    return Sum(tuple(summands))


def expressions_of(spec: Spec) -> tuple[Expression, ...]:
    """All expressions of a loss."""
    terms = (part.expression for term in spec.terms for part in (term.value, term.weight))
    return (total_of(spec), *terms, *(definition.value.expression for definition in spec.definitions))


def _opened(opened: Sequence[Opening]) -> str:
    """Each expanded loss as in a .loss file, with its parameters filled in."""
    lines = []
    for opening in opened:
        lines.append(f"    {text(opening.call).removesuffix('()')}")
        parts: tuple[Node, ...] = (*opening.bindings, *opening.cases)
        lines += [f"        {text(part)}" for part in parts]
    return "\n".join(["opened:", *lines]) if lines else ""


def _terms(terms: tuple[TermSpec, ...]) -> str:
    width = max(len(term.name) for term in terms)
    rows = []
    for term in terms:
        value = str(term.value.expression)
        shown = "" if value == term.name else f" = {value}"
        rows.append(f"    {term.name:{width}}  weight {term.weight.expression}{shown}")
    return "\n".join(["terms:", *rows])


def _needs(facts: Facts, working: Mapping[Task, BuiltLoss]) -> str:
    lines = [f"tasks: {', '.join(working)}"]
    if facts.scales:
        count = max(len(scale.weights) for scale in facts.scales)
        lines.append(f"pred: a list of {count or 'any number of'} outputs, the first is the main one")
    if facts.tensors:
        lines.append(f"tensors to pass by name: {', '.join(sorted(facts.tensors))}")
    for prediction, target, own in next(iter(working.values())).context.heads if working else ():
        lines.append(f"head: {prediction} with its target {target}, such as {own.task}, in any shape")
    if facts.scalars:
        lines.append(f"numbers to pass: {', '.join(sorted(facts.scalars))}")
    if facts.learned:
        lines.append(f"learned: {', '.join(f'{name} from {start:g}' for name, start in facts.learned.items())}")
    return "\n".join(lines)


def _ranges(study: Study) -> str:
    built = study.first_working()
    return described(study.proof(built)) if built else ""


def _rewrites(working: Mapping[Task, BuiltLoss]) -> Iterator[str]:
    for task, built in working.items():
        if built.rewrites:
            rows = [f"    {r.rule}: {node_text(r.before)} -> {node_text(r.after)}" for r in built.rewrites]
            yield "\n".join([f"rewrites for {task}:", *dict.fromkeys(rows)])


def _costs(study: Study, working: Mapping[Task, BuiltLoss]) -> Iterator[str]:
    for task, built in working.items():
        proved = positive_denominators(study, built), rounded_roots(study, built)
        found = cost(built, *proved, alike=not built.context.scales and not built.context.heads)
        rows = [
            ("forward, each term by itself", found.apart),
            ("forward, shared parts computed once", found.shared),
            ("forward, in stages", found.forward),
            ("backward, in stages", found.backward),
        ]
        lines = [f"    {what:36} {'not run in stages' if count is None else count}" for what, count in rows]
        yield "\n".join([f"passes over memory for {task}, a value per pixel read or written:", *lines])
