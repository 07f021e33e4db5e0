"""The keywords of `compile`, checked, and joined with those of a config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from lossdsl.errors import ConfigError, Diagnostic, nearest
from lossdsl.spec.model import BACKENDS, INPUTS, TASKS, Options

_CHOICES: dict[str, tuple[str, ...]] = {"task": TASKS, "input": INPUTS, "backend": BACKENDS}
_NAMES = (*_CHOICES, "ignore_index", "class_weight")


def merged(base: Options, given: Mapping[str, Any]) -> Options:
    """The options of a config with those given by keyword in their place; None means not given.

    Raises ConfigError with everything that is wrong.
    """
    faults = [fault for name, value in given.items() if value is not None for fault in _faults(name, value)]
    if faults:
        raise ConfigError(faults)
    values = {name: getattr(base, name) for name in _NAMES}
    values |= {name: value for name, value in given.items() if value is not None}
    if values["ignore_index"] is not None:
        values["ignore_index"] = int(values["ignore_index"])
    if values["class_weight"] is not None:
        values["class_weight"] = tuple(float(weight) for weight in values["class_weight"])
    return Options(**values)


def _faults(name: str, value: Any) -> Iterable[Diagnostic]:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            allowed = ", ".join(_CHOICES[name])
            hint = nearest(value, _CHOICES[name]) if isinstance(value, str) else None
            yield Diagnostic("LD405", f"{name}={value!r} is not one of: {allowed}", hint=hint)
    elif name == "ignore_index":
        if isinstance(value, bool) or not isinstance(value, Integral):
            yield Diagnostic("LD405", f"ignore_index={value!r} is not a whole number")
    elif name == "class_weight":
        yield from _weight_faults(value)
    else:
        hint = nearest(name, _NAMES) or f"options are {', '.join(_NAMES)}"
        yield Diagnostic("LD402", f"unknown option `{name}`", hint=hint)


def _weight_faults(value: Any) -> Iterable[Diagnostic]:
    try:
        weights = [float(weight) for weight in value]
    except (TypeError, ValueError):
        yield Diagnostic("LD405", f"class_weight={value!r} is not a list of numbers")
        return
    if not weights or not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        yield Diagnostic("LD405", f"class_weight={weights} needs finite numbers >= 0, at least one above 0")
