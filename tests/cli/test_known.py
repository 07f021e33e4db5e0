"""`lossdsl list` and `lossdsl show`, with what is built in and with plugins that are broken in every way."""

from __future__ import annotations

import json

import pytest

from lossdsl.api.explain import show_loss
from lossdsl.cli.listing import aligned
from lossdsl.registry.discover import default_registry

BUILT_IN = ["bce", "ce", "focal", "dice", "dice_coef", "iou", "iou_coef", "tversky", "focal_tversky"]
BUILT_IN += ["l1", "mse", "smooth_l1", "huber", "hinge", "lovasz"]

ENTRY_POINTS = """\
[lossdsl.losses]
broken = nowhere.at:all
dice = shelf.kernels:half
plain = shelf.kernels:plain
odd-name = shelf.kernels:half
[lossdsl.libraries]
shelf = shelf
twin = twin
"""
LIBRARY = """\
# Half of the Dice loss. It is a joke.
# Source: none
loss half_dice(smooth: [0, inf) = 1) -> [0, 0.5]
    = 0.5*dice(smooth=smooth)

loss lost() -> [0, 1]
    = dcie

loss torn( -> [0, 1]
    = dice

# Absent: third_dice -- a third is no share -- write half_dice
"""
KERNELS = """\
from lossdsl import loss

@loss(range="[0, inf)")
def half(pred, target):
    "Half of it."

plain = 1
"""


@pytest.fixture
def plugins(tmp_path_factory):
    """A folder with an installed distribution, to be put on the path of a process."""
    folder = tmp_path_factory.mktemp("site")
    files = {
        "acme-2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n",
        "acme-2.1.dist-info/entry_points.txt": ENTRY_POINTS,
        "shelf/__init__.py": "",
        "shelf/a.loss": LIBRARY,
        "shelf/kernels.py": KERNELS,
        "twin/__init__.py": "",
        "twin/a.loss": "loss half_dice() -> [0, 1]\n    = dice\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return {"PYTHONPATH": str(folder)}


def test_every_built_in_has_a_line(invoke):
    result = invoke("list")
    assert {line.split()[0] for line in result.stdout.splitlines()} >= set(BUILT_IN)
    assert (result.stderr, result.exit_code) == ("", 0)
    (dice,) = [line for line in result.stdout.splitlines() if line.startswith("dice ")]
    for part in ("smooth=1, per=image", "[0, 1]", "binary, multilabel, multiclass", "Soft Dice loss", "lossdsl "):
        assert part in dice


def test_the_tasks_are_those_that_work(invoke):
    """`dice_coef` has one text for all tasks, but stands on `dice`, which is not for regression."""
    losses = {entry["name"]: entry for entry in json.loads(invoke("list", "--format", "json").stdout)["losses"]}
    assert losses["dice_coef"]["tasks"] == ["binary", "multilabel", "multiclass"]
    assert losses["ce"]["tasks"] == ["multiclass"]
    assert "regression" in losses["mse"]["tasks"]


def test_list_as_json(invoke):
    document = json.loads(invoke("list", "--format", "json").stdout)
    assert list(document) == ["losses"]
    dice = next(entry for entry in document["losses"] if entry["name"] == "dice")
    assert list(dice) == ["name", "full_name", "provider", "error", "tasks", "loss"]
    assert (dice["full_name"], dice["error"], list(dice["provider"])) == (
        "lossdsl.dice",
        None,
        ["distribution", "version"],
    )
    assert list(dice["loss"]) == [
        *("kind", "text", "inputs", "parameters", "range", "summary", "source", "notes", "refused", "accepted")
    ]
    assert dice["loss"]["kind"] == "formula"
    assert {"name": "smooth", "allowed": "[0, inf)", "default": "1"} in dice["loss"]["parameters"]
    kernel = next(entry for entry in document["losses"] if entry["name"] == "lovasz_extension")
    assert (kernel["loss"]["kind"], kernel["loss"]["text"]) == ("kernel", None)


@pytest.mark.parametrize("name", [*BUILT_IN, "lovasz_extension", "lossdsl.dice"])
def test_show(invoke, name):
    registry = default_registry()
    (candidate,) = registry.candidates(name)
    result = invoke("show", name)
    assert (result.stdout, result.exit_code) == (show_loss(registry.load(candidate)) + "\n", 0)
    assert json.loads(invoke("show", name, "--format", "json").stdout)["name"] == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dcie", "error LD201: unknown loss `dcie`\n    did you mean `dice`?\n"),
        ("zzzzz", "error LD201: unknown loss `zzzzz`\n    lossdsl list shows all losses\n"),
        ("", "error LD201: unknown loss ``\n    lossdsl list shows all losses\n"),
        ("topk", "error LD201: `topk` is a function of the language, not a loss\n"),
    ],
)
def test_show_of_what_is_no_loss(invoke, name, message):
    result = invoke("show", name)
    assert (result.stdout, result.stderr, result.exit_code) == ("", message, 1)


LISTED = """\
broken            cannot be used: `broken` of acme 2.1 (nowhere.at:all) cannot be imported: \
ModuleNotFoundError("No module named 'nowhere'") (from acme 2.1)
acme.dice         -                    [0, inf)  binary, multilabel, regression  Half of it  acme 2.1
odd-name          cannot be used: acme 2.1 (shelf.kernels:half) has the name `odd-name`, \
which cannot be written in a formula (from acme 2.1)
plain             cannot be used: `plain` of acme 2.1 (shelf.kernels:plain) is not decorated with @lossdsl.loss \
(from acme 2.1)
shelf.half_dice   smooth=1             [0, 0.5]  binary, multilabel, multiclass  Half of the Dice loss  acme 2.1
lost              cannot be used: unknown loss `dcie` (from acme 2.1)
torn              cannot be used: unexpected `->` (from acme 2.1)
twin.half_dice    -                    [0, 1]    binary, multilabel, multiclass  -  acme 2.1
"""


@pytest.mark.long
def test_plugins_in_the_list(start, plugins):
    result = start("list", env=plugins)
    assert (result.stderr, result.returncode) == ("", 0)
    listed = [line for line in result.stdout.splitlines() if "acme 2.1" in line]
    assert [line.split() for line in listed] == [line.split() for line in LISTED.splitlines()]
    names = {
        entry["name"]: entry for entry in json.loads(start("list", "--format", "json", env=plugins).stdout)["losses"]
    }
    assert names["lost"]["error"] == "unknown loss `dcie`"
    assert names["lost"]["loss"] is None


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "error LD602: `broken` of acme 2.1 (nowhere.at:all) cannot be imported: ModuleNotFoundError"),
        ("plain", "error LD602: `plain` of acme 2.1 (shelf.kernels:plain) is not decorated with @lossdsl.loss"),
        ("lost", "error LD201: unknown loss `dcie`"),
        ("torn", "error LD101: unexpected `->`"),
        ("shelf.third_dice", "error LD201: there is no `shelf.third_dice`: a third is no share\n    write half_dice"),
        (
            "half_dice",
            "error LD601: `half_dice` may be `shelf.half_dice` of acme 2.1 and `twin.half_dice` of acme 2.1\n"
            "    write shelf.half_dice or twin.half_dice",
        ),
    ],
)
def test_show_of_a_broken_plugin(start, plugins, name, message):
    result = start("show", name, env=plugins)
    assert message in result.stderr
    assert (result.stdout, result.returncode) == ("", 1)


def test_show_of_a_plugin(start, plugins):
    result = start("show", "shelf.half_dice", env=plugins)
    assert result.stdout.startswith("half_dice: Half of the Dice loss. It is a joke.\n")
    assert result.stdout.endswith("from: acme 2.1, shelf.half_dice\n")


ROWS = [
    ("a", "x" * 40, "[0, 1]", "y" * 30),
    ("longer", "x", "[0, inf)", "y"),
    ("broken", "for this reason " + "z" * 30),
]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            None,
            [
                f"a       {'x' * 40}  [0, 1]    {'y' * 30}",
                f"longer  x{' ' * 39}  [0, inf)  y",
                f"broken  for this reason {'z' * 30}",
            ],
        ),
        (
            64,
            [
                f"a       {'x' * 19}...  [0, 1]    {'y' * 19}...",
                f"longer  x{' ' * 21}  [0, inf)  y",
                f"broken  for this reason {'z' * 30}",
            ],
        ),
        (
            40,
            [
                f"a       {'x' * 19}...  [0, 1]",
                f"longer  x{' ' * 21}  [0, inf)",
                f"broken  for this reason {'z' * 13}...",
            ],
        ),
        (7, ["a", "longer", "brok..."]),
        (2, ["a", "..", ".."]),
    ],
)
def test_columns(width, lines):
    assert aligned(ROWS, width) == lines


def test_no_rows():
    assert aligned([], 80) == []
