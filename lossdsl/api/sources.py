"""What the functions that users call take for a loss: a formula, a mapping, or the path of a config file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lossdsl.errors import ConfigError, Diagnostic
from lossdsl.registry.discover import default_registry
from lossdsl.spec import Reading, read_file, read_formula, read_mapping
from lossdsl.spec.others import refused_name

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
