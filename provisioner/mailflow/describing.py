"""What an object does to mail in a few words, from what it contributes to the sending picture. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.model.listing import listed
from provisioner.model.picture import (
    ANY,
    ORGANIZATION,
    Acceptance,
    Account,
    AddressFilter,
    AppRole,
    Contribution,
    Contributions,
    Doubt,
    Exemption,
    FromAlias,
    HighVolume,
    LegacyTls,
    MailboxRight,
    MailRule,
    OutboundLimit,
    PasswordPolicy,
    PolicyOf,
    Privilege,
    Registration,
    Rejection,
    Relay,
    Restriction,
    Route,
    SendRight,
    Signature,
    SignIn,
)


def described(contributions: Contributions) -> str:
    """A phrase for each contribution. An object that is disabled contributes nothing."""
    return "; ".join(map(_phrase, contributions)) or "without effect on mail"


def _phrase(contribution: Contribution) -> str:
    match contribution:
        case Relay():
            tls = ", TLS not required" if contribution.clear_text else ""
            whose = "" if contribution.associated == ANY else f", for mail of {listed(contribution.associated)}"
            return f"relay to any recipient for {_sources(contribution)}{whose}{tls}"
        case Exemption():
            return f"partner connector for mail of {listed(contribution.domains)} from {_sources(contribution)}"
        case Restriction():
            demand = contribution.demand if contribution.sources == {contribution.demand} else ""
            needed = demand or f"{contribution.demand} {listed(contribution.sources) or 'none'}"
            return f"refuses mail of {listed(contribution.domains)} without {needed}"
        case Privilege():
            return contribution.name if contribution.mail == ANY else f"{contribution.name} {listed(contribution.mail)}"
        case SignIn():
            whose = " for the organization" if contribution.mailbox == ORGANIZATION else ""
            return f"SMTP AUTH {contribution.switch}{whose}"
        case HighVolume():
            state = " without a valid billing policy" if contribution.billing is False else ""
            return f"sends as {contribution.account} through High Volume Email{state}"
        case PasswordPolicy() | PolicyOf():
            return _of_policies(contribution)
        case Route():
            hosts = f" to {listed(contribution.hosts)}" if contribution.hosts else ""
            return f"routes mail for {listed(contribution.mail) or 'no domain'}{hosts}"
        case Signature():
            return "signs mail with DKIM"
        case AddressFilter():
            return _of_filter(contribution)
        case OutboundLimit():
            most = contribution.per_day
            return f"lets a mailbox send to {most:,} recipients a day" if most else "keeps the service's limits"
        case MailRule():
            return " and ".join(_of_rule(contribution)) or "routes its mail"
        case _:
            return _of_preconditions(contribution)


def _of_preconditions(
    contribution: Acceptance
    | Account
    | Rejection
    | LegacyTls
    | FromAlias
    | SendRight
    | Registration
    | MailboxRight
    | AppRole
    | Doubt,
) -> str:
    match contribution:
        case Acceptance():
            return "accepted domain"
        case Account():
            return "mailbox"
        case Rejection():
            return "rejects direct send" if contribution.rejects else "accepts direct send"
        case LegacyTls():
            return f"{'accepts' if contribution.taken else 'refuses'} client submission over TLS 1.0 and 1.1"
        case FromAlias():
            return "keeps aliases in From" if contribution.kept else "may rewrite aliases in From"
        case SendRight():
            return f"{contribution.trustee} may send as {contribution.sender}"
        case Registration():
            return f"the application {contribution.application} is registered"
        case MailboxRight():
            return f"the application {contribution.application} may open {contribution.mailbox}"
        case AppRole():
            whose = [*sorted(contribution.mailboxes), *([contribution.others] if contribution.others else ())]
            return f"the application {contribution.application} has {contribution.role} for {listed(whose)}"
        case Doubt():
            return contribution.reason


def _of_rule(rule: MailRule) -> Iterator[str]:
    if rule.fate:
        yield f"{rule.fate} mail"
    if rule.scl is not None and rule.scl >= 0:
        yield f"sets the SCL of mail to {rule.scl}"
    if rule.tls:
        yield "requires TLS for mail to external recipients"
    if rule.stops:
        yield "ends the processing of rules"


def _of_filter(contribution: AddressFilter) -> str:
    shown = {"does not filter": contribution.spared, "refuses": contribution.refused}
    networks = {verb: listed({n.removesuffix("/32") for n in scope}) for verb, scope in shown.items() if scope}
    return ", ".join(f"{verb} mail from {which}" for verb, which in networks.items()) or "filters mail from any address"


def _of_policies(contribution: PasswordPolicy | PolicyOf) -> str:
    passwords = {True: "passwords for SMTP allowed", False: "passwords for SMTP blocked", None: ""}[contribution.smtp]
    if isinstance(contribution, PasswordPolicy):
        return passwords or "an authentication policy"
    what = f'authentication policy "{contribution.policy}"' if contribution.policy else "no authentication policy"
    return what + (f" ({passwords})" if passwords else "")


def _sources(known: Relay | Exemption) -> str:
    """The networks and the certificate by which a connector knows its senders."""
    certificate = [f"certificate {known.certificate}"] if known.certificate else []
    networks = [listed({network.removesuffix("/32") for network in known.networks})] if known.networks else []
    return " or ".join([*networks, *certificate]) or "no source"
