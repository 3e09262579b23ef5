"""Whether everything that a run needs is in place, and whether the plan's mailboxes can sign in.

Each thing is checked even where another is wrong, as far as that is possible; nothing is changed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner import engine, mailflow, rules
from provisioner.border import make_private
from provisioner.devices import signs_in_as_application
from provisioner.diagnostics import InputError, ProvisionerError, Severity, Untrusted
from provisioner.engine import journal
from provisioner.model import (
    Answer,
    ChangeSet,
    Cmdlet,
    Desired,
    GraphRequest,
    Observed,
    Present,
    Request,
    Resource,
    Unknown,
    request_key,
)
from provisioner.model.devices import CLIENT_SUBMISSION
from provisioner.model.listing import counted
from provisioner.operations.approving import signers_of
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.journals import fetched
from provisioner.operations.loading import EVERYTHING, Loaded, load, load_for_tenant
from provisioner.operations.locks import locks_of
from provisioner.operations.mail_records import Asked, answering
from provisioner.operations.planning import Prepared, plan_prepared
from provisioner.operations.ssh_signatures import check_program
from provisioner.operations.standing import advised, standing
from provisioner.resources import TYPES
from provisioner.resources.rows import (
    accepted_domain,
    authentication_policy,
    organization_config,
    security_defaults,
    transport_config,
)

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `state` is ok, warning or problem."""

    what: str
    state: str
    sentence: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """All checks, and the change set that the plan leads to, where the tenant could be asked."""

    checks: tuple[Check, ...]
    found: ChangeSet | None = None

    @property
    def healthy(self) -> bool:
        return not any(c.state == PROBLEM for c in self.checks)


async def doctor(context: Context, path: Path, tenant: Tenant | None = None) -> Examination:
    """Check the profile, the folder of journal and locks, the plan, the sign-in, reading, DNS, and who can sign in.

    What is wrong is in the checks; nothing is raised for it.
    """
    profile, folder = _profile(context), _state_folder(context.state_folder)
    desired, said = _plan(context, path, load if profile.state == PROBLEM else load_for_tenant)
    checks = (
        [profile, folder, said, *_approvals(context, path)] if profile.state != PROBLEM else [profile, folder, said]
    )
    found = None
    if profile.state != PROBLEM:
        try:
            async with signed_in(context, tenant) as opened:
                more, found = await _tenant(context, path, desired, opened)
                checks += more
        except ProvisionerError as error:
            checks.append(_failed("sign-in", error))
    return Examination(tuple(checks), found)


def _failed(what: str, error: ProvisionerError) -> Check:
    first, *more = error.diagnostics
    place = f"{first.location}: " if first.location else ""
    others = f" (and {len(more)} more)" if more else ""
    return Check(what, PROBLEM, f"{place}{first.summary}{others}", first.hint)


# --- this machine ----------------------------------------------------------------------------------------------------


def _profile(context: Context) -> Check:
    try:
        profile = context.profile
    except InputError as error:
        return _failed("profile", error)
    if profile.tenant is None:
        hint = "describe one in provisioner.toml (provisioner init begins it), and choose it with --profile NAME"
        return Check("profile", PROBLEM, "no profile is chosen, so that no tenant can be reached", hint)
    how = f"{profile.tenant} over {profile.exchange}, signing in by {profile.credential.kind.replace('_', ' ')}"
    places = ", ".join(dict.fromkeys(place.rpartition(":")[0] or place for place in profile.sources.values()))
    return Check("profile", OK, f"{how} (settings: {places})" if places else how)


def _state_folder(folder: Path) -> Check:
    try:
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"{folder} cannot be written to: {error.strerror or error}"
        return Check("journal and locks", PROBLEM, what, "make it writable, or set PROVISIONER_STATE_DIR")
    return Check("journal and locks", OK, f"kept in {folder}")


def _approvals(context: Context, path: Path) -> Iterator[Check]:
    """Whether the approvals that the profile requires could be verified here."""
    wanted = context.profile.approval.require
    if not wanted:
        return
    try:
        check_program()
        signers_of(context, [Path.cwd(), path if path.is_dir() else path.parent])
    except InputError as error:
        yield _failed("approvals", error)
    else:
        yield Check("approvals", OK, f"{wanted} required, by {context.profile.approval.allowed_signers}")


def _plan(context: Context, path: Path, load: Callable[[Context, Path], Loaded]) -> tuple[Desired | None, Check]:
    try:
        loaded = load(context, path)
    except InputError as error:
        return None, _failed("plan", error)
    desired, warnings = loaded.desired, loaded.diagnostics
    told = f"; {counted(len(warnings), 'warning')} (provisioner lint)" if warnings else ""
    counts = f"{counted(len(desired.resources), 'resource')} and {counted(len(desired.devices), 'device')}"
    return desired, Check("plan", WARNING if warnings else OK, f"{path} declares {counts}{told}")


# --- the tenant ------------------------------------------------------------------------------------------------------


async def _tenant(
    context: Context, path: Path, desired: Desired | None, tenant: Tenant
) -> tuple[Sequence[Check], ChangeSet | None]:
    """Everything that takes a connection."""
    identity = tenant.identity
    asked = [*_wanted().values(), *_of_mailboxes(desired)]
    answers = await engine.ask(asked, tenant.ports, reads=context.profile.reads_at_once)
    found = None
    checks = [Check("sign-in", OK, f"{identity.initial_domain} ({identity.tenant_id})")]
    if desired is not None and not identity.is_named(desired.tenant):
        what = f"it is for {desired.tenant}, and the profile signs in to {identity.initial_domain}"
        checks.append(
            Check("plan", PROBLEM, what, "use the profile of the plan's tenant, or correct tenant in the plan")
        )
    elif desired is not None:
        with contextlib.suppress(Untrusted):  # what could be read says so
            found = await plan_prepared(context, Prepared(path, EVERYTHING, desired), tenant)
    checks += _reads(answers)
    checks += _kept(context, identity.tenant_id)
    checks.append(await _dns(context, tenant, desired))
    if desired is not None:
        checks += _sign_ins(desired, answers, found)
    if found is not None:
        checks += _unread(found)
        checks += _findings(found)
        checks += _not_in_force(found)
    return checks, found


def _unread(found: ChangeSet) -> Iterator[Check]:
    """What the plan is about and could not be read, each reason once: Send As rights need a role of their own."""
    reasons: dict[str, str] = {}
    for what, unknown in (*found.unknown.items(), *found.unlisted.items()):
        reasons.setdefault(unknown.reason, str(what))
    for reason, what in reasons.items():
        yield Check(what, PROBLEM, f"could not be read: {reason}")


_REFUSED = frozenset({"DEVICE-CANNOT-SEND", "APPLICATION-CONSENT"})
"""Warnings of a plan, which changes nothing about it, and a problem of the device: its mail is refused for certain."""


def _findings(found: ChangeSet) -> Iterator[Check]:
    """What `plan` reports about the plan on this tenant: the same findings, by rule."""
    for finding in found.findings:
        if finding.waived or finding.severity is Severity.INFO:
            continue
        state = PROBLEM if finding.severity is Severity.ERROR or finding.rule in _REFUSED else WARNING
        named = finding.address is None or str(finding.address) in finding.summary
        about = "" if named else f"{finding.address}: "
        yield Check(finding.rule, state, f"{about}{finding.summary}", finding.hint)


def _for_devices(desired: Desired) -> Desired:
    """The part of a plan that its devices need."""
    return replace(desired, resources={a: r for a, r in desired.resources.items() if r.devices})


def _not_in_force(found: ChangeSet) -> Iterator[Check]:
    """What devices need and the tenant has, but without effect."""
    basis = found.basis
    for resource in _for_devices(basis.desired).resources.values() if basis else ():
        observed = basis.observed if basis else None
        reason = standing(resource, observed)["not_in_force"]
        if reason:
            devices = ", ".join(f"device/{name}" for name in resource.devices)
            sentence = reason if "cannot send" in reason else f"{reason}; it cannot send"
            yield Check(devices, PROBLEM, f"{resource.address}: {sentence}", _to_force(resource, observed))


def _to_force(resource: Resource, observed: Observed | None) -> str:
    """How an object that exists comes into force, as its type says."""
    kind = next(t for t in TYPES if t.name == resource.address.type)
    there = observed.resources.get(resource.address) if observed else None
    live = there.spec if isinstance(there, Present) else None
    return kind.fix(resource.spec, live) or "write enabled: true, or enable it in the admin center"


def _wanted() -> Mapping[str, Request]:
    """What a plan may have to read, by what it is for."""
    return {
        "reading SMTP AUTH": transport_config.REQUEST,
        "reading the organization": organization_config.REQUEST,
        "reading authentication policies": authentication_policy.REQUEST,
        "reading inbound connectors": Cmdlet("Get-InboundConnector"),
        "reading accepted domains": accepted_domain.REQUEST,
        "reading DKIM": Cmdlet("Get-DkimSigningConfig"),
        "reading domains in the directory": GraphRequest("GET", "/domains"),
        "reading security defaults": security_defaults.REQUEST,
    }


def _reads(answers: Mapping[str, Answer | Unknown]) -> Iterator[Check]:
    failed = [(w, a) for w, r in _wanted().items() if isinstance(a := answers[request_key(r)], Unknown)]
    untrusted = [answer for _, answer in failed if answer.kind == Untrusted.kind]
    if untrusted:  # each read of that endpoint fails, for one reason
        yield Check("reading", PROBLEM, untrusted[0].reason)
        failed = [(what, answer) for what, answer in failed if answer.kind != Untrusted.kind]
    for what, answer in failed:
        hint = "give the application the role or permission: docs/settings.md lists them"
        yield Check(what, PROBLEM, answer.reason, hint if answer.kind == "permission" else "")
    if not failed and not untrusted:
        yield Check("reading", OK, "every type of object can be read in Exchange and in the directory")


def _kept(context: Context, tenant_id: str) -> Iterator[Check]:
    """The journal's chain, and who holds the tenant."""
    try:
        path = fetched(context, tenant_id)
        if path.exists():
            verdict = journal.verify(path)
            where = f" in {context.profile.journal}" if context.profile.journal else ""
            what = verdict.faults[0] if verdict.faults else f"{verdict.entries:,} entries{where}, as they were written"
            yield Check(
                "journal", PROBLEM if verdict.faults else OK, what, "list every fault: provisioner history verify"
            )
    except ProvisionerError as error:
        yield _failed("journal", error)
    try:
        locks = locks_of(context.profile, tenant_id, context.state_folder)
        holders = [holder for lock in locks if (holder := lock.status())]
    except ProvisionerError as error:
        yield _failed("locks", error)
        return
    for holder in holders:
        yield Check("locks", WARNING, f"an apply holds the tenant: {holder}", "show it: provisioner lock status")


async def _dns(context: Context, tenant: Tenant, desired: Desired | None) -> Check:
    domains = sorted({a.key for a in desired.resources if a.type == "domain"}) if desired else []
    name = (domains or [tenant.identity.initial_domain])[0]
    reason = await answering(Asked(tenant.ports.resolver, context.clock), name)
    if reason:
        hint = "set name servers that answer: endpoints.dns_servers in the profile"
        return Check("DNS", PROBLEM, f"no proper answer for {name}: {reason}", hint)
    return Check("DNS", OK, f"answers for {name}")


# --- who can sign in -------------------------------------------------------------------------------------------------


def _signing_in(desired: Desired) -> Mapping[str, str]:
    """The mailboxes that devices sign in to, and how: a password where any of them uses one."""
    found: dict[str, str] = {}
    for name, choice in desired.choices.items():
        if choice.method == CLIENT_SUBMISSION and found.get(desired.devices[name].mailbox) != "basic":
            found[desired.devices[name].mailbox] = choice.authentication
    return dict(sorted(found.items()))


def _application(desired: Desired, mailbox: str, authentication: str) -> bool | None:
    """Whether an application signs in to a mailbox, where the plan says the same of all its devices."""
    devices = [d for d in desired.devices.values() if d.mailbox == mailbox]
    found = {signs_in_as_application(device, authentication) for device in devices}
    return found.pop() if len(found) == 1 else None


def _legacy_tls(desired: Desired, mailbox: str) -> bool:
    """Whether a device signs in to a mailbox over TLS 1.0 or 1.1."""
    signing_in = (desired.devices[n] for n, choice in desired.choices.items() if choice.method == CLIENT_SUBMISSION)
    return any(device.legacy_tls and device.mailbox == mailbox for device in signing_in)


def _of_mailboxes(desired: Desired | None) -> Sequence[Request]:
    mailboxes = list(_signing_in(desired)) if desired else []
    return rules.sign_in_questions(mailboxes) if mailboxes else ()


def _sign_ins(desired: Desired, answers: Mapping[str, Answer | Unknown], planned: ChangeSet | None) -> Iterator[Check]:
    """Whether the mailboxes of the devices can sign in. `planned` read them by whichever name they have."""
    seen = planned.basis.observed.resources if planned is not None and planned.basis is not None else {}
    asked = planned.basis.observed.evidence if planned is not None and planned.basis is not None else {}
    observed = Observed(seen, evidence={**asked, **answers})
    for mailbox, authentication in _signing_in(desired).items():
        application = _application(desired, mailbox, authentication)
        legacy_tls = _legacy_tls(desired, mailbox)
        found, then = (
            mailflow.sign_in(observed, mailbox, authentication, changes, application=application, legacy_tls=legacy_tls)
            for changes in ((), planned.pending if planned else ())
        )
        how = "OAuth" if authentication == "oauth" else "a password"
        what = f"{mailbox} with {how}"
        if found.reason == "no_mailbox":
            yield Check(mailbox, PROBLEM, found.sentence, found.hint)
        elif found.reason:
            blocked_by = ", ".join(reason.replace("_", " ") for reason in (found.reason, *found.others))
            yield Check(what, PROBLEM, f"{found.sentence} (blocked by: {blocked_by})", advised(found, then))
        elif found.missing:
            yield Check(what, WARNING, f"not known: {', '.join(found.missing)}")
        elif found.warning:
            hint = "see what each device should move to: provisioner devices report"
            yield Check(what, WARNING, f"no setting blocks its sign-in; {found.warning}", hint)
        else:
            yield Check(what, OK, "no setting blocks its sign-in")
