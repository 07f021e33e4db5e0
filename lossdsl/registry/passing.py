"""Exceptions that come out of a plugin's code and are not its own: they pass through as they are."""

from __future__ import annotations

import signal
from types import TracebackType


def is_passing(cause: BaseException) -> bool:
    """Whether an exception that a plugin's code lets out is somebody else's.

    It is when memory ran out; when it is of a kind that torch defines, with which checkpointing, tracing, compilers and
    devices stop a program or lead it elsewhere; and when a handler of a signal raised it, such as one that ends a job.
    What torch says of a wrong call has Python's own kinds, RuntimeError or ValueError, and a warning that is an error
    by the user's wish is about what the plugin does: both are the plugin's own, and so is a matrix that has no inverse.
    """
    kind = type(cause)
    of_torch = kind.__module__.partition(".")[0] == "torch" and kind.__name__ != "_LinAlgError"
    told_by_torch = of_torch and not isinstance(cause, Warning)
    return told_by_torch or isinstance(cause, MemoryError) or _raised_by_a_signal(cause.__traceback__)


def _raised_by_a_signal(traceback: TracebackType | None) -> bool:
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback = traceback.tb_next
    return False
