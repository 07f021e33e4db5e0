"""Compare two YAML texts that may differ in the text of some scalars."""

from __future__ import annotations

from typing import Any

import yaml

from lossdsl.spec.loader import NodeLoader, without_tabs


def changed_scalars(before: str, after: str) -> tuple[tuple[str, str], ...] | None:
    """The scalars whose text differs, before and after; None if anything else differs."""
    try:
        old, new = _events(before), _events(after)
    except yaml.YAMLError:
        return None
    if len(old) != len(new) or any(one[:-1] != other[:-1] for one, other in zip(old, new, strict=True)):
        return None
    pairs = ((one[-1], other[-1]) for one, other in zip(old, new, strict=True))
    return tuple((one, other) for one, other in pairs if one != other)


def _events(text: str) -> list[tuple[Any, ...]]:
    """The events of the parser without places; the text of a scalar comes last."""
    return [
        (
            type(event),
            getattr(event, "anchor", None),
            getattr(event, "tag", None),
            getattr(event, "implicit", None),
            getattr(event, "style", None),
            getattr(event, "flow_style", None),
            getattr(event, "value", None),
        )
        for event in yaml.parse(without_tabs(text), Loader=NodeLoader)
    ]
