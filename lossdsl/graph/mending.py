"""The edits that mend a misplaced reduction, where exactly one text is meant."""

from __future__ import annotations

import re

from lossdsl.checking.resolved import Local, Reduction, Resolved, Use, Word
from lossdsl.errors import Edit

_NO_REDUCTION = re.compile(r"\(\s*reduction\s*=\s*none\s*\)|,\s*reduction\s*=\s*none\b|\breduction\s*=\s*none\s*,\s*")


def with_its_mean(expression: Resolved) -> Edit | None:
    """`bce` for `bce(reduction=none)` where one number is meant: the mean is what a loss by name is."""
    if not isinstance(expression, Use) or not isinstance(expression.reduction, Word):
        return None
    span = expression.origin.extent
    text = expression.origin.source.text[span.start : span.end]
    found = list(_NO_REDUCTION.finditer(text))
    if len(found) != 1:
        return None
    return expression.origin.replaced(text[: found[0].start()] + text[found[0].end() :])


def without_the_mean(expression: Reduction) -> Edit | None:
    """`dice` for `mean(dice)`: one number is its own mean."""
    if expression.kind != "mean" or not isinstance(expression.value, (Use, Local)) or expression.over:
        return None
    whole, value = expression.origin.extent, expression.value.origin.extent
    text = expression.origin.source.text
    if text[value.end : whole.end].strip() != ")":
        return None
    return expression.origin.replaced(text[value.start : value.end])
