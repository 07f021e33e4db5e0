"""The shell: `lossdsl check`, `explain`, `list`, `show`, `plugins` and `new-plugin`.

What stdout carries is what was asked for. Exit status: 0 clean, 1 findings, 2 wrong use of the command.
"""

from lossdsl.cli.shell import main

__all__ = ["main"]
