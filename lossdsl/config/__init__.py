"""Read what users write: a formula, a mapping or a YAML file becomes a `Spec` and a list of findings."""

from lossdsl.config.model import (
    BACKENDS,
    INPUTS,
    TASKS,
    NamedExpression,
    Options,
    Reading,
    Sourced,
    Spec,
    Task,
    TermSpec,
)
from lossdsl.config.read import read_file, read_formula, read_mapping

__all__ = [
    "BACKENDS",
    "INPUTS",
    "TASKS",
    "NamedExpression",
    "Options",
    "Reading",
    "Sourced",
    "Spec",
    "Task",
    "TermSpec",
    "read_file",
    "read_formula",
    "read_mapping",
]
