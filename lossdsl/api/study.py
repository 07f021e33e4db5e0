"""The study of a source: text, a mapping or a file, read and resolved, with the options of the call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lossdsl.api.options import merged
from lossdsl.api.reports import in_reading_order
from lossdsl.checking.resolve import resolve
from lossdsl.config import Options, Reading, read_file, read_formula, read_mapping
from lossdsl.config.other_formats import refused_name
from lossdsl.errors import ConfigError, Diagnostic, FormulaError
from lossdsl.graph.evaluate import TooLarge
from lossdsl.proving.findings import findings
from lossdsl.proving.study import Study
from lossdsl.registry.discover import Registry, default_registry

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


def read_source(source: str | os.PathLike[str] | Mapping[str, Any], key: str, files: bool = True) -> Reading:
    """files: whether text may name a file."""
    key = checked_key(key)
    if not files and isinstance(source, os.PathLike):
        raise ConfigError([Diagnostic("LD405", "with files=False a source is a formula or a mapping, not a path")])
    if not files and isinstance(source, str):
        return read_formula(source)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and _is_path(source)):
        return read_file(source, key)
    if isinstance(source, str):
        other = refused_name(source) if not default_registry().candidates(source) else None
        return Reading(None, (other,)) if other else read_formula(source)
    return read_mapping(source, key)


def checked_key(key: object) -> str:
    """The place of a loss in a file. Raises ConfigError for what is no text."""
    if not isinstance(key, str):
        message = f"key must be a string, the path of the loss in the file, not {type(key).__name__}"
        raise ConfigError([Diagnostic("LD405", message, hint='key="train.loss"')])
    return key


def _is_path(text: str) -> bool:
    """By the text alone: what lies on a disk does not change what a text means."""
    return text.endswith(CONFIG_SUFFIXES) and "\n" not in text and len(text) <= 4096


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
