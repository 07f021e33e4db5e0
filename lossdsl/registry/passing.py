"""Exceptions in a plugin's code that are not its own; they are passed on unchanged."""

from __future__ import annotations

import signal
from types import TracebackType


def is_passing(cause: BaseException) -> bool:
    """Whether an exception in a plugin's code is not the plugin's own.

    This is so for a lack of memory, for exception types of torch, with which checkpointing, tracing, compilers and
    devices control a program, and for exceptions of a signal handler, for example one that ends a job.
    Errors of a wrong torch call have Python's own types, RuntimeError or ValueError, and a warning that is an error
    by the user's choice is about the plugin: both are the plugin's own, as is the error for a singular matrix.
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
