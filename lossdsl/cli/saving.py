"""Replace a file atomically, and only inside of the folder that the user named."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def save(path: str, data: bytes, folder: str) -> None:
    """Replace the content of a file atomically. Its mode and, if permitted, its owner are kept.

    A link stays a link: its target is replaced, if it is in the folder. Raises OSError.
    """
    target = Path(path).resolve(strict=True)
    if not target.is_relative_to(Path(folder).resolve()):
        raise OSError(f"it is a link to `{target}`, which lies elsewhere; name that file")
    before = target.stat()
    if not os.access(target, os.W_OK):  # to replace a file, its folder alone must be writable
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(written, before.st_uid, before.st_gid)
        written.chmod(stat.S_IMODE(before.st_mode))
        written.replace(target)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
