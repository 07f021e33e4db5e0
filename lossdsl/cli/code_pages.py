"""The documentation of each code: one Markdown file in `codes/` in a fixed form, with a wrong and a right example.

    # LD204: a number outside the range of its parameter
    What it means and why it is a problem, in one or more paragraphs.
    Wrong:
    ```formula
    focal(gamma=-1)
    ```
    Right:
    ```formula
    focal(gamma=2)
    ```
    Fix: what to do.

An example is a `formula`, a `yaml` config with the key `loss`, a `loss` file, or `python` that raises the finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).with_name("codes")
_FORM = re.compile(
    r"# (?P<code>LD\d{3}): (?P<title>[^\n]+)\n\n(?P<meaning>.+?)\n\n"
    r"Wrong:\n\n```(?P<kind>\w+)\n(?P<wrong>.+?)```\n\n"
    r"Right:\n\n```(?P<right_kind>\w+)\n(?P<right>.+?)```\n\n"
    r"Fix: (?P<fix>.+)\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Explained:
    """The documentation of one code."""

    code: str
    title: str
    meaning: str
    wrong: tuple[str, str]
    right: tuple[str, str]
    fix: str
    markdown: str


def explained(code: str) -> Explained | None:
    """The documentation of a code, or None."""
    file = FOLDER / f"{code}.md"
    return _read(file) if re.fullmatch(r"LD\d{3}", code) and file.is_file() else None


@lru_cache(maxsize=1)
def codes() -> tuple[str, ...]:
    """Every code that is documented."""
    return tuple(sorted(file.stem for file in FOLDER.glob("LD*.md")))


@lru_cache(maxsize=256)
def _read(file: Path) -> Explained:
    markdown = file.read_text(encoding="utf-8")
    match = _FORM.fullmatch(markdown)
    if match is None or match["code"] != file.stem:
        raise ValueError(f"{file.name} does not have the form that lossdsl/cli/code_pages.py shows")
    wrong, right = (match["kind"], match["wrong"]), (match["right_kind"], match["right"])
    return Explained(match["code"], match["title"], match["meaning"], wrong, right, match["fix"], markdown)


def as_plain_text(documentation: Explained) -> str:
    """For a terminal: the Markdown with its code indented instead of fenced."""
    lines, inside = [], False
    for line in documentation.markdown.removeprefix("# ").splitlines():
        if line.startswith("```"):
            inside = not inside
        else:
            lines.append(f"    {line}" if inside and line else line)
    return "\n".join(lines)
