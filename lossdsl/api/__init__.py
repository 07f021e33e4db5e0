"""The public functions. torch is only imported when a loss is compiled."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from lossdsl.api.options import with_options
from lossdsl.api.reports import Report, in_reading_order, report_of
from lossdsl.api.study import checked_key, read_source, studied
from lossdsl.checking.scope import definition_faults, name_fault
from lossdsl.config import Reading, read_file, read_formula, read_mapping
from lossdsl.errors import ConfigError, Diagnostic, FormulaError, LossError, PluginError
from lossdsl.registry.define import read_definition, trial
from lossdsl.registry.discover import Registry, clash, default_registry
from lossdsl.stack import with_room
from lossdsl.syntax.parse import parse

if TYPE_CHECKING:
    from lossdsl.config.options import Keywords
    from lossdsl.runtime.loss import Loss

__all__ = ["Report", "check", "compile", "define", "explain", "load", "parse"]


@with_options
@with_room
def compile(source: str | Mapping[str, Any], **options: Unpack[Keywords]) -> Loss:
    """Compile a formula, or a mapping in the YAML form, to a torch module.

    Args:
        source: a formula such as "0.5*bce + 0.5*(-log(1 - dice))", or a mapping with `expr` or `terms`.
        options: those of a config.

    A keyword overrides the same key of a mapping.

    Returns:
        A `Loss`, a torch module that is called with the prediction and the target.

    Raises:
        FormulaError: the formula is wrong.
        ConfigError: the mapping or a keyword is wrong. Both errors hold all findings.

    >>> import torch, lossdsl
    >>> loss = lossdsl.compile("0.5*bce + 0.5*dice", task="binary")
    >>> loss(torch.zeros(2, 1, 8), torch.ones(2, 1, 8)).ndim
    0
    """
    if isinstance(source, os.PathLike):
        raise ConfigError([Diagnostic("LD405", "compile takes a formula or a mapping", hint=f"load({str(source)!r})")])
    reading = read_formula(source) if isinstance(source, str) else read_mapping(source)
    return _module(reading, options)


@with_room
def load(path: str | os.PathLike[str], key: str = "loss", **overrides: Any) -> Loss:
    """Compile the loss of a config file, which is YAML or JSON.

    Args:
        path: the file.
        key: the path of the loss in the file, such as "train.loss".
        overrides: keywords of `compile`, which override those of the file.

    Returns:
        A `Loss`, as `compile` does.

    Raises:
        ConfigError: the file, a key or a keyword is wrong.
        FormulaError: a formula in it is wrong. Both errors hold all findings with file, line and column.

    >>> import lossdsl
    >>> from pathlib import Path
    >>> _ = Path("experiment.yaml").write_text("train: {loss: 0.5*bce + 0.5*dice}")
    >>> loss = lossdsl.load("experiment.yaml", key="train.loss", task="binary")
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError([Diagnostic("LD405", f"load takes the path of a file, not {type(path).__name__}")])
    return _module(read_file(path, checked_key(key)), overrides)


@with_room
def check(
    source_or_path: str | os.PathLike[str] | Mapping[str, Any],
    key: str = "loss",
    *,
    files: bool = True,
    **options: Any,
) -> Report:
    """Check a formula, a mapping or a config file, and report every problem. Does not import torch.

    A string that ends in .yaml, .yml or .json is a file name, any other string is a formula. Use a `Path` for a file
    with another name.

    Args:
        source_or_path: a formula, a mapping or the path of a config file.
        key: the path of the loss in the file.
        files: whether a string can be a file name. If False, every string is a formula and no file is read; use this
            for text from other people.
        options: keywords of `compile`, which override those of the file.

    Returns:
        A `Report` with the findings. Problems of the loss or of the options are findings and do not raise an error.

    >>> import lossdsl
    >>> print(lossdsl.check("0.5*bce + 0.5*dcie"))
    <formula>:1:15: error LD201: unknown loss `dcie`
        0.5*bce + 0.5*dcie
                      ^~~~
        did you mean `dice`?
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
    r"""Explain a loss: its terms and weights, the formula, range and source of each loss, and the rewrites applied.

    Args:
        source: a formula, a mapping or the path of a config file.
        key: the path of the loss in the file.
        open: names of losses to expand to their formulas with the parameters of the call, or "all".
        latex: return only the formula, with the expanded losses, as LaTeX for math mode.
        cost: also count the passes over memory.
        files: whether a string can be a file name, as in `check`.
        options: keywords of `compile`, which override those of the file.

    Returns:
        The explanation as text.

    Raises:
        FormulaError: the formula is wrong.
        ConfigError: the config or an argument is wrong.

    >>> import lossdsl
    >>> print(lossdsl.explain("0.5*bce + 0.5*dice", latex=True))
    0.5\,\mathrm{bce} + 0.5\,\mathrm{dice}
    """
    from lossdsl.api.explain import explain_study, expressions_of, total_of
    from lossdsl.api.open_losses import openings

    wanted = (open,) if isinstance(open, str) else open
    if not isinstance(wanted, Sequence) or not all(isinstance(name, str) for name in wanted):
        raise ConfigError([Diagnostic("LD405", "open takes names of losses", hint='open="all", or open=["dice"]')])
    for word, value in (("latex", latex), ("cost", cost), ("files", files)):
        if not isinstance(value, bool):
            raise ConfigError([Diagnostic("LD405", f"{word} must be True or False, not {type(value).__name__}")])
    study = studied(read_source(source, key, files), options).sound()
    opened = openings(expressions_of(study.spec), default_registry(), wanted) if wanted else ()
    if latex:
        from lossdsl.api.explain import spec_latex

        return spec_latex(study.spec, total_of(study.spec), opened)
    return explain_study(study, opened, cost)


@with_room
def check_reading(reading: Reading, registry: Registry | None = None, **options: Any) -> Report:
    """The report on a source that was read already. registry: the available losses, by default the installed ones."""
    outcome = studied(reading, options, registry, warnings=True)
    return report_of(outcome.diagnostics, reading.answers, outcome.study.facts.tensors if outcome.study else ())


@with_room
def define(text: str) -> None:
    """Define a loss by a formula, for this process.

    The text has the form of a definition in a .loss file; the word `loss` and the range are optional. A second
    definition of the same name replaces the first.

    Args:
        text: a definition such as "half(w: [0, 1] = 0.5) -> [0, inf) = w*mse".

    Raises:
        FormulaError: the definition is wrong, or its name is a word of the language.
        PluginError: another loss has the name.

    >>> import lossdsl
    >>> lossdsl.define("half(w: [0, 1] = 0.5) -> [0, inf) = w*mse")
    >>> lossdsl.check("half(w=0.25)").ok
    True
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
    from lossdsl.api.explain import formula_text
    from lossdsl.runtime.loss import Loss

    return Loss(study, formula_text(study.spec))
