"""From what was read to a study of it, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lossdsl.api.options import merged
from lossdsl.api.reports import in_reading_order
from lossdsl.checking.resolve import resolve
from lossdsl.errors import ConfigError, Diagnostic, FormulaError
from lossdsl.graph.evaluate import TooLarge
from lossdsl.proving.findings import findings
from lossdsl.proving.study import Study
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.spec import Options, Reading


@dataclass(frozen=True, slots=True)
class Studied:
    """The outcome: a study unless names or parameters are wrong, and everything that was found."""

    study: Study | None
    diagnostics: tuple[Diagnostic, ...]

    def sound(self) -> Study:
        """The study of a loss that can be compiled. Raises FormulaError or ConfigError when anything is wrong."""
        errors = [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]
        if errors:
            in_config = any(diagnostic.code.startswith("LD4") for diagnostic in errors)
            raise ConfigError(errors) if in_config else FormulaError(errors)
        assert self.study
        return self.study


def studied(
    reading: Reading, given: Mapping[str, Any], registry: Registry | None = None, warnings: bool = False
) -> Studied:
    """Look at what was read, with the options given beside it in the place of its own.

    registry: the losses that it can name, by default those installed.
    """
    diagnostics = list(reading.diagnostics)
    spec = reading.spec
    try:
        options = merged(spec.options if spec else Options(), given)
    except ConfigError as error:
        diagnostics += error.diagnostics
        options = spec.options if spec else Options()
    if spec is None:
        return Studied(None, in_reading_order(diagnostics))
    places = {name: place for name, place in spec.places.items() if given.get(name) is None}
    spec = replace(spec, options=options, places=places)
    registry = registry or default_registry()
    resolution = resolve(spec, registry)
    diagnostics += resolution.diagnostics
    if resolution.objective is None:
        return Studied(None, in_reading_order(diagnostics))
    study = Study(replace(reading, spec=spec), resolution.objective)
    if not any(diagnostic.severity == "error" for diagnostic in diagnostics):
        try:
            diagnostics += findings(study, registry if warnings else None)
        except TooLarge as error:
            diagnostics += error.diagnostics
    return Studied(study, in_reading_order(diagnostics))
