"""`provisioner fmt`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.border import Border
from provisioner.cli.session import Session
from provisioner.operations import formatting
from provisioner.render.escape import visible


@click.command("fmt")
@click.option("--check", is_flag=True, help="Write nothing; exit 3 where a file is not in the standard layout.")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, metavar="[PATH]...")
@click.pass_obj
def command(session: Session, paths: tuple[Path, ...], *, check: bool) -> int:
    """Rewrite plan files in the standard layout; print the name of each file that changes.

    PATH is a plan file or a folder of them, plans/ if not given. Comments, the order of keys, quotes and alignment are
    kept: only spaces, indentation and blank lines change. A plan means the same before and after.
    """
    given = paths or (Path("plans"),)
    border = Border.of(given[0])
    texts = formatting.differing(given, border)
    if not check:
        formatting.write(texts, border)
    session.result("".join(f"{visible(name)}\n" for name in texts))
    return 3 if check and texts else 0
