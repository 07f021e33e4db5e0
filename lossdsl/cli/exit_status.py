"""Exit statuses, the same for every command."""

from __future__ import annotations

CLEAN = 0
FINDINGS = 1
WRONG_USE = 2
