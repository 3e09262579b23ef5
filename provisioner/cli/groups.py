"""Groups of commands: how they list them, and what they answer to a name that is none of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import click

_WHOLE = 1_000
"""Characters: more than the first sentence of any help."""


def unknown(name: str, names: Sequence[str], ctx: click.Context) -> click.UsageError:
    """The error for a name that is not a command: the one that is nearly so, or all of them."""
    import difflib  # it takes its time, and only a mistake needs it

    near = difflib.get_close_matches(name, names, 1)
    hint = f'Did you mean "{near[0]}"?' if near else f"Commands: {', '.join(names)}."
    return click.UsageError(f'There is no command "{name}". {hint}', ctx)


def enter_folder(ctx: click.Context) -> None:
    """For completion, which runs no command: work in the folder of -C, as the command will."""
    folder = ctx.find_root().params.get("folder")
    if folder:
        with contextlib.suppress(OSError):
            os.chdir(folder)


class Group(click.Group):
    """Lists its commands with the whole first sentence of each; click cuts them short to one line."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.get_short_help_str(_WHOLE)) for name, c in commands if c and not c.hidden])
