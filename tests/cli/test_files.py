"""What `lossdsl check` looks at: files, folders, patterns, keys and marks."""

from __future__ import annotations

from pathlib import Path

import pytest

TREE = {
    "a.yaml": "loss: bec\n",
    "b/c.yml": "train:\n  criterion: dcie  # lossdsl\n",
    "b/d.json": '{"loss": "bce"}',
    "b/workflow.yaml": "on: push\n",
    "b/template.yaml": "{% if x %}\n",
    "b/broken.yaml": "loss: @bce\n",
    "b/.hidden.yaml": "loss: hidden\n",
    ".cache/e.yaml": "loss: hidden\n",
    "mine.loss": "loss mine() -> [0, inf)\n    = mean(abs(pred - targett))\n",
    "notes.txt": "loss: text\n",
}


@pytest.fixture
def tree(folder: Path) -> Path:
    for name, text in TREE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def places(text: str) -> list[str]:
    """`file:line code` of each finding, in the order in which they are printed."""
    heads = [line for line in text.splitlines() if " error LD" in line]
    return [f"{head.split(':')[0]}:{head.split(':')[1]} {head.partition('error ')[2][:5]}" for head in heads]


def test_a_folder(invoke, tree):
    result = invoke("check", ".")
    assert places(result.stdout) == ["a.yaml:1 LD201", "b/broken.yaml:1 LD401", "b/c.yml:2 LD201"]
    assert result.stdout.endswith("3 errors in 3 of 5 losses; 2 fixable with --fix; 2 files without a loss\n")
    assert result.exit_code == 1


def test_names_come_in_their_order_and_each_file_once(invoke, tree):
    result = invoke("check", "b", "a.yaml", "./a.yaml", "b/c.yml", "-e", "ioou")
    assert places(result.stdout)[:3] == ["b/broken.yaml:1 LD401", "b/c.yml:2 LD201", "a.yaml:1 LD201"]
    assert "<formula>:1:1: error LD201" in result.stdout


@pytest.mark.parametrize("pattern", ["**/c.yml", "b/[c]*", "?/c.*"])
def test_a_pattern(invoke, tree, pattern):
    assert places(invoke("check", pattern).stdout) == ["b/c.yml:2 LD201"]


def test_a_pattern_is_a_name_where_such_a_file_lies(invoke, folder):
    (folder / "a[1].yaml").write_text("loss: bec\n")
    assert places(invoke("check", "a[1].yaml").stdout) == ["a[1].yaml:1 LD201"]


def test_a_pattern_that_nothing_matches(invoke, tree):
    result = invoke("check", "*.toml", "a.yaml")
    assert "there is no file `*.toml`" in result.stdout
    assert result.exit_code == 2


def test_a_file_that_is_named_must_have_a_loss(invoke, tree):
    result = invoke("check", "b/workflow.yaml", "a.yaml")
    assert "b/workflow.yaml: error LD404: there is no key `loss` in the file" in result.stdout
    assert invoke("check", "b/template.yaml").exit_code == 1


def test_folders_without_any_loss(invoke, folder):
    (folder / "x.yaml").write_text("a: 1\n")
    result = invoke("check", ".")
    assert result.stdout.startswith("error LD404: there is no loss in these files\n")
    assert result.exit_code == 1
    assert invoke("check", ".", "-e", "bce").exit_code == 0
    assert invoke("check", ".", "--marked-only").exit_code == 0


KEYS = """\
loss: bec
runs:
  first: {loss: dcie, lr: 1}
  second: {loss: bce}
heads:
  - {loss: ioou}
  - {loss: dice}
  - 3
"""


@pytest.mark.parametrize(
    ("keys", "expected", "losses"),
    [
        (["runs.first.loss"], ["a.yaml:3 LD201"], 1),
        (["runs.second.loss", "runs.first.loss", "loss"], ["a.yaml:1 LD201", "a.yaml:3 LD201"], 3),
        (["runs.*.loss"], ["a.yaml:3 LD201"], 2),
        (["heads.*.loss"], ["a.yaml:6 LD201"], 2),
        (["*.*.loss", "loss"], ["a.yaml:1 LD201", "a.yaml:3 LD201", "a.yaml:6 LD201"], 5),
        (["loss", "loss", "*"], None, 3),
    ],
)
def test_keys(invoke, folder, keys, expected, losses):
    (folder / "a.yaml").write_text(KEYS)
    result = invoke("check", "a.yaml", *(part for key in keys for part in ("--key", key)))
    assert f"{losses} loss" in result.stdout
    assert expected is None or places(result.stdout) == expected


def test_one_of_several_keys_is_enough_for_a_file(invoke, folder):
    (folder / "a.yaml").write_text("loss: bce\n")
    (folder / "b.yaml").write_text("train: {loss: bce}\n")
    assert invoke("check", "a.yaml", "b.yaml", "--key", "loss", "--key", "train.loss").exit_code == 0


@pytest.mark.parametrize("key", ["los", "train.*.loss"])
def test_a_key_that_no_file_has(invoke, folder, key):
    (folder / "a.yaml").write_text("loss: bce\n")
    result = invoke("check", "a.yaml", "--key", "loss", "--key", key)
    assert "error LD404: " in result.stdout
    assert f"`{key}`" in result.stdout
    assert result.exit_code == 1
    (folder / "b.yaml").write_text("loss: bce\n")
    result = invoke("check", ".", "--key", "loss", "--key", key)
    assert f"error LD404: no file has the key `{key}`" in result.stdout


# text: the lines of the findings, and how many losses there are under marks alone
MARKS = {
    "criterion: bec  # lossdsl\n": ([1], 1),
    "# lossdsl\ncriterion: bec\n": ([2], 1),
    "a: 1\n  # lossdsl  \nb: bec\r\n": ([3], 1),
    "a:\n  #lossdsl\n  b: bec\n": ([3], 1),
    "a:\n  - b: bec  # lossdsl\n  - c: bec\n": ([2], 1),
    "a: |  # lossdsl\n  bec +\n  dcie\n": ([2, 3], 1),
    "a:  # lossdsl\n  terms:\n    x: bec\n    y: {expr: dcie, weight: 1}\n": ([3, 4], 1),
    "a: {expr: bec, task: binary}  # lossdsl\n": ([1], 1),
    "a: bec  # lossdsl\nb: dcie # lossdsl\n": ([1, 2], 2),
    "a: |\n  bec  # lossdsl\nb: 1\n": ([], 0),
    "a: |\n  text\n  # lossdsl\nb: bec\n": ([], 0),
    'a: "bec\n  # lossdsl\n  x"\nb: bec\n': ([], 0),
    "a: bec # lossdsl, maybe\n": ([], 0),
    "a: bec# lossdsl\n": ([], 0),
    "a: bec\n\n# lossdsl\n\nb: 1\n": ([3], 0),
    "a:\n  - 1\n  - 2  # lossdsl\n": ([3], 0),
}


@pytest.mark.parametrize("text", MARKS, ids=repr)
def test_marks(invoke, folder, text):
    (folder / "a.yaml").write_bytes(text.encode())
    result = invoke("check", "a.yaml", "--marked-only")
    lines, losses = MARKS[text]
    assert [int(place.split(":")[1].split()[0]) for place in places(result.stdout)] == lines
    assert f"{max(losses, int(bool(lines)))} loss" in result.stdout


def test_a_loss_under_a_key_and_a_mark_is_one(invoke, folder):
    (folder / "a.yaml").write_text("loss: bce  # lossdsl\n")
    assert invoke("check", "a.yaml").stdout == "1 loss, nothing found\n"


LIBRARY = """\
# The first.
loss first(gamma: (0, inf)) -> [0, inf)
    = mean(abs(p - y)**gamma)

loss second(mode: task) -> [0, inf)
    = first(gamma=2) + third

loss third() -> [0, inf)
    = mean(abs(p - y), over=[batch, pixle])

loss third() -> [0, 1]
    = dice

loss fourth() -> [0, 1]
    = mean(p, ovr=pixel) + dcie
"""


def test_every_definition_of_a_loss_file(invoke, folder):
    (folder / "mine.loss").write_text(LIBRARY)
    result = invoke("check", "mine.loss")
    found = places(result.stdout)
    assert [place for place in found if ":9 " in place] == ["mine.loss:9 LD205"] * len([p for p in found if ":9 " in p])
    assert {"mine.loss:9 LD205", "mine.loss:11 LD105", "mine.loss:15 LD203", "mine.loss:15 LD201"} <= set(found)


@pytest.mark.parametrize(
    "text", ["los first() -> [0, 1]\n    = dice\n", "loss first( -> [0, 1]\n    = dice\n", "text\n"]
)
def test_a_loss_file_that_cannot_be_read(invoke, folder, text):
    (folder / "mine.loss").write_text(text)
    result = invoke("check", "mine.loss")
    assert places(result.stdout)
    assert result.exit_code == 1


def test_the_built_in_library_is_clean(invoke, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    result = invoke("check", "lossdsl/library", "plugins/lossdsl-boundary/lossdsl_boundary")
    assert result.stdout.endswith("losses, nothing found\n")
