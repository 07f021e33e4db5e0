"""Files of other formats, by the end of their names. lossdsl reads YAML and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from lossdsl.errors import Diagnostic, Source
from lossdsl.spec.interpolation import CODE
from lossdsl.spec.page import Page
from lossdsl.spec.values import Place, shown


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is not read. may_be_json: a file of it often is plain JSON all the same."""

    name: str
    hint: str
    may_be_json: bool = False


_TOML = Format("TOML", 'write it in YAML, or read it with tomllib: lossdsl.compile(tomllib.load(file)["loss"])')
_INI = Format("INI", 'write it in YAML, or pass the text: lossdsl.compile(config["train"]["loss"])')
_PYTHON = Format("Python", 'pass the formula: lossdsl.compile("0.5*bce + 0.5*dice"); lossdsl check -e checks it')
_JSON5 = Format("JSON with extensions", "write plain JSON, or YAML", may_be_json=True)
FORMATS = {
    ".toml": _TOML,
    ".ini": _INI,
    ".cfg": _INI,
    ".py": _PYTHON,
    ".ipynb": _PYTHON,
    ".json5": _JSON5,
    ".jsonc": _JSON5,
    ".hjson": _JSON5,
    ".jsonnet": Format("Jsonnet", "check the JSON that it generates"),
    ".gin": Format("gin", "write it in YAML, or pass the formula as a string to lossdsl.compile"),
}


def format_of(name: str) -> Format | None:
    return FORMATS.get(PurePath(name).suffix.lower())


def refused(page: Page, *, unreadable: bool = False) -> Diagnostic | None:
    """Why a file of this name is not read; unreadable: it turned out not to be YAML."""
    form = format_of(page.file)
    return _says(page.whole, page.file, form) if form and (unreadable or not form.may_be_json) else None


def refused_name(text: str) -> Diagnostic | None:
    """The same for text that can only be the name of such a file."""
    form = format_of(text) if not any(sign in text for sign in " \t\r\n()[]+*=,#") else None
    return _says(Place(Source(text)), text, form) if form else None


def _says(place: Place, name: str, form: Format) -> Diagnostic:
    return place.says(CODE, f"lossdsl reads YAML and JSON; {shown(name)} is {form.name}", form.hint)
