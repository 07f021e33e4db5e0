"""Whether two texts are the same YAML but for the text of some scalars."""

from __future__ import annotations

from typing import Any

import yaml

from lossdsl.spec.loader import NodeLoader, without_tabs


def changed_scalars(before: str, after: str) -> tuple[tuple[str, str], ...] | None:
    """The scalars whose text differs, as they were and as they are; None when anything else differs."""
    try:
        old, new = _events(before), _events(after)
    except yaml.YAMLError:
        return None
    if len(old) != len(new) or any(one[:-1] != other[:-1] for one, other in zip(old, new, strict=True)):
        return None
    pairs = ((one[-1], other[-1]) for one, other in zip(old, new, strict=True))
    return tuple((one, other) for one, other in pairs if one != other)


def _events(text: str) -> list[tuple[Any, ...]]:
    """What the parser sees, without places; the text of a scalar comes last."""
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
