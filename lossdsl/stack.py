"""Provide stack space for recursive functions, however deep the calling program's own stack is.

Python limits the depth of calls to about a thousand in each thread. If the caller has used
much of that, the work runs in a new thread, and the caller waits for it.
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
    """Whether there may be too little stack space left; takes about a microsecond."""
    limit = sys.getrecursionlimit()
    try:
        sys._getframe(max(limit - _NEEDED, limit // 3))
    except ValueError:  # there are not so many calls
        return False
    return True


def in_own_stack(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new thread. It must not need the state of this thread."""
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
    """Decorate a function so that it can be called at any depth."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        return in_own_stack(function, *args, **kwargs) if is_deep() else function(*args, **kwargs)

    return called
