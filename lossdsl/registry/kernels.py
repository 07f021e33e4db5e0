"""`@lossdsl.loss`: a Python function on torch tensors becomes a loss. This module imports no torch."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from lossdsl.errors import FormulaError, PluginError
from lossdsl.registry.library import read_comment
from lossdsl.registry.model import Kernel, Provider
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse_library

Function = TypeVar("Function", bound=Callable[..., Any])

AXES = ("batch", "class", "pixel")
_ATTRIBUTE = "__lossdsl__"
_LOCAL: dict[str, Kernel] = {}


def loss(
    name: str | None = None, *, range: str = "[0, inf)", keeps: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Register a Python function as a loss.

    The function takes tensors of shape (batch, class, pixel) by position, named `z p y pred target` where it wants what
    the call provides, and keyword-only parameters with a default, annotated `Annotated[float, "[0, inf)"]` or
    `Literal["image", "batch"]`. A keyword `mask` receives the boolean tensor of elements that count, or None; a
    function without it cannot be used with a mask. A keyword `spatial` receives the sizes of the image axes, whose
    product is the number of pixels. It returns a tensor whose axes outside `keeps` have size 1.

    Args:
        name: the loss's name; the function's own by default.
        range: the values that it can return, as in the language.
        keeps: the axes that the result still has, of "batch", "class" and "pixel".

    Raises:
        PluginError: the signature cannot be used, with the reason.
    """

    def register(function: Function) -> Function:
        kernel = describe(function, name or function.__name__, range, keeps)
        setattr(function, _ATTRIBUTE, kernel)
        _LOCAL[kernel.name] = kernel
        return function

    return register


def kernel_of(function: object) -> Kernel | None:
    """The description that the decorator left on a function."""
    return getattr(function, _ATTRIBUTE, None)


def local_kernels() -> dict[str, Kernel]:
    """What was registered in this process, by name."""
    return dict(_LOCAL)


def describe(function: Callable[..., Any], name: str, range: str, keeps: tuple[str, ...]) -> Kernel:
    """Read the signature of a kernel function."""
    unknown = [axis for axis in keeps if axis not in AXES]
    if unknown:
        raise PluginError(f"`{name}` keeps `{unknown[0]}`, which is not an axis; axes are {', '.join(AXES)}")
    inputs, parameters, provided = [], [], set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise PluginError(
                f"`{name}` takes `*{parameter.name}`: name each argument, so that a misspelt one is found"
            )
        if parameter.kind is not parameter.KEYWORD_ONLY:
            inputs.append(parameter.name)
        elif parameter.name in ("mask", "spatial"):
            provided.add(parameter.name)
        else:
            parameters.append(_parameter(name, parameter, _hint(function, parameter.name)))
    return Kernel(
        name=name,
        namespace="local",
        inputs=tuple(inputs),
        keeps=frozenset(keeps),
        takes_mask="mask" in provided,
        takes_spatial="spatial" in provided,
        parameters=tuple(parameters),
        range=_interval(name, range),
        documentation=read_comment(inspect.getdoc(function) or ""),
        provider=Provider(function.__module__, "", f"{function.__module__}:{function.__qualname__}"),
        function=function,
    )


def _hint(function: Callable[..., Any], parameter: str) -> Any:
    """One resolved annotation. The others stay text: those of tensors may name modules that are not imported."""
    written = getattr(function, "__annotations__", {})
    only = SimpleNamespace(__annotations__={parameter: written.get(parameter, Any)})
    return typing.get_type_hints(only, globalns=getattr(function, "__globals__", {}), include_extras=True)[parameter]


def _parameter(name: str, parameter: inspect.Parameter, hint: Any) -> tree.ParameterSyntax:
    if parameter.default is parameter.empty:
        raise PluginError(f"the parameter `{parameter.name}` of `{name}` needs a default")
    words: tuple[str, ...] = ()
    interval = None
    if get_origin(hint) is Literal:
        words = tuple(str(word) for word in get_args(hint))
    elif get_origin(hint) is Annotated and isinstance(get_args(hint)[1], str):
        interval = _interval(name, get_args(hint)[1])
    else:
        example = 'Annotated[float, "[0, inf)"] or Literal["image", "batch"]'
        raise PluginError(f"the parameter `{parameter.name}` of `{name}` needs a range: annotate it {example}")
    default = tree.Name(parameter.default) if words else tree.Number(float(parameter.default))
    return tree.ParameterSyntax(parameter.name, interval, words, default)


def _interval(name: str, text: str) -> tree.Interval:
    try:
        (declaration,) = parse_library(f"loss range() -> {text}\n    = 0\n")
    except FormulaError:
        raise PluginError(f"`{text}` of `{name}` is not a range; write for example [0, inf)") from None
    return declaration.range
