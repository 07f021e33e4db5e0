"""Room on the stack for what recurses, however deep in its own calls a program is when it asks for a loss.

Python allows some thousand calls inside each other, and counts those of each thread alone. So where a caller has used
much of that, the work goes on in a thread of its own, and the caller waits for it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NEEDED = 600
"""Calls for a text of the deepest nesting that is read, with those of the libraries that read it."""


def is_deep() -> bool:
    """Whether there may be too little room left for what recurses; costs about a microsecond."""
    limit = sys.getrecursionlimit()
    try:
        sys._getframe(max(limit - _NEEDED, limit // 3))
    except ValueError:  # there are not so many calls
        return False
    return True


def in_own_stack(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that needs no state of this thread, in a thread of its own."""
    results: list[T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(function, *args, **kwargs))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="lossdsl", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results.pop()


def with_room(function: Callable[P, T]) -> Callable[P, T]:
    """A function that can be called at any depth."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        return in_own_stack(function, *args, **kwargs) if is_deep() else function(*args, **kwargs)

    return called
