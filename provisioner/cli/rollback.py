"""`provisioner rollback`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.history import find_journal, find_run
from provisioner.cli.options import allows, plan_format, reports
from provisioner.cli.output import print_plan, write_reports
from provisioner.cli.session import Session
from provisioner.diagnostics import ChangeSetStale
from provisioner.operations.planning import Selection, run, with_tenant

if TYPE_CHECKING:
    from provisioner.model import ChangeSet
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports


@click.command("rollback")
@click.argument("run_", metavar="RUN", default="last")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Save it for apply.")
@reports
@allows
@plan_format
@click.pass_obj
def command(
    session: Session, run_: str, out: Path, reports: dict[str, Path], allows: tuple[str, ...], format_: str
) -> None:
    """Make the change set that undoes a run of apply (its id, or `last`). Nothing is changed before it is applied.

    What somebody has changed since the run, and what cannot be undone, is told and left alone.
    """
    session.format = format_
    from provisioner import engine, rules
    from provisioner.changes import changeset, planning, rollback
    from provisioner.engine import journal
    from provisioner.resources import TYPES

    waivers = [rules.parse_allow(a) for a in allows]

    async def work(ports: Ports, identity: TenantIdentity) -> tuple[ChangeSet, tuple[str, ...]]:
        path = find_journal(identity.tenant_id)
        facts = find_run(path, run_)
        if facts["tenant_id"] != identity.tenant_id:
            raise ChangeSetStale(f"run {facts['run']} was on {facts['tenant']}, not on {identity.initial_domain}")
        done = rollback.undone(journal.deeds(path, facts["run"]), TYPES)
        reads = session.profile.reads_at_once
        seen = await engine.look([u.address for u in done], TYPES, ports, reads=reads)
        back = rollback.rollback(done, seen, TYPES, facts["tenant"], facts["owner"])
        observed = await engine.read(back.desired, TYPES, ports, reads=reads)
        found = planning.plan(
            back.desired,
            dataclasses.replace(observed, undeclared={}, unlisted={}),
            TYPES,
            waivers=waivers,
            tenant_id=identity.tenant_id,
            created=session.moment(),
            transport=ports.exchange.transport,
        )
        return dataclasses.replace(found, expires=session.moment(Selection().expires_s)), back.left_out

    found, left_out = run(with_tenant(session, work))
    document = changeset.to_document(found)
    changeset.save(document, out)
    write_reports(session, document, reports)
    if "-" not in map(str, reports.values()):
        print_plan(session, document)
    for sentence in left_out:
        session.note(f"Not undone: {sentence}")
    session.note(f"Saved as {out}. To carry it out: provisioner apply {out}")
