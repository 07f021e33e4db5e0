"""Expressions with resolved names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeAlias, Union

from lossdsl.errors import Place
from lossdsl.flat import Row, flattened, rebuilt
from lossdsl.registry.model import Loss
from lossdsl.syntax.tree import Range

NumberList: TypeAlias = tuple[Union[float, "NumberList"], ...]


@dataclass(frozen=True, slots=True)
class Constant:
    value: float
    origin: Place


@dataclass(frozen=True, slots=True)
class Word:
    """A choice such as `image` or `none`; never a number."""

    text: str
    origin: Place


@dataclass(frozen=True, slots=True)
class PerClass:
    """`[1, 2, 0.5]`: one number for each class."""

    items: tuple[Resolved, ...]
    origin: Place


@dataclass(frozen=True, slots=True)
class Numbers:
    """The value of a parameter that is a list of numbers, or a list of such lists."""

    values: NumberList
    origin: Place


@dataclass(frozen=True, slots=True)
class ParameterOf:
    """A parameter of the definition around it."""

    name: str
    origin: Place


@dataclass(frozen=True, slots=True)
class Local:
    """A binding of the same text."""

    name: str
    origin: Place


@dataclass(frozen=True, slots=True)
class TensorOf:
    """A tensor of the call: `z p y pred target`, `class_weight`, or one that the caller passes by name."""

    name: str
    origin: Place


@dataclass(frozen=True, slots=True)
class ScalarOf:
    """`epoch`, `step`, or `classes`, the number of classes."""

    name: str
    origin: Place


@dataclass(frozen=True, slots=True)
class Learned:
    """A trainable scalar: a torch parameter with this name."""

    name: str
    initial: float
    origin: Place


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of numbers, element by element: `add`, `multiply`, `log`, ..."""

    function: str
    arguments: tuple[Resolved, ...]
    origin: Place


@dataclass(frozen=True, slots=True)
class Chain:
    """A sum, a product, a clamp or `min(a, b, c)` as written: the first operand, then (`add`, operand) and so on."""

    first: Resolved
    rest: tuple[tuple[str, Resolved], ...]
    origin: Place


@dataclass(frozen=True, slots=True)
class Where:
    """`where(left < right, chosen, otherwise)`; decided while building when both sides are words or constants."""

    comparison: str
    left: Resolved
    right: Resolved
    chosen: Resolved
    otherwise: Resolved
    origin: Place


@dataclass(frozen=True, slots=True)
class Reduction:
    """`mean(value, over=[batch, pixel])`, `sum(value, per=image)`, `mean(value, weight=weights)`.

    A `softmax(value, over=pixel)` is one too: it divides by a sum over these axes, but keeps them.

    over: the axes to reduce, None for all. per: `image` keeps batch and class, `batch` keeps class.
    count: what the sum is divided by is the sum of this, 1 per element when None.
    weight: it multiplies the value and is the count; at most one of the two is given.
    rounding: whether the number of elements of a share is rounded `up` or `down`.
    """

    kind: str
    value: Resolved
    over: tuple[str, ...] | None
    per: Resolved | None
    count: Resolved | None
    share: Resolved | None
    origin: Place
    rounding: str = "up"
    weight: Resolved | None = None

    @property
    def divisor(self) -> Resolved | None:
        """The `count` or the `weight`."""
        return self.count or self.weight


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """`local_mean(value, size=31)`: each pixel replaced by the mean, smallest or largest of the window around it.

    sigma: the weights of a mean fall off as a Gaussian; all are equal when None. outside: what pixels outside of the
    image, and those that do not count, hold; they are left out when None.
    """

    kind: str
    value: Resolved
    size: Resolved
    sigma: Resolved | None
    outside: Resolved | None
    origin: Place


@dataclass(frozen=True, slots=True)
class ForClass:
    """`for_class(dice, [1, 3])`: the value when only these classes are averaged or added up.

    In a definition the classes can be a parameter: a list of numbers, or a word for all classes.
    """

    value: Resolved
    classes: tuple[int, ...] | ParameterOf
    origin: Place


@dataclass(frozen=True, slots=True)
class MultiScale:
    """`multiscale(dice, weights=[1, 0.5])`: the weighted sum of the value at each output; no weights, each counts 1."""

    value: Resolved
    weights: tuple[Resolved, ...]
    origin: Place


@dataclass(frozen=True, slots=True)
class Use:
    """A loss by name, with its tensors and the parameters that were written."""

    loss: Loss
    tensors: tuple[Resolved, ...]
    parameters: tuple[tuple[str, Resolved], ...]
    reduction: Resolved | None
    origin: Place


Resolved: TypeAlias = (
    Constant
    | Word
    | PerClass
    | Numbers
    | ParameterOf
    | Local
    | TensorOf
    | ScalarOf
    | Learned
    | Apply
    | Chain
    | Where
    | Reduction
    | Neighbourhood
    | ForClass
    | MultiScale
    | Use
)


def below(node: Resolved) -> tuple[Resolved, ...]:
    """The expressions directly inside one, left to right."""
    match node:
        case Apply():
            return node.arguments
        case PerClass():
            return node.items
        case Chain():
            return (node.first, *(operand for _, operand in node.rest))
        case Where():
            return (node.left, node.right, node.chosen, node.otherwise)
        case Reduction():
            return tuple(part for part in (node.value, node.per, node.divisor, node.share) if part is not None)
        case Neighbourhood():
            return tuple(part for part in (node.value, node.size, node.sigma, node.outside) if part is not None)
        case ForClass():
            return (node.value,)
        case MultiScale():
            return (node.value, *node.weights)
        case Use():
            reduction = (node.reduction,) if node.reduction else ()
            return (*node.tensors, *(value for _, value in node.parameters), *reduction)
        case _:
            return ()


def every(roots: Iterable[Resolved]) -> Iterator[Resolved]:
    """All expressions in and below some, in reading order, without recursion."""
    stack = list(roots)[::-1]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(below(node)))


@dataclass(frozen=True, slots=True)
class CaseBody:
    tasks: tuple[str, ...]
    value: Resolved


@dataclass(frozen=True, slots=True)
class Body:
    """The resolved body of a formula loss. parts: all expressions in it."""

    bindings: tuple[tuple[str, Resolved], ...]
    cases: tuple[CaseBody, ...]
    parts: tuple[Resolved, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        roots = [*(value for _, value in self.bindings), *(case.value for case in self.cases)]
        object.__setattr__(self, "parts", tuple(every(roots)))

    def case(self, task: str) -> Resolved | None:
        for case in self.cases:
            if not case.tasks or task in case.tasks:
                return case.value
        return None


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: its log name, its weight and its value before weighting."""

    name: str
    weight: Resolved
    value: Resolved


@dataclass(frozen=True, slots=True)
class Objective:
    """A resolved loss. total: None if it is the weighted sum of the terms.

    ranges: the declared ranges of the tensors that the caller passes.
    """

    bindings: tuple[tuple[str, Resolved], ...]
    terms: tuple[Term, ...]
    total: Resolved | None
    bodies: tuple[tuple[str, Body], ...]
    ranges: tuple[tuple[str, Range], ...] = ()

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frozen all the way down

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        parts = tuple(getattr(self, field.name) for field in fields(self))
        return _from_rows, (flattened(parts),)

    def body(self, name: str) -> Body:
        return dict(self.bodies)[name]


def _from_rows(rows: tuple[Row, ...]) -> Objective:
    return Objective(*rebuilt(rows))
