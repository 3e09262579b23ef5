"""`provisioner init`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.session import Session, settings_files
from provisioner.operations.connection import run
from provisioner.operations.exporting import export
from provisioner.operations.manual import place
from provisioner.operations.starting import NO_APPLICATION, PIPELINES, Started, Wanted, start
from provisioner.render.escape import visible

_NEXT = """
Next steps:
  1. {first}
  2. provisioner --profile {profile} doctor plans
  3. provisioner --profile {profile} plan plans
Without a tenant: provisioner sandbox start --detach, then provisioner --profile sandbox plan plans
"""


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--tenant", metavar="DOMAIN", help="The tenant's initial domain, contoso.onmicrosoft.com, or its GUID.")
@click.option(
    "--owner", metavar="NAME", help="The team that owns the plan, in the mark on the connectors that it creates."
)
@click.option("--client-id", default="", metavar="GUID", help="The application that signs in; it can be added later.")
@click.option("--ci", "pipeline", type=click.Choice(sorted(PIPELINES)), help="Write a pipeline for this service too.")
@click.option("--from-tenant", is_flag=True, help="Start from what the profile's tenant has, as `export` writes it.")
@click.pass_obj
def command(
    session: Session,
    folder: Path,
    tenant: str | None,
    owner: str | None,
    client_id: str,
    pipeline: str | None,
    from_tenant: bool,
) -> None:
    """Create a folder: settings, a plan that changes nothing yet, its schema, .gitignore.

    Existing files are kept. Asks for what is not given, on a terminal.
    """
    tenant = tenant or (session.profile.tenant if from_tenant else "") or _asked(session, "--tenant", "Initial domain")
    owner = owner or _asked(session, "--owner", "Owner of the plan, such as mail-platform/prod")
    plan = run(export(session, owner=owner)).text if from_tenant else ""
    profile = session.chosen or "prod"
    known = not pipeline and profile in settings_files().profile_names(folder)
    done = start(folder, Wanted(tenant, owner, profile, client_id, pipeline or "", plan, settings=not known))
    first = f"The profile {visible(profile)} exists and is used as it is." if known else _registration(done, client_id)
    session.result(_text(done) + _NEXT.format(profile=profile, first=first))


def _asked(session: Session, option: str, question: str) -> str:
    if not session.interactive:
        raise click.UsageError(f"give {option}: without a terminal, or in CI, it cannot be asked for")
    answer: str = click.prompt(question, err=True)
    return answer.strip()


def _text(done: Started) -> str:
    lines = [f"Written: {visible(name)}" for name in done.written]
    return "\n".join([*lines, *(f"Kept as it is: {visible(name)}" for name in done.kept)]) + "\n"


def _registration(done: Started, client_id: str) -> str:
    text = f"Register an application in Entra and give it a role: {place('first-tenant.md')} has the commands."
    if client_id or "provisioner.toml" not in done.written:
        return text
    return f"{text}\n     Put its id into provisioner.toml, where {NO_APPLICATION} stands."
