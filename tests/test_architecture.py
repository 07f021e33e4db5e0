"""What must stay true of the code as a whole: small files, text that is never run, a core without torch."""

from __future__ import annotations

import ast
import graphlib
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


def own_imports(name: str) -> Iterator[str]:
    """The files of the package that a file imports when it is imported, or for its annotations alone."""
    found = [node for node in tree(name).body if isinstance(node, ast.ImportFrom)]
    found += [part for node in tree(name).body if isinstance(node, ast.If) for part in ast.walk(node)
              if isinstance(part, ast.ImportFrom)]  # fmt: skip
    for node in found:
        for alias in node.names:
            yield from _file(f"{node.module}.{alias.name}") or _file(node.module or "")


def _file(module: str) -> list[str]:
    """The file of a module of the package; none of any other."""
    path = module.removeprefix("lossdsl").removeprefix(".").replace(".", "/")
    return [file for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")) if file in FILES]


def test_no_import_goes_in_a_circle() -> None:
    """Nor for annotations: what two files know of each other belongs into a third."""
    graph = {name: set(own_imports(name)) - {name, "__init__.py"} for name in FILES if name != "__init__.py"}
    assert sum(map(len, graph.values())) > len(FILES)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


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


def test_one_function_gives_a_finding_its_place() -> None:
    """A finding without a place is made by itself; all others by `Place.says`, which alone knows how they are built."""
    made = [(name, call) for name in FILES for called, call in calls(name) if called.rpartition(".")[2] == "Diagnostic"]
    placed = [
        name for name, call in made if len(call.args) > 2 or "source" in {keyword.arg for keyword in call.keywords}
    ]
    assert placed == ["errors.py"]


def test_what_everyone_speaks_of_is_defined_once() -> None:
    """The axes in their order are written out by built-in kernels alone, which are plugins and may import little."""
    homes: dict[str, list[str]] = {"Place": [], "Interval": [], "Range": [], "AXES": []}
    for name in FILES:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.ClassDef) and node.name in homes:
                homes[node.name].append(name)
            elif isinstance(node, ast.Tuple) and ast.unparse(node) == "('batch', 'class', 'pixel')":
                homes["AXES"].append(name)
    homes["AXES"] = [name for name in homes["AXES"] if not name.startswith("library/")]
    assert homes == {
        "Place": ["errors.py"],
        "Interval": ["proving/interval.py"],
        "Range": ["syntax/tree.py"],
        "AXES": ["syntax/tree.py"],
    }


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
