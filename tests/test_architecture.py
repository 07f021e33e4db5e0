"""What must stay true of the code as a whole: small files, text that is never run, a core without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lossdsl"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Ways to turn text or bytes into running code. `re.compile`, `torch.compile` and our own `compile` are other things.
RUNNING_BUILTINS = {"eval", "exec", "compile", "__import__"}
RUNNING_MODULES = {"pickle", "marshal", "shelve", "runpy", "code", "codeop", "cloudpickle", "dill", "joblib"}
RUNNING_CALLS = {
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.full_load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "torch.load",
    "importlib.import_module",
}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file with the name of what is called, written out in full where an import shortened it."""
    full = {}
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            full |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield (full.get(first, first) + dot + rest).removeprefix("builtins."), node


def defined(name: str) -> set[str]:
    """The functions and classes that a file defines at its top."""
    return {
        node.name for node in tree(name).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def imported_modules(name: str) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert lengths
    assert not {name: length for name, length in lengths.items() if length > MAX_FILE_LINES}


def test_functions_are_short() -> None:
    lengths = {
        f"{name}: {node.name}": node.end_lineno - node.lineno + 1
        for name in FILES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert lengths
    assert not {function: length for function, length in lengths.items() if length > MAX_FUNCTION_LINES}


def test_private_names_stay_in_their_module() -> None:
    """Neither `from lossdsl.x import _name` nor `x._name` of a module that is imported."""
    found, looked_at = [], 0
    for name in FILES:
        nodes = list(ast.walk(tree(name)))
        own = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lossdsl")]
        aliases = [alias for node in own for alias in node.names]
        modules = {alias.asname or alias.name for alias in aliases if alias.name.islower()}
        names = [alias.name for alias in aliases]
        names += [
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        ]
        looked_at += len(names)
        found += [f"{name}: {private}" for private in names if private.startswith("_")]
    assert looked_at
    assert not found


def test_text_is_never_run() -> None:
    stored_by_itself = {"testing/module_rules.py": {"torch.load"}}
    assert not [
        f"{name}:{call.lineno}: {called}"
        for name in FILES
        for called, call in calls(name)
        if called in (RUNNING_BUILTINS - defined(name) | RUNNING_CALLS) - stored_by_itself.get(name, set())
    ]


def test_nothing_that_runs_stored_code_is_imported() -> None:
    assert not [
        f"{name}: {module}"
        for name in FILES
        for module in imported_modules(name)
        if module.partition(".")[0] in RUNNING_MODULES
    ]


def test_the_parser_is_not_cached_on_disk() -> None:
    """Lark's cache is a pickle in a folder that other users may write to."""
    parsers = [
        (f"{name}:{call.lineno}", {keyword.arg for keyword in call.keywords})
        for name in FILES
        for called, call in calls(name)
        if "Lark" in called.split(".")
    ]
    assert parsers
    assert not [place for place, keywords in parsers if "cache" in keywords]


@pytest.mark.parametrize("modules", ["lossdsl", "lossdsl.cli", "everything"])
def test_no_torch_before_it_is_needed(modules: str) -> None:
    if modules == "everything":
        modules = ", ".join(modules_without_torch())
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=True)


def modules_without_torch() -> Iterator[str]:
    """All but the runtime and the rules for losses. Kernels import torch when they run, not when they are looked up."""
    for path in FILES.values():
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module == "lossdsl.testing" or not module.startswith(("lossdsl.runtime", "lossdsl.testing.")):
            yield module
