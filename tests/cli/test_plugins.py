"""`lossdsl plugins`: every installed plugin with its state, whatever it does when it is loaded."""

from __future__ import annotations

import json

import pytest

KERNEL = """\
from lossdsl import loss

@loss(range="[0, inf)")
def half(pred, target):
    "Half of it."
"""
FILES = {
    "acme-2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n",
    "acme-2.1.dist-info/entry_points.txt": "[lossdsl.losses]\nacme.half = acme:half\n[lossdsl.api]\n1 = acme\n",
    "acme.py": KERNEL,
    "bolt-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: bolt\nVersion: 1.0\n",
    "bolt-1.0.dist-info/entry_points.txt": "[lossdsl.losses]\nbolt.exit = bolt:half\n[lossdsl.libraries]\ngone = no\n",
    "bolt.py": "raise SystemExit(3)",
    "slow-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n",
    "slow-1.0.dist-info/entry_points.txt": "[lossdsl.losses]\nslow.half = slow:half\n",
    "slow.py": f"import time\ntime.sleep(1.1)\n{KERNEL}",
}
TEXT = """\
acme 2.1                ready   1 loss     acme
bolt 1.0                broken  0 losses   -
    the library bolt 1.0 (no) cannot be read: `no` is not a package with .loss files
    `exit` of bolt 1.0 (bolt:half) cannot be imported: SystemExit(3)
slow 1.0                ready   1 loss     slow
"""


@pytest.fixture
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return {"PYTHONPATH": str(folder)}


def test_the_state_of_each(start, plugins):
    result = start("plugins", env=plugins)
    assert (result.stderr, result.returncode) == ("", 1)
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == "lossdsl"
    start_of_acme = next(i for i, line in enumerate(lines) if line.startswith("acme"))
    assert "    slow:half took 1." in lines.pop()
    others = [line for line in lines[start_of_acme:] if "lossdsl" not in line]
    assert [line.split() for line in others] == [line.split() for line in TEXT.splitlines()]


def test_the_state_as_json(start, plugins):
    result = start("plugins", "--format", "json", env=plugins)
    found = {plugin["distribution"]: plugin for plugin in json.loads(result.stdout)["plugins"]}
    assert found["lossdsl"]["state"] == "ready"
    assert found["acme"] | {"entry_points": []} == {
        "distribution": "acme",
        "version": "2.1",
        "written_for": "1",
        "state": "ready",
        "entry_points": [],
    }
    (point,) = found["acme"]["entry_points"]
    assert point | {"seconds": 0} == {
        "group": "lossdsl.losses",
        "name": "acme.half",
        "value": "acme:half",
        "losses": ["acme.half"],
        "problems": [],
        "seconds": 0,
    }
    assert [len(point["problems"]) for point in found["bolt"]["entry_points"]] == [1, 1]


def test_those_that_are_left_out(start, plugins):
    result = start("plugins", env=plugins | {"LOSSDSL_PLUGINS": "acme"})
    assert (result.stderr, result.returncode) == ("", 0)
    states = {line.split()[0]: " ".join(line.split()[2:-3]) for line in result.stdout.splitlines()}
    assert states.pop("lossdsl") == states.pop("acme") == "ready"
    assert {"bolt", "slow"} <= states.keys()
    assert set(states.values()) == {"left out"}


@pytest.mark.long
def test_what_is_wrong_beyond_what_can_be_loaded(start, tmp_path_factory):
    """A definition that names nothing, files that cannot be read, and a slip in the list of plugins."""
    folder = tmp_path_factory.mktemp("site")
    files = {
        "acme-2.1.dist-info/METADATA": FILES["acme-2.1.dist-info/METADATA"],
        "acme-2.1.dist-info/entry_points.txt": "[lossdsl.libraries]\nacme = acme_lib\n",
        "acme_lib/a.loss": "# Wrong.\n# Source: none\nloss wrong() -> [0, inf)\n    = 0.5*dcie\n",
        "wrench-3.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: wrench\nVersion: 3.0\n",
        "wrench-3.0.dist-info/entry_points.txt": "[console_scripts]\nwrench\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    plugins = {"PYTHONPATH": str(folder)}
    result = start("plugins", env=plugins)
    assert (result.stderr, result.returncode) == ("", 1)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    at = lines.index("acme 2.1 broken 0 losses -")
    assert lines[at + 1] == "`acme.wrong` cannot be used: unknown loss `dcie`"
    at = lines.index("wrench broken 0 losses -")
    assert lines[at + 1].startswith("its entry_points.txt cannot be read: ")
    assert sum("broken" in line for line in lines) == 2

    (folder / "wrench-3.0.dist-info" / "entry_points.txt").write_text("")
    (folder / "acme_lib" / "a.loss").write_text(files["acme_lib/a.loss"].replace("dcie", "dice"))
    slip = {"LOSSDSL_PLUGINS": "lossdsl-boundary,acmee"}
    result = start("plugins", env=plugins | slip)
    told = "LOSSDSL_PLUGINS lists `acmee`, but nothing with this name is installed: did you mean `acme`?"
    assert (result.stdout.splitlines()[-1], result.returncode) == (told, 1)
    assert json.loads(start("plugins", "--format", "json", env=plugins | slip).stdout)["unknown"] == [told]
    assert start("plugins", env=plugins | {"LOSSDSL_PLUGINS": "acme"}).returncode == 0


def test_the_list_tells_of_a_library_that_cannot_be_read(start, plugins):
    listed = start("list", env=plugins).stdout
    assert "gone.*" in listed
    assert "cannot be used: the library bolt 1.0 (no) cannot be read" in listed
