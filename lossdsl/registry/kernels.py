"""`@lossdsl.loss`: a Python function on torch tensors becomes a loss. This module imports no torch."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from lossdsl.errors import PluginError
from lossdsl.registry.define import register as register_loss
from lossdsl.registry.loss_files import check_taken, read_comment
from lossdsl.registry.model import LOCAL, Kernel, Provider, signature_faults
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse_range
from lossdsl.syntax.tree import AXES


def parameter_of(name: str, parameter: inspect.Parameter, hint: Any) -> tree.ParameterSyntax:
    """The parameter of a kernel `name`.

    Raises PluginError if the annotation has neither a range nor choices.
    """
    words: tuple[str, ...] = ()
    interval, lists = None, 0
    if get_origin(hint) is Literal:
        words = tuple(str(word) for word in get_args(hint))
    elif get_origin(hint) is Annotated and isinstance(get_args(hint)[1], str):
        numbers, text, *_ = get_args(hint)
        kind, lists = _numbers(numbers)
        interval = replace(interval_of(name, text), whole=kind is int)
    else:
        example = 'Annotated[float, "[0, inf)"] or Literal["image", "batch"]'
        example = 'Literal["true", "false"]' if hint is bool else example
        raise PluginError(f"the parameter `{parameter.name}` of `{name}` needs a range: annotate it {example}")
    try:
        default = None if parameter.default is parameter.empty else _written(parameter.default)
    except (TypeError, ValueError):
        raise PluginError(
            f"the default of `{parameter.name}` of `{name}` is {parameter.default!r}, which is not a number"
        ) from None
    return tree.ParameterSyntax(parameter.name, interval, words, default, lists)


def interval_of(name: str, text: str) -> tree.Range:
    """Parse a range such as `[0, inf)`. Raises PluginError with the name of the kernel if it is not one."""
    if not isinstance(text, str):
        raise PluginError(f"the range of `{name}` must be a string, not {type(text).__name__}; for example [0, inf)")
    found = parse_range(text)
    if found is None:
        raise PluginError(f"`{text}` of `{name}` is not a range; for example [0, inf)")
    return found


def _numbers(hint: Any) -> tuple[Any, int]:
    """The type of the numbers, and 0 for float, 1 for Sequence[float] or the like, 2 for Sequence[Sequence[float]]."""
    depth = 0
    while isinstance(origin := get_origin(hint), type) and issubclass(origin, Sequence):
        hint = get_args(hint)[0]
        depth += 1
    return hint, depth


def _written(default: Any) -> tree.Expression:
    if isinstance(default, str):
        return tree.Name(default)
    if isinstance(default, Sequence):
        return tree.Listing(tuple(_written(item) for item in default))
    return tree.Number(float(default))


Function = TypeVar("Function", bound=Callable[..., Any])
Marked = TypeVar("Marked")

_ATTRIBUTE = "__lossdsl__"


def loss(
    name: str | None = None, *, range: str = "[0, inf)", keeps: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Register a Python function as a loss.

    The positional arguments of the function are tensors of shape (batch, class, pixel). Arguments with the names
    `z p y pred target` receive the tensors of the call. Keyword-only arguments are parameters. Annotate them with
    `Annotated[float, "[0, inf)"]`, with `Annotated[Sequence[float], "(0, inf)"]` for a tuple, with
    `Annotated[int, "[1, inf)"]` for an int that is the same in every call, or with `Literal["image", "batch"]`. A
    parameter without a default is required.

    The keyword `mask` receives a boolean tensor of the valid elements, or None; a function without it cannot be used
    with a mask. The keyword `spatial` receives the sizes of the image axes, whose product is the number of pixels.

    The function returns a tensor in which all axes that are not in `keeps` have size 1.

    Args:
        name: the name of the loss; by default the name of the function.
        range: the range of the values, in the syntax of the language.
        keeps: the axes of the result, of "batch", "class" and "pixel".

    Returns:
        A decorator that registers a function and returns it unchanged.

    Raises:
        PluginError: the signature or the name cannot be used.

    >>> import lossdsl
    >>> @lossdsl.loss(range="[0, inf)", keeps=("batch", "class"))
    ... def absolute(p, y):
    ...     return (p - y).abs().mean(dim=2, keepdim=True)
    >>> lossdsl.check("bce + absolute").ok
    True
    """

    if name is not None:
        check_name(name, "a loss")

    def register(function: Function) -> Function:
        kernel = describe(function, name or str(getattr(function, "__name__", "")), range, keeps)
        try:
            mark(function, kernel)
        except AttributeError:  # one that is written in C
            raise PluginError(f"`{kernel.name}` cannot be decorated; write a function around it") from None
        register_loss(kernel, kernel.provider.distribution)
        return function

    return register


def mark(thing: Marked, kernel: Kernel) -> Marked:
    """Attach a description to the object that an entry point names."""
    setattr(thing, _ATTRIBUTE, kernel)
    return thing


def kernel_of(function: object) -> Kernel | None:
    """The description that the decorator attached to a function."""
    return getattr(function, _ATTRIBUTE, None)


def describe(function: Callable[..., Any], name: str, range: str, keeps: tuple[str, ...]) -> Kernel:
    """Read the signature of a kernel function."""
    check_axes(keeps, name)
    inputs, parameters, provided = [], [], set()
    for parameter in signature_of(function, name).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise PluginError(
                f"`{name}` takes `*{parameter.name}`: name each argument, so that a misspelt one is found"
            )
        if parameter.kind is not parameter.KEYWORD_ONLY:
            inputs.append(parameter.name)
        elif parameter.name == "reduction":
            raise PluginError(f"`{name}` cannot have a parameter `reduction`: every call has one; declare keeps=")
        elif parameter.name in ("mask", "spatial"):
            provided.add(parameter.name)
        else:
            parameters.append(parameter_of(name, parameter, _hint(function, parameter.name)))
    for fault in signature_faults(parameters, None):
        raise PluginError(f"in `{name}`, {fault.message}; {fault.hint}")
    documentation = read_comment(inspect.getdoc(function) or "")
    check_taken(documentation, parameters)
    home = function.__module__ or "__main__"  # an interactive session may have no name
    return Kernel(
        name=name,
        namespace=LOCAL,
        inputs=tuple(inputs),
        keeps=frozenset(keeps),
        takes_mask="mask" in provided,
        takes_spatial="spatial" in provided,
        parameters=tuple(parameters),
        range=interval_of(name, range),
        documentation=documentation,
        provider=Provider(home, "", f"{home}:{function.__qualname__}"),
        function=function,
    )


def check_name(name: object, what: str) -> None:
    """Raises PluginError if something is not a valid name."""
    if not isinstance(name, str):
        raise PluginError(f"the name of {what} must be a string, not {type(name).__name__}")
    if not name.isidentifier():
        raise PluginError(f"`{name}` cannot be {what}: it is not a name")


def check_axes(keeps: object, name: str) -> None:
    """Raises PluginError if something is not a list of axes."""
    for axis in listed(keeps, "keeps"):
        if axis not in AXES:
            raise PluginError(f"`{name}` keeps `{axis!s:.40}`, which is not an axis; axes are {', '.join(AXES)}")


def listed(given: object, what: str) -> Sequence[Any]:
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        raise PluginError(f"`{what}` must be a list, not {type(given).__name__}")
    return given


def signature_of(function: object, name: str) -> inspect.Signature:
    """The parameters of a function. Raises PluginError if it is not a function, or its signature cannot be read."""
    if not callable(function):
        raise PluginError(f"`{name}` must be a function, got {type(function).__name__}")
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise PluginError(f"the parameters of `{name}` cannot be read; write a function around it") from None


def _hint(function: Callable[..., Any], parameter: str) -> Any:
    """One resolved annotation. Others stay strings: those of tensors can name modules that are not imported."""
    written = getattr(function, "__annotations__", {})
    only = SimpleNamespace(__annotations__={parameter: written.get(parameter, Any)})
    return typing.get_type_hints(only, globalns=getattr(function, "__globals__", {}), include_extras=True)[parameter]
