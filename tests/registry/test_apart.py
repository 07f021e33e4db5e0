"""A plugin that cannot be used, or a package that has nothing to do with us, changes nothing for the others."""

from __future__ import annotations

from pathlib import Path

import pytest

import lossdsl
from lossdsl.checking.scope import definition_faults
from lossdsl.registry.discover import default_registry
from lossdsl.registry.inventory import plugins

ROOT = Path(__file__).parents[2]
HALF = "# Half.\n# Source: none\nloss half() -> [0, inf)\n    = 0.5*mse\n"
ABSENT = "# Absent: {name} -- {why} -- write half\n"


# --- a refused library is no rival ---

KERNELS = "from lossdsl import loss\n@loss()\ndef half(p, y):\n    'Half.'\n    return (p - y).abs().mean()\n"
REFUSED = {
    "another interface": {"lossdsl.libraries": {"bolt": "bolt_lib"}, "lossdsl.api": {"7": "bolt_lib"}},
    "the same namespace": {"lossdsl.libraries": {"acme": "bolt_lib"}, "lossdsl.api": {"7": "bolt_lib"}},
    "the namespace of built-ins": {"lossdsl.libraries": {"lossdsl": "bolt_lib"}},
    "the namespace of a process": {"lossdsl.libraries": {"local": "bolt_lib"}},
    "no namespace": {"lossdsl.libraries": {"a-b": "bolt_lib"}},
    "a kernel": {"lossdsl.losses": {"bolt.half": "bolt_kernels:half"}, "lossdsl.api": {"7": "bolt_lib"}},
    "a kernel of the same name": {"lossdsl.losses": {"acme.half": "bolt_kernels:half"}, "lossdsl.api": {"2.0": "x"}},
}


@pytest.mark.parametrize("points", REFUSED.values(), ids=REFUSED)
def test_a_refused_plugin_makes_no_name_ambiguous(install, points: dict[str, dict[str, str]]) -> None:
    install("acme", "1.0", {"acme_lib/a.loss": HALF + ABSENT.format(name="third", why="no")}, own("acme"))
    files = {"bolt_lib/b.loss": HALF + ABSENT.format(name="third", why="too"), "bolt_kernels.py": KERNELS}
    install("bolt", "1.0", files, points)
    for formula in ("half", "acme.half", "dice + half"):
        assert lossdsl.check(formula).ok
    assert lossdsl.check("third").diagnostics[0].message == "there is no `third`: no"
    assert "half" in default_registry().names()
    states = {plugin.distribution: plugin.state for plugin in plugins(default_registry())}
    assert (states["acme"], states["bolt"]) == ("ready", "broken")


def own(name: str) -> dict[str, dict[str, str]]:
    return {"lossdsl.libraries": {name: f"{name}_lib"}}


def test_two_that_can_be_used_are_still_ambiguous(install) -> None:
    for name in ("acme", "bolt"):
        install(name, "1.0", {f"{name}_lib/a.loss": HALF}, own(name))
    assert lossdsl.check("half").diagnostics[0].code == "LD601"


def test_what_is_refused_is_told_where_it_is_meant(install) -> None:
    install("bolt", "1.0", {"bolt_lib/b.loss": HALF}, REFUSED["another interface"])
    for formula in ("half", "bolt.half"):
        (found,) = lossdsl.check(formula).diagnostics
        assert found.code == "LD602"
        assert "is written for version 7 of lossdsl's interface" in found.message


def test_a_refused_entry_point_does_not_hide_what_this_process_registers(install, monkeypatch) -> None:
    points = {"lossdsl.losses": {"bolt.half": "bolt_kernels:half"}, "lossdsl.api": {"7": "bolt_kernels"}}
    install("bolt", "1.0", {"bolt_kernels.py": KERNELS}, points)
    assert lossdsl.check("half").diagnostics[0].code == "LD602"
    __import__("bolt_kernels")
    assert lossdsl.check("half").ok
    assert lossdsl.check("local.half").ok


# --- ready means that a formula can use it ---

UNRESOLVED = {
    "a misspelt loss": ("= 0.5*dcie", "`acme.broken` cannot be used: unknown loss `dcie`"),
    "a plugin that is not there": ("= other.thing", "`acme.broken` cannot be used: unknown loss `other.thing`"),
    "a misspelt function": ("= exq(mse)", "`acme.broken` cannot be used: unknown loss or function `exq`"),
    "a word of no parameter": ("= dice(smoth=1)", "`acme.broken` cannot be used: `dice` has no parameter `smoth`"),
    "itself": ("= broken", "`acme.broken` cannot be used: circular definition: acme.broken -> acme.broken"),
    "a neighbour": ("= half(w=3)", "`acme.broken` cannot be used: `half` has no parameter `w`"),
}


@pytest.mark.parametrize(("body", "told"), UNRESOLVED.values(), ids=UNRESOLVED)
def test_a_library_that_cannot_be_resolved_is_not_ready(install, body: str, told: str) -> None:
    text = f"{HALF}\n# It is wrong.\n# Source: none\nloss broken() -> [0, inf)\n    {body}\n"
    install("acme", "1.0", {"acme_lib/a.loss": text}, own("acme"))
    (acme,) = [p for p in plugins(default_registry(), definition_faults) if p.distribution == "acme"]
    (part,) = acme.parts
    assert (acme.state, part.losses) == ("broken", ("acme.half",))
    assert [problem[: len(told)] for problem in part.problems] == [told]


# --- damaged files of any package ---

DAMAGED = {
    "no equals sign": b"[console_scripts]\nacme\n",
    "not text": b"[console_scripts]\nacme = \xff\xfe:main\n",
    "ours": b"[lossdsl.losses]\nacme.half\n",
}
PROGRAM = """
import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.registry.inventory import plugins
print(lossdsl.check("dice + half + bolt.half").ok)
(found,) = [p for p in plugins(default_registry()) if p.distribution == "wrench"]
print(found.state, *found.parts[0].problems)
print(*(p.state for p in plugins(default_registry()) if p.distribution in ("lossdsl", "bolt")))
"""


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_damaged_entry_points_of_a_package(process, write, text: bytes) -> None:
    folder = write("bolt", "1.0", {"bolt_lib/b.loss": HALF}, own("bolt"))
    write("wrench", "3.0", {}, {})
    (folder / "wrench-3.0.dist-info" / "entry_points.txt").write_bytes(text)
    ok, told, others = process(folder, PROGRAM).splitlines()
    assert (ok, others) == ("True", "ready ready")
    assert told.startswith("broken its entry_points.txt cannot be read: ")


@pytest.mark.long
def test_damaged_entry_points_beside_damaged_metadata(process, write) -> None:
    folder = write("bolt", "1.0", {"bolt_lib/b.loss": HALF}, own("bolt"))
    write("wrench", "3.0", {}, {})
    (folder / "wrench-3.0.dist-info" / "entry_points.txt").write_bytes(DAMAGED["not text"])
    (folder / "wrench-3.0.dist-info" / "METADATA").write_bytes(b"\xff\xff")
    program = "import lossdsl\nloss = lossdsl.compile('dice + half', task='binary')\nprint(loss.text)"
    # torch looks for plugins of its own in the same way, unless it is told not to.
    assert process(folder, program, TORCH_DEVICE_BACKEND_AUTOLOAD="0").splitlines() == ["dice + half"]


def test_the_first_of_two_of_a_name_counts_as_ever(process, write, tmp_path_factory) -> None:
    """Also where each distribution is asked by itself."""
    first = write("bolt", "1.0", {"bolt_lib/b.loss": HALF}, own("bolt"))
    write("wrench", "3.0", {}, {})
    (first / "wrench-3.0.dist-info" / "entry_points.txt").write_bytes(DAMAGED["ours"])
    second = tmp_path_factory.mktemp("second")
    (second / "bolt-2.0.dist-info").mkdir()
    (second / "bolt-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bolt\nVersion: 2.0\n")
    (second / "bolt-2.0.dist-info" / "entry_points.txt").write_text("[lossdsl.libraries]\nbolt = bolt_lib\n")
    program = f"""
import sys
sys.path.append({str(second)!r})
from lossdsl.registry.discover import default_registry
print(*(str(c.provider) for c in default_registry().candidates("half")))
"""
    assert process(first, program).splitlines() == ["bolt 1.0"]


# --- LOSSDSL_PLUGINS ---

SLIPS = {
    "bold": ["LOSSDSL_PLUGINS lists `bold`, but nothing with this name is installed: did you mean `bolt`?"],
    "Bolt ,, bolt": [],
    "": [],
    "bolt,elsewhere": ["LOSSDSL_PLUGINS lists `elsewhere`, but nothing with this name is installed"],
    "acme-losse": [
        "LOSSDSL_PLUGINS lists `acme-losse`, but nothing with this name is installed: did you mean `acme-losses`?"
    ],
    "lossdsl": [],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("written", SLIPS)
def test_a_misspelt_name_in_the_list_is_told(process, write, written: str) -> None:
    write("acme-losses", "1.0", {"acme_lib/a.loss": HALF}, own("acme"))
    folder = write("bolt", "1.0", {"bolt_lib/b.loss": HALF}, own("bolt"))
    program = """
import lossdsl
from lossdsl.registry.discover import default_registry
print([str(unknown) for unknown in default_registry().unknown])
print([d.hint for d in lossdsl.check("bolt.half").diagnostics])
"""
    unknown, hints = process(folder, program, LOSSDSL_PLUGINS=written).splitlines()
    assert unknown == str(SLIPS[written])
    near = [told for told in SLIPS[written] if "did you mean" in told]
    assert hints == str([] if "bolt" in written.lower() else ["; ".join([LEFT_OUT, *near])])


LEFT_OUT = "bolt 1.0 provides it, but LOSSDSL_PLUGINS excludes it"


@pytest.mark.parametrize(
    "wrong", ["loss half(a: [0, inf = 1) -> [0, inf) = a*mse\n", "loss half( -> [0, inf)\n    = mse\n"]
)
def test_a_library_whose_text_is_wrong_makes_no_name_ambiguous(install, wrong: str) -> None:
    install("acme", "1.0", {"acme_lib/a.loss": HALF}, own("acme"))
    install("bolt", "1.0", {"bolt_lib/b.loss": f"# Half.\n# Source: none\n{wrong}"}, own("bolt"))
    assert lossdsl.check("dice + half").ok
    assert lossdsl.check("acme.half").ok
    assert not lossdsl.check("bolt.half").ok
