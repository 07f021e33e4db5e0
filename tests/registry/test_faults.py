"""Whatever a plugin does, it fails alone: when it is used, with its distribution, version, entry point and cause."""

from __future__ import annotations

import importlib
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.registry.inventory import plugins
from lossdsl.testing.conformance import failures

KERNEL = """\
from lossdsl import loss

@loss(range="[0, 1]"{keeps})
def broken(p, y{parameters}):
    "It is wrong."
    {body}
"""
GOOD = "# Half.\n# Source: none\nloss half() -> [0, inf)\n    = 0.5*mse\n"
HERE = "acme 2.1 (acme_broken:broken)"


def kernel(body: str, parameters: str = "", keeps: str = "") -> str:
    return KERNEL.format(body=body, parameters=parameters, keeps=keeps)


@pytest.fixture
def broken(install) -> Callable[..., None]:
    """A package with one broken kernel, beside another package that works."""

    def run(text: str, points: dict[str, dict[str, str]] | None = None) -> None:
        install("bolt", "1.0", {"bolt_losses/bolt.loss": GOOD}, {"lossdsl.libraries": {"bolt": "bolt_losses"}})
        own = {"lossdsl.losses": {"acme.broken": "acme_broken:broken"}}
        install("acme", "2.1", {"acme_broken.py": text}, points or own)
        assert lossdsl.check("dice + bolt.half").ok

    return run


def others_go_on(other: str = "bolt.half") -> None:
    """The host, and a plugin that has nothing to do with the broken one."""
    z, y = torch.zeros(2, 1, 4), torch.ones(2, 1, 4)
    assert lossdsl.compile(f"dice + {other}", task="binary")(z, y).isfinite()
    states = {plugin.distribution: plugin.state for plugin in plugins(default_registry())}
    assert states["lossdsl"] == "ready"
    assert states["bolt" if other == "bolt.half" else "lossdsl-boundary"] == "ready"


def call(formula: str = "acme.broken", **options: Any) -> Any:
    torch.manual_seed(0)
    z, y = torch.randn(2, 3, 4), (torch.rand(2, 3, 4) < 0.5).float()
    return lossdsl.compile(formula, task="multilabel", **options)(z.requires_grad_(), y)


IMPORTS = {
    "import error": ("import nowhere", "ModuleNotFoundError(\"No module named 'nowhere'\")"),
    "missing dependency": ("raise ImportError('acme needs scipy: pip install scipy')", "pip install scipy"),
    "syntax error": ("def broken(:\n", "SyntaxError: invalid syntax"),
    "exit": ("import sys\nsys.exit('bye')", "SystemExit('bye')"),
    "other exit": ("raise GeneratorExit", "GeneratorExit()"),
    "no such function": ("x = 1", "AttributeError"),
    "not decorated": ("def broken(p, y): ...", "is not decorated with @lossdsl.loss"),
    "stars": (kernel("return p.mean()", ", **options"), "takes `*options`"),
    "no range": (kernel("return p.mean()", ", *, margin=1"), "the parameter `margin` of `broken` needs a range"),
    "not a range": (kernel("return p.mean()").replace("[0, 1]", "0..1"), "`0..1` of `broken` is not a range"),
    "no axis": (kernel("return p.mean()", keeps=', keeps=("row",)'), "`broken` keeps `row`, which is not an axis"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
}


@pytest.mark.parametrize(("text", "cause"), IMPORTS.values(), ids=IMPORTS)
def test_faults_of_an_import(broken, text: str, cause: str) -> None:
    broken(text)
    report = lossdsl.check("dice + acme.broken")
    (found,) = report.diagnostics
    assert found.code == "LD602"
    assert f"`broken` of {HERE}" in found.message
    assert cause in found.message
    assert (found.line, found.column) == (1, 8)
    assert next(plugin.state for plugin in plugins(default_registry()) if plugin.distribution == "acme") == "broken"
    others_go_on()


def test_a_slow_import_is_waited_for_by_those_who_use_it_alone(broken) -> None:
    imported = (
        "import pathlib, time\ntime.sleep(1)\nopen(pathlib.Path(__file__).with_suffix('.log'), 'a').write('once ')\n"
    )
    broken(imported + kernel("return (p - y).abs().mean()"))
    started = time.perf_counter()
    default_registry().names()
    others_go_on()
    assert "acme_broken" not in sys.modules
    assert call().isfinite()
    assert time.perf_counter() - started > 1
    call()
    log = Path(str(sys.modules["acme_broken"].__file__)).with_suffix(".log")
    assert log.read_text() == "once "


INSTALLED = {
    "wrong version of the interface": (
        {"lossdsl.losses": {"acme.broken": "acme_broken:broken"}, "lossdsl.api": {"7": "acme_broken"}},
        "acme.broken",
        "acme 2.1 (acme_broken:broken) is written for version 7 of lossdsl's interface; lossdsl ",
    ),
    "shadowing": (
        {"lossdsl.losses": {"lossdsl.broken": "acme_broken:broken"}},
        "lossdsl.broken",
        "acme 2.1 (acme_broken:broken) takes the namespace `lossdsl`, which belongs to the built-ins of lossdsl ",
    ),
    "the namespace of a process": (
        {"lossdsl.losses": {"local.broken": "acme_broken:broken"}},
        "local.broken",
        "takes the namespace `local`, which belongs to the losses that a process registers",
    ),
    "duplicate": (
        {"lossdsl.losses": {"bolt.half": "acme_broken:broken"}},
        "bolt.half",
        "`bolt.half` may be `bolt.half` of acme 2.1 (acme_broken:broken) and `bolt.half` of bolt 1.0 (bolt_losses)",
    ),
    "a library that is not there": (
        {"lossdsl.libraries": {"acme": "acme_gone"}},
        "acme.broken",
        "the library acme 2.1 (acme_gone) cannot be read: `acme_gone` is not a package with .loss files",
    ),
}


@pytest.mark.parametrize(("points", "formula", "message"), INSTALLED.values(), ids=INSTALLED)
def test_faults_of_an_installation(install, points: Any, formula: str, message: str) -> None:
    install("bolt", "1.0", {"bolt_losses/bolt.loss": GOOD}, {"lossdsl.libraries": {"bolt": "bolt_losses"}})
    install("acme", "2.1", {"acme_broken.py": kernel("return p.mean()")}, points)
    (found,) = lossdsl.check(f"dice + {formula}").diagnostics
    assert found.code in ("LD601", "LD602")
    assert message in found.message
    (acme,) = [plugin for plugin in plugins(default_registry()) if plugin.distribution == "acme"]
    assert (acme.state, acme.version) == ("broken", "2.1")
    assert message in acme.parts[0].problems[0]
    others_go_on("boundary.hausdorff_erosion" if formula == "bolt.half" else "bolt.half")


CALLS = {
    "wrong shape": ("return p.mean(1)", "returned (2, 4); it declares (1, 1, 1)"),
    "no tensor": ("return 3", "returned int; it declares (1, 1, 1)"),
    "wrong dtype": ("return p.mean().double()", "returned torch.float64 on cpu for torch.float32 on cpu"),
    "wrong device": ("return p.mean().to('meta')", "returned torch.float32 on meta for torch.float32 on cpu"),
    "an exception": ("return p.mean() / 0 + {}[0]", "raised KeyError(0)"),
    "an exit": ("raise OSError('disk')", "raised OSError('disk')"),
}


@pytest.mark.parametrize(("body", "cause"), CALLS.values(), ids=CALLS)
def test_faults_of_a_call(broken, body: str, cause: str) -> None:
    broken(kernel(body))
    with pytest.raises(lossdsl.PluginError) as caught:
        call()
    assert str(caught.value) == f"error LD602: `broken` of {HERE} {cause}"
    others_go_on()


def test_what_a_kernel_does_not_declare_is_an_error_when_used(broken) -> None:
    broken(kernel("return (p - y).abs().mean()"))
    assert call().isfinite()
    for options, formula, code in [
        ({"ignore_index": 255}, "acme.broken", "LD306"),
        ({"class_weight": [1, 2, 3]}, "acme.broken", "LD306"),
        ({}, "for_class(acme.broken, [1])", "LD306"),
        ({}, "acme.broken(reduction=sum)", "LD302"),
        ({}, "mean(acme.broken(reduction=none))", "LD302"),
        ({}, "acme.broken(margin=1)", "LD203"),
    ]:
        with pytest.raises(lossdsl.FormulaError) as caught:
            call(formula, **options)
        assert caught.value.diagnostics[0].code == code, formula


VALUES = {
    "a lying range": ("return 3 * (p - y).abs().mean()", "range", "is outside [0, 1]"),
    "no gradient": (
        "return (p - y).abs().mean().detach()",
        "gradient",
        "along a direction the gradient is 0, differences",
    ),
    "not a number": ("return (p - y).abs().mean() * float('nan')", "range", "the value nan is outside [0, 1]"),
    "a mutated input": ("y.mul_(0.5)\n    return (p - y).abs().mean()", "inputs_unchanged", "`target` was written to"),
}


@pytest.mark.parametrize(("body", "rule", "told"), VALUES.values(), ids=VALUES)
def test_faults_of_values_are_found_by_the_kit(broken, body: str, rule: str, told: str) -> None:
    broken(kernel(body))
    (failure,) = failures("acme.broken", [rule], ["binary"])
    assert str(failure).startswith(f"`acme.broken` of {HERE} breaks the rule `{rule}`")
    assert told in str(failure)
    others_go_on()


# --- a stored loss, and the plugin gone, broken or another one ---


@pytest.fixture
def stored(write) -> bytes:
    """A pickled loss that uses a kernel and a formula of a plugin."""
    points = {"lossdsl.losses": {"acme.broken": "acme_broken:broken"}, "lossdsl.libraries": {"acme": "acme_lib"}}
    folder = write("acme", "2.1", {"acme_broken.py": kernel("return p.mean()"), "acme_lib/a.loss": GOOD}, points)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        from importlib.metadata import distributions

        found = [p for d in distributions(path=[str(folder)]) for p in d.entry_points]
        with lossdsl.testing.registry(found):
            return pickle.dumps(lossdsl.compile("acme.broken + acme.half", task="binary"))
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("acme_broken", None)


def test_a_plugin_that_was_removed(stored: bytes) -> None:
    with pytest.raises(lossdsl.PluginError) as caught:
        pickle.loads(stored)
    assert str(caught.value) == (
        f"error LD602: a stored loss uses `acme.broken` of {HERE}, which is not installed\n    pip install acme==2.1"
    )
    others_go_on("boundary.hausdorff_erosion")


def test_formulas_of_a_plugin_that_was_removed_are_in_the_stored_loss(install) -> None:
    install("bolt", "1.0", {"bolt_losses/bolt.loss": GOOD}, {"lossdsl.libraries": {"bolt": "bolt_losses"}})
    data = pickle.dumps(lossdsl.compile("bolt.half", task="regression"))
    with lossdsl.testing.registry(installed=False):
        assert pickle.loads(data)(torch.ones(2, 3), torch.zeros(2, 3)) == 0.5
    assert pickle.loads(data)(torch.ones(2, 3), torch.zeros(2, 3)) == 0.5


OTHER_VERSION = """\
warning LD602: a stored loss uses `acme.broken` of acme 2.1; acme 2.2 is installed here
    pip install acme==2.1, if its values must stay the same"""


def test_a_plugin_that_came_again(stored: bytes, tmp_path_factory, monkeypatch) -> None:
    """The same kernel is used again and its version told; another signature is an error, and so is what breaks."""
    for text, told in (
        (kernel("return p.mean()"), ""),
        (kernel("return p.mean()", ', *, per: "Literal[\'image\']" = "image"'), "has other parameters"),
        ("import nowhere", "cannot be imported: ModuleNotFoundError"),
    ):
        folder = tmp_path_factory.mktemp("again")
        (folder / "acme-2.2.dist-info").mkdir()
        (folder / "acme-2.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.2\n")
        rows = "[lossdsl.losses]\nacme.broken = acme_broken:broken\n"
        (folder / "acme-2.2.dist-info" / "entry_points.txt").write_text(rows)
        (folder / "acme_broken.py").write_text("from typing import Literal\n" + text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            sys.modules.pop("acme_broken", None)
            from importlib.metadata import distributions

            found = [p for d in distributions(path=[str(folder)]) for p in d.entry_points]
            with lossdsl.testing.registry(found):
                if not told:
                    with pytest.warns(lossdsl.LossWarning) as caught:
                        assert pickle.loads(stored)(torch.zeros(1, 1, 2), torch.ones(1, 1, 2)).isfinite()
                    assert [str(each.message) for each in caught] == [OTHER_VERSION]
                    continue
                with pytest.raises(lossdsl.PluginError, match=told):
                    pickle.loads(stored)


def test_a_kernel_says_for_which_tasks_it_is(install) -> None:
    text = kernel("return (p - y).abs().mean()").replace("It is wrong.", "It is.\\nOtherwise: multilabel -- use bce")
    install("acme", "2.1", {"acme_broken.py": text}, {"lossdsl.losses": {"acme.broken": "acme_broken:broken"}})
    with pytest.raises(lossdsl.FormulaError) as caught:
        call()
    (found,) = caught.value.diagnostics
    assert (found.code, found.hint) == ("LD301", "use bce")
    assert found.message == "`broken` is for binary, multiclass, regression; the task is multilabel"
