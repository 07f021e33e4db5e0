"""Files with marks: «...» in the text of a test file shows where a finding must point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lossdsl.config import Reading, Spec, read_file
from lossdsl.errors import Diagnostic

FILE = "experiment.yaml"


@dataclass(frozen=True)
class Marked:
    """A reading of a marked text, and the marked places in it."""

    reading: Reading
    document: str
    marks: tuple[tuple[int, int], ...]

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        return self.reading.diagnostics

    @property
    def spec(self) -> Spec:
        assert self.reading.spec is not None
        return self.reading.spec

    @property
    def places(self) -> list[tuple[int, int]]:
        """Line and column of each mark, as an editor counts them."""
        return [_line_and_column(self.document, start) for start, _ in self.marks]

    @property
    def found_places(self) -> list[tuple[int | None, int | None]]:
        return [(finding.line, finding.column) for finding in self.findings]

    @property
    def found_marks(self) -> list[tuple[int, int]]:
        """The offsets in the file between which each finding stands."""
        places = [(finding.source, finding.span) for finding in self.findings]
        return [(source.offset(span.start), source.offset(span.end)) for source, span in places if source and span]


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    lines = text[:offset].split("\n")
    return len(lines), len(lines[-1]) + 1


def _unmarked(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    marks = []
    while "«" in text:
        start = text.index("«")
        text = text.replace("«", "", 1)
        marks.append((start, text.index("»")))
        text = text.replace("»", "", 1)
    return text, tuple(marks)


@pytest.fixture
def read_marked(tmp_path: Path) -> Callable[..., Marked]:
    """Write a marked text to a file, without the marks, and read the loss in it."""

    def read(text: str, key: str = "loss", encoding: str = "utf-8", newline: str = "\n") -> Marked:
        document, marks = _unmarked(text.replace("\n", newline))
        path = tmp_path / FILE
        path.write_bytes(document.encode(encoding))
        return Marked(read_file(path, key), document, marks)

    return read


@pytest.fixture
def rendered(read_marked: Callable[..., Marked], tmp_path: Path) -> Callable[[str], str]:
    """All findings in a text, as users see them."""

    def render(text: str) -> str:
        findings = read_marked(text).findings
        return "\n".join(finding.render() for finding in findings).replace(f"{tmp_path}/", "")

    return render
