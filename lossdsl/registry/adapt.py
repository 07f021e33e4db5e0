"""`lossdsl.adapt`: use loss functions and modules of other libraries as losses of the language."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from lossdsl.errors import Diagnostic, InputError, PluginError
from lossdsl.registry.define import register
from lossdsl.registry.kernels import check_axes, check_name, interval_of, listed, mark, parameter_of, signature_of
from lossdsl.registry.loss_files import check_taken, read_comment
from lossdsl.registry.model import Documentation, Kernel, Parameter, Provider
from lossdsl.syntax.tree import AXES, Name, Number, Range

if TYPE_CHECKING:
    from torch import Tensor


_HANDLED = ("reduction", "reduce", "size_average")
_ANY = Range(float("-inf"), float("inf"), low_open=True, high_open=True)


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor argument of an adapted loss.

    Attributes:
        name: `z`, `p`, `y`, `pred` or `target`, or the name by which a call passes the tensor.
        axes: the axes that the function expects, of "batch", "class" and "pixel"; "pixel" stands for all image axes.
        integer: convert to integers. `Input("y", axes=("batch", "pixel"), integer=True)` are class indices.
    """

    name: str
    axes: tuple[str, ...] = AXES
    integer: bool = False


EMBEDDINGS = (Input("z", ("batch", "class")), Input("y", ("batch",), integer=True))
"""The inputs of metric learning losses: `loss(embeddings, labels)` of shapes (N, D) and (N,), with labels below D."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """Call a function, or a new module for each call, with tensors in the shape that it expects.

    whole: parameters with an int as default. only_whole: those of them that must be ints.
    """

    name: str
    target: Callable[..., Any]
    inputs: tuple[Input, ...]
    keeps: tuple[str, ...]
    whole: frozenset[str]
    only_whole: frozenset[str]

    def __call__(self, *tensors: Tensor, spatial: tuple[int, ...] = (), **parameters: Any) -> Tensor:
        settings = {name: self._setting(name, value) for name, value in parameters.items()}
        if self.keeps:
            settings["reduction"] = "none"
        arguments = [
            _shaped(self.name, tensor, given, spatial) for tensor, given in zip(tensors, self.inputs, strict=True)
        ]
        if _is_class(self.target):
            module: Any = self.target(**settings)
            if any(True for _ in module.parameters()):
                raise PluginError(f"`{self.name}` has trainable parameters; a loss in a formula must not have state")
            result: Tensor = module(*arguments)
        else:
            result = self.target(*arguments, **settings)
        return self._laid_out(result, tensors[0])

    def _setting(self, name: str, value: Any) -> Any:
        """Convert `true` to a bool, and a number to an int if the default is one or the type hint requires it."""
        if value in ("true", "false") and isinstance(value, str):
            return value == "true"
        if name not in self.whole or not isinstance(value, float):
            return value
        if not value.is_integer():
            if name not in self.only_whole:
                return value
            raise InputError([Diagnostic("LD502", f"`{name}` of `{self.name}` must be a whole number, not {value:g}")])
        return int(value)

    def _laid_out(self, result: Tensor, prediction: Tensor) -> Tensor:
        if not self.keeps:
            return result
        kept = zip(AXES, prediction.shape, strict=True)
        return result.reshape([size if axis in self.keeps else 1 for axis, size in kept])


def _shaped(name: str, tensor: Tensor, given: Input, spatial: tuple[int, ...]) -> Tensor:
    """Reshape (batch, class, pixel) to the expected axes, with separate image axes."""
    if given.name == "y" and given.integer and "class" not in given.axes:
        tensor = tensor.argmax(1, keepdim=True) if tensor.shape[1] > 1 else tensor
    wrong = [axis for axis, size in zip(AXES, tensor.shape, strict=True) if axis not in given.axes and size != 1]
    if wrong:
        message = f"`{name}` takes `{given.name}` without {' and '.join(wrong)}; it has the shape {tuple(tensor.shape)}"
        raise InputError([Diagnostic("LD502", message)])
    sizes = [tensor.shape[AXES.index(axis)] for axis in ("batch", "class") if axis in given.axes]
    if "pixel" in given.axes:
        sizes += spatial if tensor.shape[2] != 1 or not spatial else [1] * len(spatial)
    shaped = tensor.reshape(sizes)
    return shaped.long() if given.integer else shaped


def adapt(
    namespace: str,
    losses: Mapping[str, Callable[..., Any]],
    *,
    inputs: Sequence[str | Input] = ("pred", "target"),
    keeps: Sequence[str] = (),
    range: str = "(-inf, inf)",
    about: str = "",
) -> SimpleNamespace:
    """Register loss functions and `nn.Module` classes as `namespace.name`.

    Keyword parameters whose default is a number, a bool or a `Literal` become parameters of the loss; others keep their
    default. Use `functools.partial` for arguments without a default. A class is instantiated for each call, so it keeps
    no state. To publish the losses in a package, name the result in its entry points: `"acme.l1" =
    "acme.losses:acme.l1"`.

    Args:
        namespace: the part of the name before the dot.
        losses: the functions and classes by name.
        inputs: their tensor arguments in order; `EMBEDDINGS` for losses of embeddings and labels.
        keeps: the axes of the result with reduction="none", of "batch", "class" and "pixel". With all three, masks are
            supported. With none, the result is a scalar, and using a mask is an error.
        range: the range of the values, in the syntax of the language.
        about: documentation as in the docstring for `@lossdsl.loss`: Source:, Note:, Better:, Except:. By default the
            first line of each docstring.

    Returns:
        A namespace with the registered losses by name.

    Raises:
        PluginError: a signature cannot be used.

    >>> import torch, lossdsl
    >>> acme = lossdsl.adapt("acme", {"l1": torch.nn.functional.l1_loss}, keeps=("batch", "class", "pixel"))
    >>> lossdsl.compile("2*acme.l1")(torch.zeros(2, 1, 4), torch.ones(2, 1, 4))
    tensor(2.)
    """
    check_name(namespace, "the namespace of losses")
    if not isinstance(losses, Mapping):
        raise PluginError(f"adapt takes a mapping of names to losses, got {type(losses).__name__}: {{'l1': l1_loss}}")
    if isinstance(inputs, str) or not all(isinstance(given, (str, Input)) for given in listed(inputs, "inputs")):
        raise PluginError("`inputs` must be a list of names and Input(...), one for each tensor")
    check_axes(keeps, namespace)
    if not isinstance(about, str):
        raise PluginError(f"`about` must be a string, not {type(about).__name__}")
    taken = tuple(Input(given) if isinstance(given, str) else given for given in inputs)
    made = {}
    for name, target in losses.items():
        kernel = _kernel(namespace, name, target, taken, tuple(keeps), range, about)
        register(kernel, kernel.provider.distribution)
        made[name] = mark(SimpleNamespace(), kernel)
    return SimpleNamespace(**made)


def _kernel(
    namespace: str,
    name: str,
    target: Callable[..., Any],
    inputs: tuple[Input, ...],
    keeps: tuple[str, ...],
    range: str,
    about: str,
) -> Kernel:
    check_name(name, f"a loss of `{namespace}`")
    full = f"{namespace}.{name}"
    if hasattr(target, "forward") and not inspect.isclass(target):
        given = type(target).__name__
        raise PluginError(f"`{full}` is a module, which may keep state between calls; pass its class, {given}")
    home = _written(target)
    signature = signature_of(target, full)
    settable = _settable(target, signature, len(inputs), full)
    if keeps and "reduction" not in signature.parameters:
        raise PluginError(f"`{full}` has no `reduction`, so it cannot keep axes")
    hints = _hints(target)
    whole = frozenset(p.name for p in settable if type(p.default) is int and hints.get(p.name, int) is int)
    parameters = tuple(_parameter(full, p, hints.get(p.name)) for p in settable)
    documentation = _documentation(target, about)
    check_taken(documentation, parameters)
    return Kernel(
        name=name,
        namespace=namespace,
        inputs=tuple(given.name for given in inputs),
        keeps=frozenset(keeps),
        takes_mask=False,
        takes_spatial=True,
        parameters=parameters,
        range=interval_of(full, range),
        documentation=documentation,
        provider=Provider(home.__module__, "", f"{home.__module__}:{home.__qualname__}"),
        function=Adapted(full, target, inputs, keeps, whole, whole.intersection(hints)),
        full_size=False,
        elementwise=set(keeps) == set(AXES),
    )


def _settable(
    target: Callable[..., Any], signature: inspect.Signature, tensors: int, full: str
) -> list[inspect.Parameter]:
    """The parameters that a formula can write."""
    parameters = list(signature.parameters.values())
    rest = parameters if _is_class(target) else parameters[tensors:]
    if not _is_class(target) and len(parameters) < tensors:
        raise PluginError(f"`{full}` takes {len(parameters)} arguments, `inputs` names {tensors}")
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [p.name for p in rest if p.default is p.empty and p.kind not in variadic]
    if needed:
        raise PluginError(f"`{full}` needs `{needed[0]}`, which is not listed in `inputs` and has no default")
    return [parameter for parameter in rest if _can_be_written(parameter, _hints(target).get(parameter.name))]


def _can_be_written(parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether a default is a number, or a word with known choices."""
    if parameter.name in _HANDLED:
        return False
    if isinstance(parameter.default, str):
        return get_origin(hint) is Literal
    return isinstance(parameter.default, (bool, int, float))


def _is_class(target: Callable[..., Any]) -> bool:
    return inspect.isclass(_written(target))


def _written(target: Callable[..., Any]) -> Callable[..., Any]:
    return target.func if isinstance(target, partial) else target


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        written = _written(target)
        return typing.get_type_hints(written.__init__ if inspect.isclass(written) else written, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _parameter(full: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    default = parameter.default
    if isinstance(default, bool):
        return Parameter(parameter.name, None, ("true", "false"), Name(str(default).lower()))
    if get_origin(hint) is Literal or (get_origin(hint) is typing.Annotated and isinstance(get_args(hint)[1], str)):
        return parameter_of(full, parameter, hint)
    return Parameter(parameter.name, _ANY, (), Number(float(default)))


def _documentation(target: Callable[..., Any], about: str) -> Documentation:
    first = (_written(target).__doc__ or "").strip().splitlines()  # not that of a base class
    return read_comment(about or "".join(first[:1]))
