"""Names of other libraries, and what to write instead. The data is read when a name is unknown.

`table.tsv` has the replacement for each name; `known.txt` lists names of torch, numpy, math, sympy and libraries of
losses, so that none of them is treated as a misspelt name of lossdsl.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias, cast

Kind: TypeAlias = Literal["loss", "function", "value", "parameter", "choice", "key"]
NAMES: tuple[Kind, ...] = ("loss", "function", "value")
"""The kinds of names in a formula."""


@dataclass(frozen=True, slots=True)
class Word:
    """A name of other libraries.

    kind: where it is used: a loss, a function or a value in a formula, a parameter of a loss, a choice as the value of
    one, a key of a config. write: what to write instead, empty if there is nothing; for a function, x or a and b are
    its arguments; for a parameter or choice, a loss with it; for a key, a whole loss in YAML. same: whether that is
    the same value. context: the task and input that it needs. note: a remark, or why there is
    nothing.
    """

    name: str
    kind: Kind
    write: str
    same: bool
    context: str
    note: str

    @property
    def hint(self) -> str:
        """The hint, as a sentence."""
        return self.saying(self.write)

    def write_has(self, name: str) -> bool:
        """Whether the replacement sets this parameter or key."""
        return re.search(rf"\b{re.escape(name)}\s*[=:]", self.write) is not None

    def saying(self, write: str) -> str:
        """The same, with `write` for what to write."""
        if not write:
            return self.note
        if self.kind in NAMES:
            told = f"write {write}" if self.same else f"the nearest is {write}"
            return f"{told}; {self.note}" if self.note else told
        return f"{self.note}: {write}" if self.note else f"write {write}"


# Where other languages keep these names. The names of libraries of losses, such as `monai.`, are those of plugins.
_MODULES = (
    "torch nn F functional torch.nn nn.functional torch.nn.functional torch.special torch.linalg np numpy jnp "
    "jax.numpy jax.nn optax math sp sympy scipy.special tf tf.math tf.nn tf.losses tf.keras.losses tf.keras.metrics "
    "tf.keras.activations tf.keras.backend K keras.backend sklearn.metrics metrics losses loss loss_fn"
)
_SPACES = frozenset(_MODULES.split())


def word(name: str, *kinds: Kind) -> Word | None:
    """The entry for a name, with or without its module; None for other names.

    kinds: where it can be used, the most likely first.
    """
    found = {one.kind: one for one in _table().get(bare(name), ())}
    return next((found[kind] for kind in kinds if kind in found), None)


def bare(name: str) -> str:
    """`relu` for `torch.nn.functional.relu`: the name without a module of another language."""
    space, _, short = name.rpartition(".")
    return short if space in _SPACES else name


def is_in_table(name: str) -> bool:
    """Whether the table has a name, of any kind."""
    return bare(name) in _table()


def is_known(name: str) -> bool:
    """Whether other libraries use a name of a formula, ignoring case."""
    return bare(name).lower() in _lowered()


def is_written_so(name: str) -> bool:
    """Like `is_known`, but case-sensitive."""
    return bare(name) in _known()


@cache
def names_of(*kinds: Kind) -> frozenset[str]:
    """The names of the table, in lower case."""
    return frozenset(word.name.lower() for group in groups() for word in group if word.kind in kinds)


@cache
def groups() -> tuple[tuple[Word, ...], ...]:
    """The table in its order; the names of a group mean the same."""
    return tuple(_group(*line.split("\t")) for line in _lines("table.tsv"))


def _group(names: str, kind: str, write: str, same: str, context: str, note: str) -> tuple[Word, ...]:
    return tuple(Word(name, cast(Kind, kind), write, same == "same", context, note) for name in names.split(" "))


@cache
def _table() -> Mapping[str, tuple[Word, ...]]:
    table: dict[str, tuple[Word, ...]] = {}
    for word in (word for group in groups() for word in group):
        table[word.name] = (*table.get(word.name, ()), word)
    return table


@cache
def _known() -> frozenset[str]:
    return frozenset(name for line in _lines("known.txt") for name in line.split())


@cache
def _lowered() -> frozenset[str]:
    return frozenset(name.lower() for name in _known()) | names_of(*NAMES)


def _lines(file: str) -> list[str]:
    text = (files(__package__) / file).read_text(encoding="ascii")
    return [line for line in text.split("\n") if line and not line.startswith("#")]
