"""The command `lossdsl` with its subcommands. Errors of the output do not print a traceback."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import click

from lossdsl.cli.check import check
from lossdsl.cli.exit_status import WRONG_USE
from lossdsl.cli.explain import explain
from lossdsl.cli.listing import list_losses
from lossdsl.cli.new_plugin import new_plugin
from lossdsl.cli.plugins import list_plugins
from lossdsl.cli.show import show
from lossdsl.errors import nearest


class Shell(click.Group):
    """A group that handles output errors, and suggests the right name for a misspelt command."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _print_anything()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # A full disk, mostly. What is still in the buffer cannot be written at exit either.
            sys.stdout = io.StringIO()
            click.echo(f"lossdsl: {error.strerror or error}", err=True)
            sys.exit(WRONG_USE)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = nearest(name, self.commands) or f"commands are {', '.join(self.commands)}"
            ctx.fail(f"there is no command `{name}`: {hint}")
        return super().resolve_command(ctx, args)


def _print_anything() -> None:
    """Escape characters that the terminal cannot print, such as the bytes of a file name that is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    try:
        version = installed_version("lossdsl")
    except PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"lossdsl {version}")
    ctx.exit()


@click.group(cls=Shell, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Check, explain and list losses that are written as formulas. Does not need torch.

    \b
    lossdsl check -e "0.5*bce + 0.5*(-log(1 - dice))"
    lossdsl check experiment.yaml
    lossdsl explain experiment.yaml --key train.loss
    lossdsl list
    lossdsl show dice
    lossdsl plugins
    lossdsl new-plugin acme

    Exit status: 0 if there is no error, 1 if there are findings, 2 for wrong usage.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    elif os.environ.get("FORCE_COLOR"):
        ctx.color = True
    elif os.environ.get("TERM") == "dumb":
        ctx.color = False


for command in (check, explain, list_losses, show, list_plugins, new_plugin):
    main.add_command(command)
