"""Whether a mailbox can really sign in to send: the one verdict over all the switches that each can forbid it.

The mailbox's own word counts before the organization's, and the two hold for every client. A password needs more: the
user's authentication policy (or the organization's default one) must allow basic authentication for SMTP, Entra's
security defaults must be off. What could not be read is said to be unknown, and blocks nothing. From the end of 2026
an administrator must have turned basic authentication on again, which no documented setting shows (MC786329): that is a
warning, and no date decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from provisioner.mailflow.basic_authentication import BASIC_ENDING
from provisioner.mailflow.picture import declared_in, of_observed, questions_about
from provisioner.model import (
    Answer,
    Cmdlet,
    Desired,
    Observed,
    Request,
    Unknown,
)
from provisioner.model import request_key as key_of
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND
from provisioner.model.picture import ORGANIZATION, Picture, Rejection, SignIn
from provisioner.resources import TYPES
from provisioner.resources.rows import (
    Answers,
    authentication_policy,
    cas_mailbox,
    organization_config,
    recipient,
    rows_of,
    security_defaults,
    transport_config,
    user,
)


@dataclass(frozen=True, slots=True)
class Switches:
    """Everything that can forbid a mailbox to sign in; None for what is not known.

    `mailbox` and `organization` are enabled, disabled or (mailboxes) inherit. `policy` is the name of the
    authentication policy in force, "" for none, `policy_allows` whether it lets passwords in.
    """

    mailbox: str | None
    organization: str | None
    policy: str | None = ""
    policy_allows: bool | None = True
    security_defaults: bool | None = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed` is None where it cannot be told. `blocked_by` names the switch; `unknown` what could not be read.

    `warning` is what no switch shows.
    """

    allowed: bool | None
    blocked_by: str = ""
    sentence: str = "nothing that was looked at forbids it to sign in"
    mend: str = ""
    unknown: tuple[str, ...] = field(default=())
    warning: str = ""


def judge(switches: Switches, authentication: str) -> Verdict:
    """The verdict for a sign-in with "basic" or "oauth": the first switch that forbids it, in order of precedence."""
    unknown = tuple(_unknown(switches, authentication))
    for blocked in (_switched_off(switches), *(_password(switches) if authentication == "basic" else ())):
        if blocked is not None:
            return Verdict(blocked.allowed, blocked.blocked_by, blocked.sentence, blocked.mend, unknown)
    warning = BASIC_ENDING if authentication == "basic" else ""
    return Verdict(None if unknown else True, unknown=unknown, warning=warning)


def _switched_off(switches: Switches) -> Verdict | None:
    if switches.mailbox == "disabled":
        mend = "write enabled for it under smtp_auth, or let a device sign in as it"
        return Verdict(False, "mailbox", "SMTP AUTH is disabled for the mailbox itself", mend)
    if switches.mailbox == "inherit" and switches.organization == "disabled":
        what = "SMTP AUTH is disabled for the organization, and the mailbox makes no exception"
        return Verdict(False, "organization", what, "write enabled for the mailbox; leave the organization disabled")
    return None


def _password(switches: Switches) -> Iterator[Verdict]:
    """What forbids passwords only. Policy and security defaults beat the mailbox's setting."""
    if switches.policy_allows is False:
        what = f'the authentication policy "{switches.policy}" lets no password in for SMTP (AllowBasicAuthSmtp)'
        mend = "give the user a policy that allows it, or let the device sign in with OAuth"
        yield Verdict(False, "authentication_policy", what, mend)
    if switches.security_defaults:
        what = "the security defaults of Entra ID refuse passwords for SMTP"
        yield Verdict(False, "security_defaults", what, "OAuth or SMTP relay; it is not a setting of Exchange")


def _unknown(switches: Switches, authentication: str) -> Iterator[str]:
    if switches.mailbox is None:
        yield "the mailbox's switch"
    if switches.organization is None and switches.mailbox in {None, "inherit"}:
        yield "the organization's switch"
    if authentication == "basic" and switches.policy_allows is None:
        yield "the authentication policy"
    if authentication == "basic" and switches.security_defaults is None:
        yield "the security defaults"


# --- what must be asked ----------------------------------------------------------------------------------------------


def questions(desired: Desired) -> Sequence[Request]:
    """What the rules want to know besides the resources, for the ways in which the plan's devices send."""
    methods = {c.method for c in desired.choices.values()}
    asked: list[Request] = []
    passwords = sorted(_sign_ins(desired, "basic"))
    signing = _sign_ins(desired, "basic", "oauth")
    if signing:
        asked.append(transport_config.REQUEST)
    # Those that a narrower run leaves out: whoever takes something away must know what they have.
    asked += mailbox_questions(sorted(m for m in signing if not declared_in(desired, SignIn, m)))
    if passwords:
        asked += [authentication_policy.REQUEST, security_defaults.REQUEST, *user.look_ups(passwords)]
    if passwords or DIRECT_SEND in methods:
        asked.append(organization_config.REQUEST)
    return asked


def sign_in_questions(mailboxes: Sequence[str], desired: Desired | None = None) -> Sequence[Request]:
    """What has to be known for the verdict on mailboxes, whoever signs in to them and however.

    Those that the plan declares need no look-up of their own where the plan's resources are read anyway.
    """
    own = mailbox_questions([m for m in mailboxes if desired is None or not declared_in(desired, SignIn, m)])
    return [
        *own,
        *user.look_ups(mailboxes),
        transport_config.REQUEST,
        organization_config.REQUEST,
        authentication_policy.REQUEST,
        security_defaults.REQUEST,
    ]


def mailbox_questions(mailboxes: Sequence[str]) -> Sequence[Request]:
    """The look-ups of the mailboxes' own switches."""
    return questions_about(SignIn, mailboxes)


def _sign_ins(desired: Desired, *kinds: str) -> set[str]:
    """The mailboxes that devices sign in to with one of these kinds of authentication."""
    return {
        desired.devices[name].mailbox
        for name, choice in desired.choices.items()
        if choice.method == CLIENT_SUBMISSION and choice.authentication in kinds
    }


# --- what of the answers is kept -------------------------------------------------------------------------------------

_COLUMNS = {
    "Get-TransportConfig": transport_config.COLUMNS,
    "Get-OrganizationConfig": organization_config.COLUMNS,
    "Get-AuthenticationPolicy": authentication_policy.COLUMNS,
    "Get-User": user.OF_POLICY,
    "Get-CASMailbox": cas_mailbox.COLUMNS,
}


def reduce_evidence(evidence: Answers, desired: Desired) -> dict[str, Answer | Unknown]:
    """The same answers to these rules, without what they do not read: other columns, and users that no device is."""
    mailboxes = {d.mailbox for d in desired.devices.values()}
    reduced: dict[str, Answer | Unknown] = dict(evidence)
    for request in questions(desired):
        key = key_of(request)
        answer = evidence.get(key)
        if not isinstance(answer, Answer):
            continue
        rows = answer.rows
        if isinstance(request, Cmdlet):
            columns = _COLUMNS[request.name]
            rows = tuple({n: v for n, v in row.items() if n in columns} for row in rows)
            if request in (user.LISTING, cas_mailbox.LISTING):
                rows = tuple(row for row in rows if recipient.names(row) & mailboxes)
        reduced[key] = Answer(rows)
    return reduced


# --- what the answers say --------------------------------------------------------------------------------------------


def switches_of(mailbox: str, observed: Observed) -> Switches:
    """How everything stands for a mailbox, as far as it was read."""
    return switches_in(of_observed(observed, TYPES, (mailbox,)), mailbox, observed.evidence)


def switches_in(picture: Picture, mailbox: str, evidence: Answers) -> Switches:
    """How everything stands for a mailbox in a picture; what forbids passwords only is in the evidence."""
    asked = (user.look_up(mailbox), user.LISTING)
    policy = user.policy_of(mailbox, [row for request in asked for row in rows_of(evidence, request)])
    if policy == "":  # of the user; the organization's default counts
        config = organization_config.decode(rows_of(evidence, organization_config.REQUEST))
        policy = config.default_authentication_policy
    policies = authentication_policy.decode(rows_of(evidence, authentication_policy.REQUEST))
    return Switches(
        picture.switch(mailbox),
        picture.switch(ORGANIZATION),
        policy,
        authentication_policy.allows_smtp(policy, policies),
        security_defaults.decode(rows_of(evidence, security_defaults.REQUEST)),
    )


def rejects_direct_send(picture: Picture) -> bool | None:
    """The organization's RejectDirectSend; None for not known."""
    return next((rejection.rejects for _, rejection in picture.every(Rejection)), None)
