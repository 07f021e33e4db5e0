"""Restore the kernel of a plugin in a pickled loss. It is looked up by name, so that only installed code runs."""

from __future__ import annotations

import warnings
from typing import Any

from lossdsl.errors import Diagnostic, LossWarning, PluginError
from lossdsl.registry.model import Kernel, full_name

_SIGNATURE = ("inputs", "keeps", "takes_mask", "takes_spatial", "parameters", "full_size")


def restored(values: dict[str, Any]) -> Kernel:
    """The stored kernel as its plugin provides it now. Warns with LossWarning if the version differs.

    Raises PluginError if the plugin is missing or broken, or if the signature of the kernel changed.
    """
    stored = Kernel(**values)
    if values["function"] is not None:
        return stored
    found = _found(stored)
    changed = [name for name in _SIGNATURE if getattr(found, name) != getattr(stored, name)]
    if changed:
        message = f"a stored loss uses `{full_name(stored)}` of {stored.provider.exactly}; that of {found.provider}"
        message += f" has other {' and '.join(changed)}"
        raise PluginError([Diagnostic("LD602", message, hint="compile the loss again from its formula")])
    versions = (stored.provider.version, found.provider.version)
    if versions[0] != versions[1]:
        then, now = (f"{stored.provider.distribution} {version or 'of no known version'}" for version in versions)
        message = f"a stored loss uses `{full_name(stored)}` of {then}; {now} is installed here"
        hint = f"{_install(stored)}, if its values must stay the same"
        told = Diagnostic("LD602", message, hint=hint, severity="warning")
        warnings.warn(LossWarning(told.render()), stacklevel=2)
    return found


def _found(stored: Kernel) -> Kernel:
    from lossdsl.registry.discover import default_registry

    registry = default_registry()
    for candidate in registry.candidates(full_name(stored)):
        if candidate.provider.distribution == stored.provider.distribution:
            loss = registry.load(candidate)
            if isinstance(loss, Kernel):
                return loss
    message = f"a stored loss uses `{full_name(stored)}` of {stored.provider.exactly}, which is not installed"
    raise PluginError([Diagnostic("LD602", message, hint=_install(stored))])


def _install(stored: Kernel) -> str:
    return f"pip install {stored.provider.distribution}=={stored.provider.version}".removesuffix("==")
