"""`provisioner export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import excludes, targets
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError, TenantIncomplete
from provisioner.operations.planning import Selection, run, scope_of, with_tenant

if TYPE_CHECKING:
    from provisioner.plan.export import Export
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports


@click.command("export")
@click.option("--type", "kinds", multiple=True, metavar="TYPE", help="Only this resource type (repeatable).")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write here; what is there is kept.")
@click.option("--owner", default="", metavar="NAME", help="The plan's ownership mark.")
@targets
@excludes
@click.pass_obj
def command(
    session: Session,
    kinds: tuple[str, ...],
    out: Path | None,
    owner: str,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
) -> None:
    """Write what the tenant has as a plan.

    The plan validates, and planning it changes nothing. A FILE that is there keeps its comments, order and spellings.
    """
    from provisioner import engine
    from provisioner.model import Unknown
    from provisioner.plan import export
    from provisioner.resources import TYPES

    names = [t.name for t in TYPES]
    for kind in kinds:
        if kind not in names:
            what = f'--type: there is no type "{kind}"'
            raise InputError([Diagnostic("TYPE-UNKNOWN", what, f"types: {', '.join(names)}")])
    chosen = tuple(t for t in TYPES if not kinds or t.name in kinds)
    scope = scope_of(Selection(targets, excludes))
    old = _there(out)

    async def work(ports: Ports, identity: TenantIdentity) -> Export:
        observed = await engine.survey(chosen, ports, reads=session.profile.reads_at_once)
        failed = {str(a): o.reason for a, o in observed.resources.items() if isinstance(o, Unknown)}
        failed |= {name: o.reason for name, o in observed.unlisted.items()}
        for what, reason in failed.items():
            raise TenantIncomplete(f"nothing was written, since {what} could not be read: {reason}")
        return export.export(observed, chosen, identity.initial_domain, owner=owner, scope=scope, old=old)

    found = run(with_tenant(session, work))
    for sentence in found.left_out:
        session.note(f"Left out: {sentence}")
    if out is None:
        session.result(found.text)
        return
    try:
        out.write_text(found.text, encoding="utf-8")
    except OSError as error:
        what = f"{out} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("OUT-WRITE", what, "choose another place")]) from error
    session.note(f"Written to {out}.")


def _there(out: Path | None) -> str | None:
    try:
        return out.read_text(encoding="utf-8") if out and out.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Diagnostic("EXPORT-FILE", f"{out} cannot be read: {error}")]) from error
