"""Which names there are, what brings them, and that nothing is imported before it is used."""

from __future__ import annotations

import itertools
import json
import sys
import tomllib
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

import lossdsl
import lossdsl.testing
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.registry.entry_points import NAMESPACES, SHORT, who_brings

ROOT = Path(__file__).parents[2]
HALF = "# Half.\n# Source: none\nloss half() -> [0, inf)\n    = 0.5*mse\n"


def messages(formula: str) -> list[tuple[str, str, str | None]]:
    return [(d.code, d.message, d.hint) for d in lossdsl.check(formula).diagnostics]


# --- lazy ---


def test_a_plugin_is_imported_when_a_formula_uses_it(process, write, kernel) -> None:
    """Not by its neighbour, not by a misspelt name, not by a look at all names."""
    files = {f"acme{n}/__init__.py": f"print('imported acme{n}')\n" + kernel("loss") for n in range(3)}
    files |= {"acme2/inner/__init__.py": "print('imported inner')", "acme2/inner/a.loss": HALF}
    points = {f"acme.loss{n}": f"acme{n}:loss" for n in range(3)}
    folder = write("acme", "1.0", files, {"lossdsl.losses": points, "lossdsl.libraries": {"acme": "acme2.inner"}})
    program = """
import sys, lossdsl
from lossdsl.registry.discover import default_registry
print([d.hint for d in lossdsl.check("acme.los1 + loss").diagnostics])
print(lossdsl.check("half + bce").ok, "acme.half" in default_registry().names())
print(lossdsl.check("acme.loss1").ok)
print(sorted(set(sys.modules) & {"acme0", "acme1", "acme2", "acme2.inner", "torch"}))
"""
    assert process(folder, program).splitlines() == [
        "['did you mean `acme.loss1`?', 'did you mean `loss2`?']",
        "True True",
        "imported acme1",
        "True",
        "['acme1']",
    ]


def test_an_import_makes_nothing_known_but_what_is_named(install, kernel) -> None:
    install("acme", "1", {"acme.py": kernel("one") + kernel("two")}, {"lossdsl.losses": {"one": "acme:one"}})
    assert lossdsl.check("one").ok
    assert [code for code, *_ in messages("two")] == ["LD201"]


# --- order, clashes, shadowing ---


def test_order_never_matters(write, kernel) -> None:
    """Every order of the entry points gives the same names and the same messages."""
    files = {"acme.py": kernel("one"), "lib/a.loss": HALF, "lib2/a.loss": HALF + "loss dice() -> [0, 1]\n    = mse\n"}
    write("acme", "1.0", files, {"lossdsl.losses": {"one": "acme:one"}, "lossdsl.libraries": {"lib": "lib"}})
    folder = write("other", "2.0", {}, {"lossdsl.losses": {"one": "acme:one"}, "lossdsl.libraries": {"lib": "lib2"}})
    installed = default_registry().points  # that of the machine is read without what follows
    sys.path.insert(0, str(folder))
    try:
        points = [point for found in distributions(path=[str(folder)]) for point in found.entry_points]
        seen = set()
        for order in itertools.permutations([*points, *points[:1]]):
            registry = Registry([*installed, *order])
            told = [[str(c.provider) for c in registry.candidates(name)] for name in ("one", "lib.half", "lib.dice")]
            seen.add(json.dumps([told, registry.names(), [c.full_name for c in registry.all()]]))
        assert len(seen) == 1
    finally:
        sys.path.remove(str(folder))


@pytest.mark.long
def test_the_seed_of_hashes_never_matters(process, write) -> None:
    write("acme", "1.0", {"lib/a.loss": HALF}, {"lossdsl.libraries": {"lib": "lib"}})
    folder = write("bolt", "1.0", {"lib2/a.loss": HALF}, {"lossdsl.libraries": {"lib2": "lib2"}})
    told = {process(folder, "import lossdsl; print(lossdsl.check('half'))", PYTHONHASHSEED=seed) for seed in "123"}
    (only,) = told
    assert "LD601: `half` may be `lib.half` of acme 1.0 and `lib2.half` of bolt 1.0" in only


def test_a_short_name_that_two_bring_is_a_clash(install) -> None:
    install("acme", "1.0", {"lib/a.loss": HALF, "lib2/a.loss": HALF}, {"lossdsl.libraries": {"a": "lib", "b": "lib2"}})
    clash = "`half` may be `a.half` of acme 1.0 and `b.half` of acme 1.0"
    assert messages("half + a.half + b.half") == [("LD601", clash, "write a.half or b.half")]


def test_a_full_name_that_two_bring_is_a_clash(write, install) -> None:
    write("acme", "1.0", {"lib/a.loss": HALF}, {"lossdsl.libraries": {"a": "lib"}})
    install("bolt", "2.0", {"lib2/a.loss": HALF}, {"lossdsl.libraries": {"a": "lib2"}})
    clash = "`a.half` may be `a.half` of acme 1.0 (lib) and `a.half` of bolt 2.0 (lib2)"
    assert messages("a.half") == [
        ("LD601", clash, "uninstall one of them, or list those to use in LOSSDSL_PLUGINS"),
    ]


def test_built_ins_cannot_be_shadowed(install) -> None:
    """A loss of the same name has its full name; a claim to the namespace itself is refused, and told."""
    mean = "loss dice() -> [0, inf)\n    = mse\nloss extra() -> [0, inf)\n    = mse\n"
    install("acme", "1.0", {"lib/a.loss": mean}, {"lossdsl.libraries": {"acme": "lib", "lossdsl": "lib"}})
    assert "of acme" not in lossdsl.explain("dice + lossdsl.dice")
    assert "from: acme 1.0, acme.dice" in lossdsl.explain("acme.dice")
    ((code, message, _),) = messages("lossdsl.extra")
    assert code == "LD602"
    assert message.startswith(
        "acme 1.0 (lib) takes the namespace `lossdsl`, which belongs to the built-ins of lossdsl "
    )


@pytest.mark.parametrize("registers", ["decorator", "definition"])
def test_what_a_process_registers_clashes_with_built_ins(registers: str) -> None:
    with lossdsl.testing.registry():
        if registers == "definition":
            with pytest.raises(
                lossdsl.PluginError, match=r"LD601: `dice` may be `local.dice` of lossdsl.define and `lossdsl.dice` of"
            ):
                lossdsl.define("dice() -> [0, 1] = mse")
            assert lossdsl.check("dice").ok
            return

        @lossdsl.loss()
        def dice(pred, target):
            return (pred - target).abs().mean()

        assert [code for code, *_ in messages("dice")] == ["LD601"]
    assert lossdsl.check("dice").ok


# --- names that nothing here brings ---


@pytest.mark.parametrize("name", ["monai.DiceLoss", "smp.DiceLoss(mode=binary)", "kornia.dice"])
def test_known_plugins_give_the_install_hint(name: str) -> None:
    with lossdsl.testing.registry(installed=False):
        assert [(code, hint) for code, _, hint in messages(name)] == [("LD201", "pip install lossdsl-dialects")]


def test_an_installed_plugin_gives_no_install_hint() -> None:
    with lossdsl.testing.registry(installed=False):
        assert messages("dice + log_hausdorff")[0][2] == "pip install lossdsl-boundary"
    assert messages("boundary.hausdorf")[0][2] == "did you mean `boundary.hausdorff`?"


def test_the_table_of_public_plugins_is_that_of_this_repository() -> None:
    """Each plugin here is in the table; each short name in it is a loss of its namespace."""
    brought = {}
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        brought |= dict.fromkeys(project["entry-points"]["lossdsl.libraries"], project["name"])
    assert brought.items() <= NAMESPACES.items()
    assert all(who_brings(f"{name}.x") == NAMESPACES[name] for name in NAMESPACES)
    names = default_registry().names()
    assert not [
        name for name, namespace in SHORT.items() if namespace in brought and f"{namespace}.{name}" not in names
    ]


# --- LOSSDSL_PLUGINS ---


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("allowed", "brought"),
    [
        (None, ["acme", "bolt"]),
        ("", []),
        (" , ", []),
        ("acme", ["acme"]),
        ("Acme_Losses", ["acme"]),
        ("bolt, acme-losses", ["acme", "bolt"]),
        ("lossdsl", []),
        ("nothing", []),
    ],
)
def test_limits(process, write, allowed: str | None, brought: list[str]) -> None:
    write("acme-losses", "1.0", {"lib/a.loss": HALF}, {"lossdsl.libraries": {"acme": "lib"}})
    folder = write("bolt", "1.0", {"lib2/a.loss": HALF}, {"lossdsl.libraries": {"bolt": "lib2"}})
    program = """
import lossdsl
from lossdsl.registry.discover import default_registry
print(lossdsl.check("bce").ok, *sorted({c.namespace for c in default_registry().all()} & {"acme", "bolt"}))
print([d.hint for d in lossdsl.check("acme.half").diagnostics])
"""
    first, second = process(folder, program, **({} if allowed is None else {"LOSSDSL_PLUGINS": allowed})).splitlines()
    assert first.split() == ["True", *brought]
    left_out = [] if "acme" in brought else ["acme-losses 1.0 provides it, but LOSSDSL_PLUGINS excludes it"]
    assert second == str(left_out)


# --- the version of the interface ---


@pytest.mark.parametrize(
    ("version", "works"), [("1", True), ("1.0", True), ("1.7", False), ("2", False), ("0.9", False), ("one", False)]
)
def test_the_version_of_the_interface(install, version: str, works: bool) -> None:
    points = {"lossdsl.libraries": {"acme": "lib"}, "lossdsl.api": {version: "lib"}}
    install("acme", "3.2", {"lib/a.loss": HALF}, points)
    told = messages("acme.half")
    assert not told if works else told[0][0] == "LD602"
    if not works:
        assert told[0][1].startswith(
            f"acme 3.2 (lib) is written for version {version} of lossdsl's interface; lossdsl "
        )
        assert told[0][1].endswith(" has 1.0")
    assert lossdsl.check("dice").ok


# --- what cannot be read ---


def test_a_library_that_cannot_be_read_says_so_when_used(install) -> None:
    install("acme", "1.0", {"lib.py": "raise SystemExit"}, {"lossdsl.libraries": {"acme": "lib", "gone": "nowhere"}})
    reason = "the library acme 1.0 (lib) cannot be read: `lib` is not a package with .loss files"
    assert messages("acme.half + dice") == [("LD602", reason, None)]
    assert messages("gone.half")[0][1].startswith("the library acme 1.0 (nowhere) cannot be read")
    assert [c.full_name for c in default_registry().all() if not c.usable] == ["acme.*", "gone.*"]
    assert not [name for name in default_registry().names() if "*" in name]


def test_metadata_that_is_missing_or_damaged(process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme-1.0.dist-info").mkdir()
    (tmp_path / "acme-1.0.dist-info" / "entry_points.txt").write_text("[lossdsl.libraries]\nacme = lib\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.loss").write_text(HALF)
    told = process(tmp_path, "import lossdsl; print(lossdsl.check('acme.half + dice').ok); lossdsl.check('acme.x')")
    assert told == "True\n"


def test_a_registry_for_tests_forgets() -> None:
    points = [EntryPoint("acme", "lossdsl.library", "lossdsl.libraries")]
    with lossdsl.testing.registry(points):
        assert lossdsl.check("acme.dice").ok
        lossdsl.define("twice() -> [0, inf) = 2*mse")
        assert lossdsl.check("twice").ok
    assert not lossdsl.check("acme.dice").ok
    assert not lossdsl.check("twice").ok


def test_what_is_installed_later_is_found_after_rediscovery(write, kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `pip install` in a running notebook."""
    assert not lossdsl.check("acme.late").ok
    points = {"lossdsl.losses": {"acme.late": "acme_late:late"}}
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(write("acme", "1.0", {"acme_late.py": kernel("late")}, points)))
        lossdsl.rediscover()
        assert lossdsl.check("acme.late").ok
    lossdsl.rediscover()
    assert not lossdsl.check("acme.late").ok
    sys.modules.pop("acme_late", None)
