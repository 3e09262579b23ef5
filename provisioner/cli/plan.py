"""`provisioner plan`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.changes import changeset
from provisioner.cli.options import (
    ResultFile,
    allows,
    detailed_exitcode,
    duration,
    excludes,
    live_plan_format,
    plan_path,
    replay,
    reports,
    targets,
    viewing,
)
from provisioner.cli.output import print_plan, write_reports
from provisioner.cli.session import Session
from provisioner.model import ChangeSet
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.observed import observed_mail
from provisioner.operations.planning import plan


@click.command("plan")
@plan_path
@click.option("-o", "--out", type=ResultFile(), metavar="FILE", help="Save the change set for apply.")
@click.option(
    "--expires", default="7d", show_default=True, metavar="TIME", help="Let the saved change set expire after TIME."
)
@click.option("--unmanaged", is_flag=True, help="List the tenant's objects that the plan does not declare (text).")
@viewing
@reports
@targets
@excludes
@allows
@replay
@live_plan_format
@detailed_exitcode
@click.pass_obj
def command(
    session: Session,
    path: Path,
    out: Path | None,
    expires: str,
    unmanaged: bool,
    reports: dict[str, Path],
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    allows: tuple[str, ...],
    replay: str | None,
    format_: str,
    detailed_exitcode: bool,
) -> int:
    """Show what would change in the tenant.

    PATH is a plan file or a folder of them, plans/ if not given. The plan is shown and saved whatever it says; exit 6
    where an error keeps it from being applied. With
    --replay the mail that was observed is tried against the tenant as it is and as the plan leaves it: senders that
    would be refused or would send in another way are findings, and the first ones stop apply.
    """
    session.format, session.detailed = format_, detailed_exitcode
    selection = Selection(targets, excludes, allows, duration(expires), run(observed_mail(session, replay)))
    found = run(plan(session, path, selection))
    only_text = format_ == "text" and not out and not reports
    document = changeset.undigested(found) if only_text else changeset.to_document(found)
    if out:
        changeset.save(document, out)
    write_reports(session, document, reports, file=out)
    if "-" not in map(str, reports.values()):
        print_plan(session, document, unmanaged=unmanaged, file=out)
    if out:
        digest = document["provisioner"]["digest"]
        session.note(f"Saved as {out}. To apply exactly this: provisioner apply {out} --expect-digest {digest}")
    code = exit_code(found) or (6 if any(f.blocks and not f.waived for f in found.findings) else 0)
    if detailed_exitcode:
        return 1 if code else 2 if found.pending else 0
    return code


def exit_code(found: ChangeSet) -> int:
    """0, or why a comparison is not whole: 4 a permission, 5 something unreadable, 6 an unmet precondition."""
    unread = [*found.unknown.values(), *found.unlisted.values()]
    if unread:
        return 4 if any(u.kind in {"sign_in", "permission"} for u in unread) else 5
    return 6 if any(f.blocks == "precondition" for f in found.findings) else 0
