"""What becomes of From and of the recipient by settings of the organization and of its accepted domains. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.mailflow.attempt import Attempt, Decision, Refusal, refused
from provisioner.model.listing import listed
from provisioner.model.picture import Acceptance, FromAlias, Picture, SignIn, holds

FROM_REWRITTEN, OUTBOUND_ONLY, RECIPIENT_BLOCKED = "from_rewritten", "recipient_outbound_only", "recipient_blocked"
_ON_PREMISES = "whether the tenant takes mail to a domain with OutboundOnly"
NOT_SOURCED = frozenset({_ON_PREMISES})
"""What no source says about a recipient whose domain is known."""

KEEP_ALIASES = "write organization: { send_from_alias_enabled: true }, or give the device a mailbox of its own"


def of_alias(picture: Picture, attempt: Attempt, path: str) -> Iterator[Decision]:
    """Mail of a mailbox in the name of its alias: no source describes a refusal.

    Whether the alias arrives is open where SendFromAliasEnabled is not on: the cmdlet's page says that aliases are
    rewritten to the primary address, the Exchange Team that SMTP AUTH never did so ("Sending From Email Aliases").
    """
    if attempt.hve or attempt.sender in {"", attempt.mailbox}:
        return
    own = [s.addresses for _, s in picture.every(SignIn) if s.mailbox == attempt.mailbox]
    if any(f.kept for _, f in picture.every(FromAlias)):
        return
    if not own and SignIn in picture.unread:
        yield Decision(True, path, possible=(FROM_REWRITTEN,))
    if not any(attempt.sender in names for names in own):
        return
    warning = (
        f"whether {attempt.sender} stays in From, or {attempt.mailbox} takes its place, is not certain: "
        "SendFromAliasEnabled is not enabled, and two pages of Microsoft contradict each other about SMTP AUTH"
    )
    yield Decision(True, path, possible=(FROM_REWRITTEN,), warning=warning)


def of_recipient(picture: Picture, attempt: Attempt, path: str) -> Iterator[Decision]:
    """Mail to a domain of the tenant that takes none, or perhaps none.

    "Email sent to recipients in the domain is blocked" (Set-AcceptedDomain, -SendingToDomainDisabled). OutboundOnly
    marks a domain of systems on premises; whether mail to it is taken, its page does not say.
    """
    if attempt.external:
        return
    known = _domain_of(picture, attempt.recipient_domain)
    if known is None and attempt.recipient_domain:
        if Acceptance in picture.unread and not picture.lacks(Acceptance, attempt.recipient_domain):
            missing = f"whether mail to {attempt.recipient_domain} is taken"
            yield Decision(None, path, missing=(missing,), possible=(RECIPIENT_BLOCKED, OUTBOUND_ONLY))
        return
    domains = [known] if known else [acceptance for _, acceptance in picture.every(Acceptance)]
    blocked = sorted(d.domain for d in domains if d.receiving is False)
    outbound = sorted(d.domain for d in domains if d.outbound_only)
    if blocked and (known or len(blocked) == len(domains)):
        what = f"mail to recipients in {listed(blocked)} is blocked (SendingToDomainDisabled)"
        fix = f"Set-AcceptedDomain -Identity {blocked[0]} -SendingToDomainDisabled $false, or write to another domain"
        yield refused(path, [Refusal(RECIPIENT_BLOCKED, "", what, hint=fix)])
    elif blocked:
        mind = f"mail to recipients in {listed(blocked)} is blocked (SendingToDomainDisabled)"
        yield Decision(True, path, possible=(RECIPIENT_BLOCKED,), warning=mind)
    if outbound and known:
        what = f"{known.domain} is a domain of systems on premises (OutboundOnly)"
        yield Decision(None, path, (), OUTBOUND_ONLY, "", what, (_ON_PREMISES,))
    elif outbound:
        mind = f"whether mail to recipients in {listed(outbound)} is taken is not certain (OutboundOnly)"
        yield Decision(True, path, possible=(OUTBOUND_ONLY,), warning=mind)


def _domain_of(picture: Picture, domain: str) -> Acceptance | None:
    """The accepted domain that takes mail for a domain: itself, or the nearest above it with MatchSubDomains."""
    known = [acceptance for _, acceptance in picture.every(Acceptance)]
    above = [a for a in known if a.subdomains and holds(frozenset({f"*.{a.domain}"}), domain)]
    exact = [a for a in known if a.domain == domain]
    return next(iter([*exact, *sorted(above, key=lambda a: -len(a.domain))]), None)
