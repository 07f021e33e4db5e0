"""Files of formats that lossdsl does not read, by their suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from lossdsl.config.interpolation import CODE
from lossdsl.config.page import Page
from lossdsl.config.values import shown
from lossdsl.errors import Diagnostic, Place, Source


@dataclass(frozen=True, slots=True)
class Format:
    """An unsupported format. may_be_json: such a file is often plain JSON."""

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
    """The finding for a file of an unsupported format. unreadable: the file is not valid YAML."""
    form = format_of(page.file)
    return _says(page.whole, page.file, form) if form and (unreadable or not form.may_be_json) else None


def refused_name(text: str) -> Diagnostic | None:
    """The finding for a string that can only be the name of such a file."""
    form = format_of(text) if not any(sign in text for sign in " \t\r\n()[]+*=,#") else None
    return _says(Place(Source(text)), text, form) if form else None


def _says(place: Place, name: str, form: Format) -> Diagnostic:
    return place.says(CODE, f"lossdsl reads YAML and JSON; {shown(name)} is {form.name}", form.hint)
