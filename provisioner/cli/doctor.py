"""`provisioner doctor`: whether everything is there that a run needs, and whether the plan's mailboxes can sign in.

Each thing is looked at even where another is wrong, as far as that goes; nothing is changed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.diagnostics import InputError, ProvisionerError
from provisioner.operations.planning import run, with_tenant
from provisioner.operations.standing import look, standing
from provisioner.operations.state import journal_path, locks_of, state_folder

if TYPE_CHECKING:
    from provisioner.model import Answer, Desired, Observed, Request, Unknown
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `state` is ok, warning or problem."""

    what: str
    state: str
    sentence: str
    mend: str = ""


@click.command("doctor")
@plan_path
@output_format
@click.pass_obj
def command(session: Session, path: Path, format_: str) -> int:
    """Look whether everything is there that a run needs, and whether the plan's mailboxes can sign in.

    The profile, the folder for journal and locks, the plan, the sign-in, what may be read in Exchange and in the
    directory, DNS; and for each mailbox that a device signs in to the one switch that blocks it. Nothing is changed.
    Exit 0 where nothing is wrong (warnings may stand), 1 otherwise.
    """
    session.format = format_
    found = list(_all(session, path))
    if format_ == "json":
        session.result(json.dumps({"checks": [asdict(c) for c in found]}, indent=1, ensure_ascii=False) + "\n")
    else:
        session.result("".join(f"{line}\n" for check in found for line in _lines(check)))
    return 1 if any(c.state == PROBLEM for c in found) else 0


def _lines(check: Check) -> Iterator[str]:
    from provisioner.render.escape import visible

    yield visible(f"{check.state:<8} {check.what}: {check.sentence}")
    if check.mend and check.state != OK:
        yield visible(f"         {check.mend}")


def _all(session: Session, path: Path) -> Iterator[Check]:
    profile = _profile(session)
    yield profile
    yield _state_folder()
    desired, said = _plan(session, path)
    yield said
    if profile.state != PROBLEM:
        yield from _tenant(session, desired)


def _failed(what: str, error: ProvisionerError) -> Check:
    first, *more = error.diagnostics
    place = f"{first.location}: " if first.location else ""
    others = f" (and {len(more)} more)" if more else ""
    return Check(what, PROBLEM, f"{place}{first.summary}{others}", first.mend)


# --- this machine ----------------------------------------------------------------------------------------------------


def _profile(session: Session) -> Check:
    try:
        profile = session.profile
    except InputError as error:
        return _failed("profile", error)
    if profile.tenant is None:
        mend = "name one with --profile, in provisioner.toml, or in PROVISIONER_TENANT and its like"
        return Check("profile", PROBLEM, "no profile says how to reach a tenant", mend)
    how = f"{profile.tenant} over {profile.exchange}, signing in by {profile.credential.kind.replace('_', ' ')}"
    return Check("profile", OK, how)


def _state_folder() -> Check:
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"{folder} cannot be written to: {error.strerror or error}"
        return Check("journal and locks", PROBLEM, what, "make it writable, or set PROVISIONER_STATE_DIR")
    return Check("journal and locks", OK, f"kept in {folder}")


def _plan(session: Session, path: Path) -> tuple[Desired | None, Check]:
    from provisioner.plan import document
    from provisioner.resources import TYPES

    try:
        desired, warnings = document.load(
            path, TYPES, today=session.today(), variables=session.variables, border=session.border
        )
    except InputError as error:
        return None, _failed("plan", error)
    told = f", {len(warnings)} warnings (provisioner lint)" if warnings else ""
    counts = f"{len(desired.resources)} resources, {len(desired.devices)} devices"
    return desired, Check("plan", WARNING if warnings else OK, f"{path} declares {counts}{told}")


# --- the tenant ------------------------------------------------------------------------------------------------------


def _tenant(session: Session, desired: Desired | None) -> Iterator[Check]:
    """Everything that takes a connection. What fails before anybody is known ends it."""

    async def work(
        ports: Ports, identity: TenantIdentity
    ) -> tuple[TenantIdentity, Mapping[str, Answer | Unknown], Observed | None]:
        from provisioner import engine

        asked = [*_wanted().values(), *_of_mailboxes(desired)]
        answers = await engine.ask(asked, ports, reads=session.profile.reads_at_once)
        part = _for_devices(desired) if desired and identity.is_named(desired.tenant) else None
        return identity, answers, await look(part, ports, identity) if part else None

    try:
        identity, answers, observed = run(with_tenant(session, work))
    except ProvisionerError as error:
        yield _failed("sign-in", error)
        return
    yield Check("sign-in", OK, f"{identity.initial_domain} ({identity.tenant_id})")
    if desired is not None and not identity.is_named(desired.tenant):
        what = f"it is for {desired.tenant}, and the profile signs in to {identity.initial_domain}"
        yield Check("plan", PROBLEM, what, "use the profile of the plan's tenant, or correct tenant in the plan")
    yield from _reads(answers)
    yield from _kept(session, identity.tenant_id)
    yield _dns(session, desired, identity)
    if desired is not None:
        yield from _sign_ins(desired, answers)
        yield from _not_in_force(desired, observed)


def _for_devices(desired: Desired) -> Desired:
    """The part of a plan that its devices need."""
    return replace(desired, resources={a: r for a, r in desired.resources.items() if r.devices})


def _not_in_force(desired: Desired, observed: Observed | None) -> Iterator[Check]:
    """What devices need and the tenant has, but without effect."""
    for resource in _for_devices(desired).resources.values() if observed else ():
        reason = standing(resource, observed)["not_in_force"]
        if reason:
            devices = ", ".join(f"device/{name}" for name in resource.devices)
            sentence = f"{resource.address}: {reason}; it cannot send"
            yield Check(devices, PROBLEM, sentence, "write enabled: true, or enable it in the admin center")


def _wanted() -> Mapping[str, Request]:
    """What a plan may have to read, by what it is for."""
    from provisioner.mailflow import verdict
    from provisioner.model import Cmdlet, GraphRequest

    return {
        "reading SMTP AUTH": verdict.TRANSPORT,
        "reading the organization": verdict.ORGANIZATION_CONFIG,
        "reading authentication policies": verdict.POLICIES,
        "reading inbound connectors": Cmdlet("Get-InboundConnector"),
        "reading accepted domains": Cmdlet("Get-AcceptedDomain"),
        "reading DKIM": Cmdlet("Get-DkimSigningConfig"),
        "reading domains in the directory": GraphRequest("GET", "/domains"),
        "reading security defaults": verdict.SECURITY_DEFAULTS,
    }


def _reads(answers: Mapping[str, Answer | Unknown]) -> Iterator[Check]:
    from provisioner.model import Unknown, request_key

    failed = [(w, a) for w, r in _wanted().items() if isinstance(a := answers[request_key(r)], Unknown)]
    for what, answer in failed:
        mend = "docs/settings.md lists the roles and permissions"
        yield Check(what, PROBLEM, answer.reason, mend if answer.kind == "permission" else "")
    if not failed:
        yield Check("reading", OK, "Exchange and the directory show everything that plans can be about")


def _kept(session: Session, tenant_id: str) -> Iterator[Check]:
    """The journal's chain, and who holds the tenant."""
    from provisioner.engine import journal

    path = journal_path(tenant_id)
    if path.exists():
        verdict = journal.verify(path)
        what = verdict.faults[0] if verdict.faults else f"{verdict.entries} entries, unbroken"
        yield Check("journal", PROBLEM if verdict.faults else OK, what, "provisioner history verify")
    try:
        holders = [holder for lock in locks_of(session.profile, tenant_id) if (holder := lock.status())]
    except ProvisionerError as error:
        yield _failed("locks", error)
        return
    for holder in holders:
        yield Check("locks", WARNING, f"an apply holds the tenant: {holder}", "provisioner lock status")


def _dns(session: Session, desired: Desired | None, identity: TenantIdentity) -> Check:
    from provisioner.operations.mail_records import answering, asking

    domains = sorted({a.key for a in desired.resources if a.type == "domain"}) if desired else []
    name = (domains or [identity.initial_domain])[0]
    reason = run(answering(asking(session), name))
    if reason:
        mend = "name servers that answer: endpoints.dns_servers in the profile"
        return Check("DNS", PROBLEM, f"no proper answer for {name}: {reason}", mend)
    return Check("DNS", OK, f"answers for {name}")


# --- who can sign in -------------------------------------------------------------------------------------------------


def _signing_in(desired: Desired) -> Mapping[str, str]:
    """The mailboxes that devices sign in to, and how: a password where any of them uses one."""
    from provisioner.model.devices import CLIENT_SUBMISSION

    found: dict[str, str] = {}
    for name, choice in desired.choices.items():
        if choice.method == CLIENT_SUBMISSION and found.get(desired.devices[name].mailbox) != "basic":
            found[desired.devices[name].mailbox] = choice.authentication
    return dict(sorted(found.items()))


def _of_mailboxes(desired: Desired | None) -> Sequence[Request]:
    from provisioner import rules

    mailboxes = list(_signing_in(desired)) if desired else []
    return rules.sign_in_questions(mailboxes) if mailboxes else ()


def _sign_ins(desired: Desired, answers: Mapping[str, Answer | Unknown]) -> Iterator[Check]:
    from provisioner import rules
    from provisioner.model import Answer, Observed, request_key

    observed = Observed({}, evidence=answers)
    for mailbox, authentication in _signing_in(desired).items():
        (own,) = rules.mailbox_questions([mailbox])
        there = answers.get(request_key(own))
        if isinstance(there, Answer) and not there.rows:
            mend = "create and license it, or correct mailbox in the device"
            yield Check(mailbox, PROBLEM, "the tenant has no such mailbox", mend)
            continue
        verdict = rules.judge(rules.switches_of(mailbox, observed), authentication)
        how = "OAuth" if authentication == "oauth" else "a password"
        what = f"{mailbox} with {how}"
        if verdict.blocked_by:
            sentence = f"{verdict.sentence} (blocked by: {verdict.blocked_by.replace('_', ' ')})"
            yield Check(what, PROBLEM, sentence, verdict.mend)
        elif verdict.unknown:
            yield Check(what, WARNING, f"not known: {', '.join(verdict.unknown)}")
        elif verdict.warning:
            mend = "what each device should move to: provisioner devices report"
            yield Check(what, WARNING, f"no switch forbids it to sign in; {verdict.warning}", mend)
        else:
            yield Check(what, OK, "no switch forbids it to sign in")
