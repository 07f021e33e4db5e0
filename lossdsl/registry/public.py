"""Public plugins: known names of losses that are perhaps not installed."""

from __future__ import annotations

# namespace -> distribution
NAMESPACES = {
    "boundary": "lossdsl-boundary",
    "keras": "lossdsl-dialects",
    "kornia": "lossdsl-dialects",
    "monai": "lossdsl-dialects",
    "nnunet": "lossdsl-dialects",
    "smp": "lossdsl-dialects",
    "toolbelt": "lossdsl-dialects",
}
# Names that are written without their namespace too.
SHORT = {
    "boundary": "boundary",
    "distance_ce": "boundary",
    "distance_map": "boundary",
    "hausdorff": "boundary",
    "hausdorff_erosion": "boundary",
    "log_hausdorff": "boundary",
    "shape_aware": "boundary",
}


def who_brings(name: str) -> str | None:
    """The distribution to install for a name, None if none is known."""
    namespace, dot, _ = name.partition(".")
    return NAMESPACES.get(namespace if dot else SHORT.get(name, ""))
