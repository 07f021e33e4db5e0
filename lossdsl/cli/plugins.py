"""`lossdsl plugins`: the installed plugins and their state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from lossdsl.checking.scope import definition_faults
from lossdsl.cli.exit_status import FINDINGS
from lossdsl.cli.listing import aligned, terminal_width
from lossdsl.registry.discover import default_registry
from lossdsl.registry.entry_points import LOSSES
from lossdsl.registry.inventory import Plugin, plugins

SLOW = 1.0  # seconds; a slower import is reported


@click.command("plugins", short_help="List the installed plugins and their state.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def list_plugins(ctx: click.Context, form: str) -> None:
    """List every installed distribution that provides losses: version, state, namespaces and problems.

    \b
    lossdsl plugins
    LOSSDSL_PLUGINS=boundary lossdsl plugins

    Each loss is loaded, and the names in its formula are resolved. The environment variable LOSSDSL_PLUGINS is a list
    of distributions or namespaces. If it is set, no others are used; if it is empty, none are. Names in it that are not
    installed are reported.

    Exit status: 0 if all losses can be used, 1 otherwise.
    """
    registry = default_registry()
    found = plugins(registry, definition_faults)
    slips = [str(unknown) for unknown in registry.unknown]
    if form == "json":
        record = {"plugins": [_record(plugin) for plugin in found], "unknown": slips}
        click.echo(json.dumps(record, indent=2))
    else:
        click.echo("\n".join([*_lines(found), *slips]))
    if slips or any(plugin.state == "broken" for plugin in found):
        ctx.exit(FINDINGS)


def _lines(found: tuple[Plugin, ...]) -> Iterator[str]:
    rows = aligned([_row(plugin) for plugin in found], terminal_width())
    for plugin, row in zip(found, rows, strict=True):
        yield row
        for part in plugin.parts:
            yield from (f"    {' '.join(problem.split())}" for problem in part.problems)
            if part.group == LOSSES and part.seconds > SLOW:
                yield f"    {part.value} took {part.seconds:.1f} s to import"


def _row(plugin: Plugin) -> tuple[str, ...]:
    losses = [name for part in plugin.parts for name in part.losses]
    namespaces = sorted({name.rpartition(".")[0] for name in losses})
    count = f"{len(losses)} loss{'es' * (len(losses) != 1)}"
    return (f"{plugin.distribution} {plugin.version}".strip(), plugin.state, count, ", ".join(namespaces) or "-")


def _record(plugin: Plugin) -> dict[str, Any]:
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "written_for": plugin.written_for,
        "state": plugin.state,
        "entry_points": [
            {
                "group": part.group,
                "name": part.name,
                "value": part.value,
                "losses": list(part.losses),
                "problems": list(part.problems),
                "seconds": round(part.seconds, 3),
            }
            for part in plugin.parts
        ],
    }
