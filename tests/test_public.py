"""What `import lossdsl` offers."""

from __future__ import annotations

import subprocess
import sys

import lossdsl


def test_completion_shows_what_is_public_and_only_that() -> None:
    lossdsl.compile("bce", task="binary")  # imports the rest of the package
    assert dir(lossdsl) == sorted([*lossdsl.__all__, "testing"])
    for name in dir(lossdsl):
        assert getattr(lossdsl, name).__doc__


def test_looking_at_it_imports_no_torch() -> None:
    code = "import sys, lossdsl; dir(lossdsl); assert 'Loss' in dir(lossdsl) and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
