"""`lossdsl new-plugin`: create a package with one formula, one kernel and tests."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

import click

from lossdsl.registry.entry_points import NAMESPACES

_TEMPLATES = Path(__file__).parent / "plugin_template"
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)
_TAKEN = {
    "lossdsl": "that of the built-ins",
    "local": "that of the losses that a process registers",
    "for": "a word of the language",
    "loss": "a word of the language",
}

# template -> where it goes
_FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "init.py.tmpl": "$package/__init__.py",
    "kernels.py.tmpl": "$package/kernels.py",
    "library.loss.tmpl": "$package/$namespace.loss",
    "test_losses.py.tmpl": "tests/test_$namespace.py",
}


@click.command("new-plugin", short_help="Create a package for your own losses.")
@click.argument("name")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to write in."
)
def new_plugin(name: str, into: Path) -> None:
    """Create a complete package, lossdsl-NAME, with one formula, one kernel and tests for both.

    \b
    lossdsl new-plugin acme

    Then run pip install -e ./lossdsl-acme, and every formula can use acme.soft_error. Existing files are never
    overwritten.
    """
    name = name.removeprefix("lossdsl-")
    fault = _fault(name)
    if fault:
        raise click.BadParameter(fault, param_hint="NAME")
    words = {
        "distribution": f"lossdsl-{name.replace('_', '-')}",
        "package": f"lossdsl_{name.replace('-', '_')}",
        "namespace": name.replace("-", "_"),
    }
    folder = into / words["distribution"]
    if folder.exists():
        raise click.UsageError(f"{folder} already exists")
    for path, text in _files(words):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
        click.echo(str(folder / path))


def _fault(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return f"`{name}` must be lower-case letters and digits, with - between words"
    namespace = name.replace("-", "_")
    taken = _TAKEN.get(namespace) or ("a word of Python" if keyword.iskeyword(namespace) else None)
    if taken:
        return f"`{namespace}` cannot be a namespace: it is {taken}"
    if namespace in NAMESPACES:
        return f"`{namespace}` is the namespace of {NAMESPACES[namespace]}"
    return None


def _files(words: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The path and the text of each file."""
    for template, path in _FILES.items():
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        yield Template(path).substitute(words), Template(text).substitute(words)
    yield f"{words['package']}/py.typed", ""
