"""What users call. Nothing here imports torch until a loss is compiled."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lossdsl.api.reports import Report, in_reading_order, report_of
from lossdsl.api.sources import checked_key, read_source
from lossdsl.api.studying import studied
from lossdsl.checking.scope import definition_faults, name_fault
from lossdsl.errors import ConfigError, Diagnostic, FormulaError, LossError, PluginError
from lossdsl.registry.defining import read_definition
from lossdsl.registry.discover import Registry, clash, default_registry
from lossdsl.registry.local import trial
from lossdsl.spec import Reading, Task, read_file, read_formula, read_mapping
from lossdsl.stack import with_room
from lossdsl.syntax.parse import parse

if TYPE_CHECKING:
    from lossdsl.runtime.loss import Loss
    from lossdsl.spec.data import Array

__all__ = ["Report", "check", "compile", "define", "explain", "load", "parse"]


@with_room
def compile(
    source: str | Mapping[str, Any],
    *,
    task: Task | None = None,
    input: Literal["logits", "probs"] | None = None,
    ignore_index: int | None = None,
    class_weight: Sequence[float] | Mapping[int, float] | Array | None = None,
    backend: Literal["eager", "inductor"] | None = None,
) -> Loss:
    """A torch module from a formula, or from a mapping in the YAML form.

    Args:
        source: formula text such as "0.5*bce + 0.5*(-log(1 - dice))", or a mapping with `expr` or `terms`.
        task: "binary", "multilabel", "multiclass" or "regression"; None: decided at the first call from the shapes.
        input: what the model returns, "logits" (the default) or "probs".
        ignore_index: target value of elements that do not count, in every term; a whole number.
        class_weight: one weight >= 0 for each class, at least one above 0, as a list, a 1-d array or tensor, or a
            mapping of all labels; makes every mean over classes a weighted mean.
        backend: "eager" (the default), or "inductor" for torch.compile.

    A keyword that is given goes before the same key of a mapping.

    Raises:
        FormulaError: the formula is wrong. ConfigError: the mapping or a keyword is. Both hold all findings.
    """
    if isinstance(source, os.PathLike):
        raise ConfigError([Diagnostic("LD405", "compile takes a formula or a mapping", hint=f"load({str(source)!r})")])
    reading = read_formula(source) if isinstance(source, str) else read_mapping(source)
    given = {
        "task": task,
        "input": input,
        "ignore_index": ignore_index,
        "class_weight": class_weight,
        "backend": backend,
    }
    return _module(reading, given)


@with_room
def load(path: str | os.PathLike[str], key: str = "loss", **overrides: Any) -> Loss:
    """A torch module from a config file: YAML or JSON, the loss under a dotted key such as "train.loss".

    Args:
        path: the file.
        key: where the loss stands in it.
        overrides: keywords of `compile`, which go before those of the file.

    Raises:
        ConfigError, FormulaError: with file, line and column of all that is wrong.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError([Diagnostic("LD405", f"load takes the path of a file, got {type(path).__name__}")])
    return _module(read_file(path, checked_key(key)), overrides)


@with_room
def check(
    source_or_path: str | os.PathLike[str] | Mapping[str, Any],
    key: str = "loss",
    *,
    files: bool = True,
    **options: Any,
) -> Report:
    """Everything that is wrong with a formula, a mapping or a config file, without torch. Raises nothing of its own.

    Text that ends in .yaml, .yml or .json is a path, other text is a formula; a path of another name is a Path.

    Args:
        source_or_path: a formula, a mapping or the path of a config file.
        key: where the loss stands in the file.
        files: whether text may name a file. With False all text is a formula, and no file is read: for text that
            other people send.
        options: keywords of `compile`, which go before those of the file.
    """
    try:
        return check_reading(read_source(source_or_path, key, files), **options)
    except LossError as error:
        return Report(error.diagnostics)


@with_room
def explain(
    source: str | os.PathLike[str] | Mapping[str, Any],
    key: str = "loss",
    *,
    open: Sequence[str] = (),
    latex: bool = False,
    cost: bool = False,
    files: bool = True,
    **options: Any,
) -> str:
    """A loss told in full: terms, weights, the text, ranges and sources of each loss, the rewrites applied.

    Args:
        source: a formula, a mapping or the path of a config file.
        key: where the loss stands in the file.
        open: names of losses to open to their formulas with the parameters of the call, or "all".
        latex: the formula alone, with the losses that are opened, as LaTeX for mathematics mode.
        cost: also how often the loss goes over memory.
        files: whether text may name a file, as in `check`. With False it is a formula, whatever it looks like.
        options: keywords of `compile`, which go before those of the file.

    Raises FormulaError or ConfigError when it cannot be compiled.
    """
    from lossdsl.api.explaining import explain_study, expressions_of, total_of
    from lossdsl.api.opening import openings

    wanted = (open,) if isinstance(open, str) else open
    if not isinstance(wanted, Sequence) or not all(isinstance(name, str) for name in wanted):
        raise ConfigError([Diagnostic("LD405", "open takes names of losses", hint='open="all", or open=["dice"]')])
    for word, value in (("latex", latex), ("cost", cost), ("files", files)):
        if not isinstance(value, bool):
            raise ConfigError([Diagnostic("LD405", f"{word} is True or False, got {type(value).__name__}")])
    study = studied(read_source(source, key, files), options).sound()
    opened = openings(expressions_of(study.spec), default_registry(), wanted) if wanted else ()
    if latex:
        from lossdsl.api.equations import spec_latex

        return spec_latex(study.spec, total_of(study.spec), opened)
    return explain_study(study, opened, cost)


@with_room
def check_reading(reading: Reading, registry: Registry | None = None, **options: Any) -> Report:
    """The report on what was read already. registry: the losses that it can name, by default those installed."""
    outcome = studied(reading, options, registry, warnings=True)
    return report_of(outcome.diagnostics, reading.answers, outcome.study.facts.tensors if outcome.study else ())


@with_room
def define(text: str) -> None:
    """Make a formula known under a name, in this process: define("half(w: [0, 1] = 0.5) -> [0, inf) = w*mse").

    The text is that of a .loss file; the word `loss` and the range may be left out. The same name defined again
    replaces it.

    Raises FormulaError with the place of what is wrong, also a name that is a word of the language; PluginError where
    a loss has the name.
    """
    loss = read_definition(text)
    taken = name_fault(loss)
    if taken:
        raise FormulaError([taken])
    registry = default_registry()
    with trial(loss):
        found = registry.candidates(loss.name)
        if len(found) > 1:
            owners, _ = clash(found)
            message = f"`{loss.name}` may be {owners}"
            raise PluginError([Diagnostic("LD601", message, hint="define it under another name")])
        faults = definition_faults(loss, registry)
        if faults:
            raise FormulaError(in_reading_order(faults))


def _module(reading: Reading, given: Mapping[str, Any]) -> Loss:
    study = studied(reading, given).sound()
    from lossdsl.api.explaining import formula_text
    from lossdsl.runtime.loss import Loss

    return Loss(study, formula_text(study.spec))
