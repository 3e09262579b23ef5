"""Groups of commands, such as `provisioner sandbox`."""

from __future__ import annotations

import click

_WHOLE = 1_000
"""Characters: more than the first sentence of any help."""


class Group(click.Group):
    """Lists its commands with the whole first sentence of each; click cuts them short to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.get_short_help_str(_WHOLE)) for name, c in commands if c and not c.hidden])
