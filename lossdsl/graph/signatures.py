"""What makes a node legal: for each operation, of what it is made, which axes it has, and in which graphs it stands."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

from lossdsl.operations.functions import FUNCTIONS
from lossdsl.registry.model import Kernel
from lossdsl.syntax.tree import AXES

Axes: TypeAlias = frozenset[str]
Attributes: TypeAlias = tuple[Hashable, ...]
AttributesRule: TypeAlias = Callable[[Attributes, Sequence[Axes]], bool]
AxesRule: TypeAlias = Callable[[Sequence[Axes], Attributes, Axes], Axes]


class Phase(IntEnum):
    """The graphs of a loss, in the order in which they are made."""

    WRITTEN = 0  # as the formula says it
    COMPUTED = 1  # finite where a number leaves what floating point can hold
    EXPANDED = 2  # in operations that have simple derivatives
    DIFFERENTIATED = 3  # with its gradient
    CHOSEN = 4  # in the cheapest operations


class Kind(Enum):
    """What the elements of a value are."""

    NUMBER = "numbers"
    TRUTH = "truth values"
    INDEX = "class indices"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class Signature:
    """What is legal for an operation. No field has a default: what is left out would be taken for legal.

    takes: the kinds of the arguments that it has at least. further: the kind of those behind them. most: how many
    arguments there can be, None for any number. gives: the kind of the value, None for that of the first argument.
    attributes: whether these are legal for arguments with these axes. axes: those of the value, from the axes of the
    arguments, the attributes, and the axes that the node has; what only the maker of a node knows is taken as it is.
    since, until: the first and the last phase in whose graphs it stands.
    """

    takes: tuple[Kind, ...]
    further: Kind | None
    most: int | None
    gives: Kind | None
    attributes: AttributesRule
    axes: AxesRule
    since: Phase
    until: Phase


def _none(attributes: Attributes, _: Sequence[Axes]) -> bool:
    return not attributes


def _of(*types: type | tuple[type, ...]) -> AttributesRule:
    """One attribute of each of these types."""

    def rule(attributes: Attributes, _: Sequence[Axes]) -> bool:
        return len(attributes) == len(types) and all(map(isinstance, attributes, types))

    return rule


def _over(attributes: Attributes, arguments: Sequence[Axes]) -> bool:
    """Axes to reduce over, in their order; the value has all of them, or turned out to be a number."""
    over = attributes[0] if attributes else None
    if not isinstance(over, tuple) or not over:
        return False
    return over == tuple(axis for axis in AXES if axis in over) and (arguments[0] or frozenset(AXES)).issuperset(over)


def _only_over(attributes: Attributes, arguments: Sequence[Axes]) -> bool:
    return len(attributes) == 1 and _over(attributes, arguments)


def _largest(attributes: Attributes, arguments: Sequence[Axes]) -> bool:
    """Axes, the share of the elements that count, and which way that is rounded."""
    return _over(attributes, arguments) and _of(tuple, float, str)(attributes, arguments)


def _perhaps_rounded(attributes: Attributes, _: Sequence[Axes]) -> bool:
    return attributes in ((), ("rounded",))


def _classes(attributes: Attributes, _: Sequence[Axes]) -> bool:
    return bool(attributes) and all(isinstance(number, int) for number in attributes)


def _one_axis(attributes: Attributes, arguments: Sequence[Axes]) -> bool:
    return len(attributes) == 1 and attributes[0] in arguments[0]


def _with_classes(attributes: Attributes, arguments: Sequence[Axes]) -> bool:
    return not attributes and "class" in arguments[0]


def _all(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    return frozenset().union(*arguments)


def _kept(arguments: Sequence[Axes], _: Attributes, stated: Axes) -> Axes:
    """Those of the first argument; a map that turned out to be a number keeps the axes that it had."""
    return arguments[0] or stated


def _like_first(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    return arguments[0]


def _exactly(*axes: str) -> AxesRule:
    return lambda _arguments, _attributes, _stated: frozenset(axes)


def _rest(arguments: Sequence[Axes], attributes: Attributes, _: Axes) -> Axes:
    """All but those that are reduced over."""
    over = attributes[0]
    assert isinstance(over, tuple)
    return frozenset().union(*arguments).difference(over)


def _as_made(_: Sequence[Axes], __: Attributes, stated: Axes) -> Axes:
    return stated


def _some(arguments: Sequence[Axes], _: Attributes, stated: Axes) -> Axes:
    """A kernel keeps some of the axes of its arguments."""
    return stated & frozenset().union(*arguments)


def _picked(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    return (arguments[0] - {"class"}) | arguments[1]


def _with_class(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    """Those of the class indices, and the classes."""
    return arguments[0] | {"class"}


def _placed(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    return arguments[0] | arguments[1] | {"class"}


def _window(arguments: Sequence[Axes], _: Attributes, __: Axes) -> Axes:
    """The second argument only tells how the image is laid out."""
    return arguments[0].union(*arguments[2:])


_FIRST, _LAST = Phase.WRITTEN, Phase.CHOSEN


def _made_of(
    *takes: Kind,
    gives: Kind | None = Kind.NUMBER,
    attributes: AttributesRule = _none,
    axes: AxesRule = _all,
    since: Phase = _FIRST,
    until: Phase = _LAST,
) -> Signature:
    """Of as many arguments as are given here; most operations are arithmetic of numbers with all axes of both."""
    return Signature(takes, None, len(takes), gives, attributes, axes, since, until)


def _of_any_number(takes: tuple[Kind, ...], further: Kind, gives: Kind, axes: AxesRule) -> Signature:
    return Signature(takes, further, None, gives, _none, axes, _FIRST, _LAST)


def _reducing(attributes: AttributesRule = _only_over, until: Phase = _LAST) -> Signature:
    """Of numbers, and perhaps of what says which of them count."""
    return Signature((Kind.NUMBER,), Kind.TRUTH, 2, Kind.NUMBER, attributes, _rest, _FIRST, until)


def _in_windows() -> Signature:
    """Of an image, its layout, and perhaps what counts: with a size, the width of a bell, and what is outside."""
    number = (float, type(None))
    return Signature(
        (Kind.NUMBER, Kind.NUMBER), Kind.TRUTH, 3, Kind.NUMBER, _of(int, number, number), _window, _FIRST, _LAST
    )


_ONE, _TWO, _THREE = ((Kind.NUMBER,) * count for count in (1, 2, 3))

SIGNATURES: Mapping[str, Signature] = {
    "constant": _made_of(attributes=_of(float), axes=_exactly()),
    "input": _made_of(gives=Kind.ANY, attributes=_of(str), axes=_as_made),
    "ones": _made_of(*_ONE, axes=_exactly(*AXES)),
    "size": _made_of(Kind.ANY, attributes=_one_axis, axes=_exactly()),
    "classes": _made_of(*_ONE, axes=_exactly()),
    "per_class": _of_any_number(_TWO, Kind.NUMBER, Kind.NUMBER, _exactly("class")),
    "foreground": _made_of(*_ONE, axes=_exactly("class")),
    "class_is_one_of": _made_of(*_ONE, gives=Kind.TRUTH, attributes=_classes, axes=_exactly("class")),
    "filled_image": _made_of(*_TWO, attributes=_of(float, int), axes=_exactly("pixel")),
    "kernel": Signature((), Kind.ANY, None, Kind.NUMBER, _of(Kernel, int, tuple, tuple), _some, _FIRST, _LAST),
    **{name: _made_of(*_ONE) for name in (*FUNCTIONS, "log", "log1p", "negative")},
    **{name: _made_of(*_TWO) for name in ("add", "subtract", "multiply", "divide", "minimum", "maximum")},
    "power": _made_of(*_TWO, attributes=_perhaps_rounded),
    "sqrt": _made_of(*_ONE, attributes=_perhaps_rounded),
    "softmax": _made_of(*_ONE, attributes=_with_classes),
    "log_softmax": _made_of(*_ONE, attributes=_with_classes),
    "log_one_minus_softmax": _made_of(*_ONE, attributes=_with_classes),
    "where": _made_of(Kind.TRUTH, *_TWO),
    "compare": _made_of(*_TWO, gives=Kind.TRUTH, attributes=_of(str)),
    "differs": _made_of(*_ONE, gives=Kind.TRUTH, attributes=_of(int)),
    "both": _made_of(Kind.TRUTH, Kind.TRUTH, gives=Kind.TRUTH),
    "any": _made_of(Kind.TRUTH, gives=Kind.TRUTH, attributes=_only_over, axes=_rest),
    "any_of": _of_any_number((Kind.TRUTH,), Kind.TRUTH, Kind.TRUTH, _exactly()),
    "stop_gradient": _made_of(*_ONE),
    "cast": _made_of(Kind.ANY),
    "cast_like": _made_of(Kind.ANY, Kind.ANY, axes=_like_first),
    "keep": _made_of(Kind.ANY, Kind.TRUTH, gives=None, axes=_kept),
    "index": _made_of(*_ONE, gives=Kind.INDEX),
    "one_hot": _made_of(Kind.INDEX, Kind.NUMBER, axes=_with_class),
    "pick": _made_of(Kind.ANY, Kind.INDEX, gives=None, axes=_picked),
    "sum": _made_of(*_ONE, attributes=_only_over, axes=_rest),
    "mean": _made_of(*_ONE, attributes=_only_over, axes=_rest, until=Phase.COMPUTED),
    "logsumexp": _reducing(until=Phase.WRITTEN),
    "reduce_max": _reducing(),
    "reduce_min": _reducing(),
    "topk": _reducing(_largest),
    **{name: _in_windows() for name in ("local_mean", "local_min", "local_max")},
    # Only in the graph that is run.
    "finite": _made_of(*_ONE, since=Phase.COMPUTED),
    "quotient": _made_of(*_TWO, since=Phase.EXPANDED),
    "safe_denominator": _made_of(*_ONE, since=Phase.EXPANDED),
    "undefined": _made_of(*_TWO, gives=Kind.TRUTH, since=Phase.EXPANDED),
    "bounded": _made_of(*_ONE, attributes=_perhaps_rounded, since=Phase.EXPANDED),
    "away_from_zero": _made_of(*_ONE, gives=Kind.TRUTH, since=Phase.DIFFERENTIATED),
    "within_domain": _made_of(*_ONE, gives=Kind.TRUTH, since=Phase.DIFFERENTIATED),
    "sign": _made_of(*_ONE, since=Phase.DIFFERENTIATED),
    "sinh": _made_of(*_ONE, since=Phase.DIFFERENTIATED),
    "raw_power": _made_of(*_TWO, since=Phase.DIFFERENTIATED),
    "scatter": _made_of(Kind.NUMBER, Kind.INDEX, Kind.ANY, axes=_placed, since=Phase.DIFFERENTIATED),
    "placed": _made_of(Kind.NUMBER, Kind.INDEX, Kind.ANY, axes=_placed, since=Phase.CHOSEN),
    "add_at_class": _made_of(Kind.NUMBER, Kind.NUMBER, Kind.INDEX, axes=_all, since=Phase.CHOSEN),
    "raw_log1p": _made_of(*_ONE, since=Phase.CHOSEN),
    "log1p_of_share": _made_of(*_ONE, since=Phase.CHOSEN),
    "squared_difference": _made_of(*_TWO, since=Phase.CHOSEN),
    "scaled_difference": _made_of(*_THREE, since=Phase.CHOSEN),
    "interpolate": _made_of(*_THREE, since=Phase.CHOSEN),
    "add_product": _made_of(*_THREE, since=Phase.CHOSEN),
    "subtract_product": _made_of(*_THREE, since=Phase.CHOSEN),
}
