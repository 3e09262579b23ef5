"""What has to be read for the decisions about a plan's devices besides the plan's own objects, and what of it is kept.

Nothing is asked that no device makes necessary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from provisioner.mailflow import outbound_policies
from provisioner.mailflow.picture import contributions, declared_in, is_outbound_connector, is_silenced, questions_about
from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Desired,
    Observed,
    Present,
    Request,
    Resource,
    ResourceType,
    Undeclared,
    Unknown,
    overlay,
    request_key,
)
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY, Choice, Device
from provisioner.model.picture import (
    Acceptance,
    Account,
    Contribution,
    HighVolume,
    PasswordPolicy,
    Relay,
    SignIn,
)
from provisioner.resources import TYPES
from provisioner.resources.rows import (
    accepted_domain,
    access_policy,
    allow_block_list,
    authentication_policy,
    cas_mailbox,
    connection_filter,
    external_limit,
    ipv6_status,
    membership,
    organization_config,
    outbound_connector,
    recipient,
    role_assignment,
    rows_of,
    security_defaults,
    transport_config,
    transport_rule,
    user,
)

_OF_MAIL = frozenset({CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY})
"""The methods by which a device hands mail to Exchange, on which transport rules act."""

_OF_PASSWORDS: Sequence[Request] = (authentication_policy.REQUEST, security_defaults.REQUEST, access_policy.REQUEST)


def questions(desired: Desired) -> Sequence[Request]:
    """What the rules want to know besides the resources, for the ways in which the plan's devices send."""
    methods = {c.method for c in desired.choices.values()}
    asked: list[Request] = []
    passwords = sorted(_sign_ins(desired, "basic") | _accounts(desired))
    signing = _sign_ins(desired, "basic", "oauth")
    needed = _needed_undeclared(desired)
    if signing:
        asked.append(transport_config.REQUEST)
    # Those that a narrower run leaves out: anyone who takes something away must know what they have.
    asked += mailbox_questions(sorted(m for m in signing if not declared_in(desired, SignIn, m)))
    if passwords:
        asked += _OF_PASSWORDS
    elif PasswordPolicy in needed:
        asked.append(authentication_policy.REQUEST)
    if users := sorted({*passwords, *_of_applications(desired)}):
        asked += user.look_ups(users)
    if passwords or DIRECT_SEND in methods or _in_other_names(desired):
        asked.append(organization_config.REQUEST)
    if methods & {SMTP_RELAY, DIRECT_SEND}:
        asked.append(connection_filter.REQUEST)
    if _acted_on(desired):
        asked.append(transport_rule.REQUEST)
    if _within_the_tenant(desired):
        asked.append(allow_block_list.REQUEST)
    if Acceptance in needed:
        asked.append(accepted_domain.REQUEST)
    asked += [ipv6_status.look_up(domain) for domain in reached_by_address(desired)]
    if counted_outside(desired):
        asked.append(external_limit.REQUEST)
    if counted_by_mailbox(desired):
        asked += outbound_policies.QUESTIONS
    return [*asked, *_of_traffic(desired)]


def counted_outside(desired: Desired) -> Sequence[Device]:
    """The devices with a volume that the tenant's limit of external recipients counts: relayed or signed in."""
    counted = {name for name, c in desired.choices.items() if c.method in {CLIENT_SUBMISSION, SMTP_RELAY}}
    senders = (device for name, device in desired.devices.items() if name in counted)
    return [device for device in senders if device.recipients == "anyone" and device.recipients_per_day]


def counted_by_mailbox(desired: Desired) -> Mapping[str, Sequence[Device]]:
    """The devices with a volume by the mailbox that they sign in to, whose outbound spam policy counts their mail."""
    found: dict[str, list[Device]] = {}
    signing = {name for name, choice in desired.choices.items() if choice.method == CLIENT_SUBMISSION}
    for device in desired.devices.values():
        if device.name in signing and device.recipients_per_day:
            found.setdefault(device.mailbox, []).append(device)
    return found


def relays_by_address(desired: Desired, types: Sequence[ResourceType[Any]] = TYPES) -> Sequence[Resource]:
    """The declared objects that let senders relay by their addresses, those that devices need included."""
    by_name = {t.name: t for t in types if Relay in t.contributes}
    declared = [r for a, r in desired.resources.items() if a.type in by_name]
    return [r for r in declared if any(map(_by_address, contributions(by_name[r.address.type], r.spec)))]


def _by_address(contribution: Contribution) -> bool:
    return isinstance(contribution, Relay) and bool(contribution.networks) and not contribution.certificate


def reached_by_address(desired: Desired, types: Sequence[ResourceType[Any]] = TYPES) -> Sequence[str]:
    """The domains whose MX endpoint those senders connect to: the From domains of devices, else the declared ones.

    A plan that lets nobody relay by address needs none of them, and more than a few are not asked about.
    """
    if not relays_by_address(desired, types):
        return ()
    relaying = [d for name, d in desired.devices.items() if _relays(desired.choices.get(name))]
    domains = {domain for device in relaying if not device.certificate for domain in device.domains}
    if not relaying:
        accepting = {t.name for t in types if Acceptance in t.contributes}
        domains = {address.key for address in desired.resources if address.type in accepting}
    return sorted(domains)[: ipv6_status.MOST]


def _relays(choice: Choice | None) -> bool:
    return choice is not None and choice.method == SMTP_RELAY


def _of_traffic(desired: Desired) -> Sequence[Request]:
    """What the decisions about observed mail rest on, besides connectors and accepted domains, which are listed."""
    if not desired.traffic:
        return ()
    return [
        *sign_in_questions(sorted(_signing_in(desired)), desired),
        transport_config.REQUEST,
        organization_config.REQUEST,
        connection_filter.REQUEST,
    ]


def _signing_in(desired: Desired, *kinds: str) -> set[str]:
    """The mailboxes that were observed to sign in, with these kinds of authentication or with any."""
    return {t.mailbox for t in desired.traffic if t.mailbox and (not kinds or t.authentication in kinds)}


def further_questions(desired: Desired, observed: Observed) -> Sequence[Request]:
    """What the first answers make necessary for the devices that sign in with a password, or as an application.

    The user of a mailbox that is written by another name than its primary address; where a Conditional Access policy
    includes or spares groups or roles, the groups of each user, and who holds a role.
    """
    mailboxes = {*_sign_ins(desired, "basic"), *_of_applications(desired), *_signing_in(desired, "basic", "any")}
    accounts = [a for m in sorted(mailboxes) for a in _users_of(m, observed) if a.sign_in or a.user_id]
    ids = dict.fromkeys((*(a.user_id for a in accounts if a.user_id), *sorted(_users_of_accounts(desired, observed))))
    rows = [row for m in mailboxes for row in rows_of(observed.evidence, user.look_up(m))]
    rows += rows_of(observed.evidence, user.LISTING)
    known = {name for row in rows for name in user.decode(row).addresses}
    asked: list[Request] = [outbound_connector.REQUEST] if _routes(desired, observed) else []
    if not _acted_on(desired) and _may_end_routes(desired, observed):
        asked.append(transport_rule.REQUEST)
    if mailboxes and request_key(user.LISTING) not in observed.evidence:
        asked += [user.look_up(a.sign_in) for a in accounts if a.sign_in and a.sign_in not in known]
    policies = access_policy.decode(rows_of(observed.evidence, access_policy.REQUEST))
    roles = any(p.roles or p.spared_roles for p in policies)
    if (roles or any(p.groups or p.spared_groups for p in policies)) and len(ids) <= membership.MOST:
        asked += map(membership.look_up, ids)
    if roles and ids:
        asked.append(role_assignment.REQUEST)
    return asked


def _in_other_names(desired: Desired) -> bool:
    """Whether a device that signs in writes another From than its mailbox: that may be an alias."""
    signing = {name for name, choice in desired.choices.items() if choice.method == CLIENT_SUBMISSION}
    return any(set(device.addresses) - {device.mailbox} for n, device in desired.devices.items() if n in signing)


def _routes(desired: Desired, observed: Observed) -> bool:
    """Whether a transport rule may give mail of the plan's devices to an outbound connector."""
    rules = rows_of(observed.evidence, transport_rule.REQUEST) if desired.devices else ()
    return any(row.get(transport_rule.CONNECTOR) for row in rules)


def _acted_on(desired: Desired) -> bool:
    """Whether transport rules act on mail of the plan's devices."""
    return any(choice.method in _OF_MAIL for choice in desired.choices.values())


def _may_end_routes(desired: Desired, observed: Observed) -> bool:
    """Whether the plan may delete or disable an outbound connector: transport rules may name it."""
    kinds = {t.name: t for t in TYPES if is_outbound_connector(t)}
    present = {a: o.spec for a, o in observed.resources.items() if isinstance(o, Present)}
    seen = [(kinds[a.type], a, s) for a, s in {**observed.undeclared, **present}.items() if a.type in kinds]
    left = ((kind, live, _left_of(kind, address, live, desired)) for kind, address, live in seen)
    return any(goal is None or is_silenced(kind, live, goal) for kind, live, goal in left)


def _left_of(kind: ResourceType[Any], address: Address, live: Any, desired: Desired) -> Any | None:
    """An object as the plan would leave it; None for one that it would delete."""
    if address in desired.resources:
        return overlay(desired.resources[address].spec, live)
    gone = kind.undeclared(live, desired.owner, kind.name in desired.exclusive) is Undeclared.DELETE
    return None if gone or address in desired.absent else live


def _principals(desired: Desired, observed: Observed) -> frozenset[str]:
    """The ids of the users that the plan's devices sign in as, and of their groups."""
    mailboxes = {*_sign_ins(desired, "basic"), *_of_applications(desired)}
    ids = {account.user_id for mailbox in mailboxes for account in _users_of(mailbox, observed)} - {""}
    ids |= _users_of_accounts(desired, observed)
    groups = (membership.decode(rows_of(observed.evidence, membership.look_up(name))) for name in ids)
    return frozenset(ids).union(*groups)


def _users_of(mailbox: str, observed: Observed) -> Iterator[Account]:
    """The user of a mailbox, where it was read."""
    for kind in (t for t in TYPES if Account in t.contributes):
        there = observed.resources.get(Address(kind.name, mailbox))
        if isinstance(there, Present):
            yield from (c for c in kind.contribution(there.spec) if isinstance(c, Account))


def _users_of_accounts(desired: Desired, observed: Observed) -> set[str]:
    """The ids of the users of High Volume Email accounts that a password opens, where they were read."""
    seen = {a: o.spec for a, o in observed.resources.items() if isinstance(o, Present)}
    words = (c for t in TYPES if HighVolume in t.contributes for a, spec in seen.items() if a.type == t.name
             for c in t.contribution(spec))  # fmt: skip
    accounts = _accounts(desired)
    return {c.user_id for c in words if isinstance(c, HighVolume) and c.account in accounts and c.user_id}


def _needed_undeclared(desired: Desired) -> Collection[type[Contribution]]:
    """What objects contribute that something declared needs and that the plan does not declare, in words.

    A domain must be an accepted one, an authentication policy must exist.
    """
    types = {t.name: t for t in TYPES}
    declared = ((types[a.type], r.spec) for a, r in desired.resources.items() if a.type in types)
    needs = {need for kind, spec in declared for need in kind.needs(spec)} - desired.resources.keys()
    return {word for need in needs if need.type in types for word in types[need.type].contributes}


def _within_the_tenant(desired: Desired) -> bool:
    """Whether a device that can send has recipients of the tenant."""
    can_send = {name for name, choice in desired.choices.items() if choice.method is not None}
    return any(d.recipients == "organization" for d in desired.devices.values() if d.name in can_send)


def sign_in_questions(mailboxes: Sequence[str], desired: Desired | None = None) -> Sequence[Request]:
    """What has to be known for the decision about mailboxes, for every identity and kind of sign-in.

    Those that the plan declares need no lookup of their own where the plan's resources are read anyway.
    """
    own = mailbox_questions([m for m in mailboxes if desired is None or not declared_in(desired, SignIn, m)])
    accounts = [m for m in mailboxes if desired is None or not declared_in(desired, Account, m)]
    return [
        *own,
        *questions_about(Account, accounts),
        *user.look_ups(mailboxes),
        transport_config.REQUEST,
        organization_config.REQUEST,
        *_OF_PASSWORDS,
    ]


def mailbox_questions(mailboxes: Sequence[str]) -> Sequence[Request]:
    """The lookups of the mailboxes' own switches."""
    return questions_about(SignIn, mailboxes)


def _sign_ins(desired: Desired, *kinds: str) -> set[str]:
    """The mailboxes that devices sign in to with one of these kinds of authentication."""
    return {
        desired.devices[name].mailbox
        for name, choice in desired.choices.items()
        if choice.method == CLIENT_SUBMISSION and choice.authentication in kinds
    }


def _accounts(desired: Desired) -> set[str]:
    """The High Volume Email accounts that a password opens."""
    return {
        desired.devices[name].account
        for name, choice in desired.choices.items()
        if choice.method == HIGH_VOLUME_EMAIL and choice.authentication == "basic"
    }


def _of_applications(desired: Desired) -> set[str]:
    """The mailboxes that applications sign in to: of which kind each is decides whether it needs a licence."""
    signing = _sign_ins(desired, "oauth")
    return {d.mailbox for d in desired.devices.values() if d.oauth == "application" and d.mailbox in signing}


# --- what of the answers is kept -------------------------------------------------------------------------------------


def reduce_evidence(observed: Observed, desired: Desired) -> dict[str, Answer | Unknown]:
    """The same answers to these rules, without what they do not read: other columns, and users that no device is."""
    evidence = observed.evidence
    mailboxes = {name for d in desired.devices.values() for name in (d.mailbox, d.account)} | _signing_in(desired)
    reduced: dict[str, Answer | Unknown] = dict(evidence)
    for request in (*questions(desired), *further_questions(desired, observed)):
        key = request_key(request)
        answer = evidence.get(key)
        if not isinstance(answer, Answer):
            continue
        rows = answer.rows
        if request == role_assignment.REQUEST:
            rows = role_assignment.of(rows, _principals(desired, observed))
        if request == access_policy.REQUEST:
            rows = tuple({n: v for n, v in row.items() if n in access_policy.COLUMNS} for row in rows)
        if isinstance(request, Cmdlet):
            columns = user.OF_POLICY if request.name == user.LISTING.name else request.columns or ()
            rows = tuple({n: v for n, v in row.items() if n in columns} for row in rows)
            if request == transport_rule.REQUEST:
                rows = tuple(row for row in rows if transport_rule.matters(row))
            if request in (user.LISTING, cas_mailbox.LISTING):
                rows = tuple(row for row in rows if recipient.names(row) & mailboxes)
        reduced[key] = Answer(rows)
    return reduced
