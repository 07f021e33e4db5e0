"""What every test runs under. torch is not imported here, so that tests of the language start at once."""

from __future__ import annotations

import os
import sys

import hypothesis
import pytest

from lossdsl.registry.discover import default_registry

# Two workers on two cores: one torch thread each. Read by torch when it is imported, and by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same for torch's compiler, which else keeps processes of its own.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# Time limits fail at random on a busy machine. In CI the examples are the same in every run.
patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("local", patient)
hypothesis.settings.register_profile("ci", patient, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def torch_seed() -> None:
    """The same random tensors whatever ran before. pytest-randomly does this for random and numpy, not for torch."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def plugins_of_the_machine() -> None:
    """Read what is installed before a test adds folders of its own to the path: it is read once and kept."""
    default_registry()
