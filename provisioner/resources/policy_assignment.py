"""Who has which authentication policy: the organization's default, and the mailboxes that have one of their own.

Nothing is created or deleted: a mailbox has a policy or inherits the default. A change takes up to 24 hours to have its
effect, and no read shows when it has it (Learn, "Disable Basic authentication in Exchange Online"). Mailboxes are users
here, and High Volume Email accounts too: they obey authentication policies.

`basic_smtp` is what follows: whether the policy lets passwords in for SMTP. A plan says it with its policies, and
`linked` puts it here, so that a reviewer sees it and the sending picture has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Links,
    Query,
    ReadBack,
    Row,
    Send,
    Step,
    Undeclared,
    Unknown,
    picture,
)
from provisioner.model.names import caseless
from provisioner.model.picture import Contribution, Contributions, PolicyOf
from provisioner.resources import authentication_policy, mailbox_settings
from provisioner.resources.authentication_policy import INHERIT, NONE, AuthenticationPolicy, about_everyone, policy_name
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    Flag,
    RecipientKey,
    domains_of,
    known_names,
    read_only,
    recipient_name,
    refusal,
)
from provisioner.resources.identities import Directory
from provisioner.resources.rows import FEW, organization_config, recipient, user
from provisioner.resources.rows import authentication_policy as policies
from provisioner.resources.rows.recipient import Recipient
from provisioner.resources.rows.user import User

ORGANIZATION = authentication_policy.EVERYBODY
"""The key of the organization's default; the others are addresses of mailboxes."""

_PART = "authentication_policy"
_ALLOWED, _BLOCKED, _UNKNOWN, _INHERITED = "allowed", "blocked", "unknown", "inherited"
_LETS_IN = {True: _ALLOWED, False: _BLOCKED, None: _UNKNOWN}


@dataclass(frozen=True, slots=True)
class PolicyAssignment:
    """`policy` is the name of a policy, `inherit` for a mailbox without one, `none` for no default.

    `basic_smtp` is "allowed", "blocked", "unknown" or "inherited". Observed: the primary address of the mailbox and its
    Guid.
    """

    identity: str
    policy: str | None = None
    basic_smtp: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    mailbox: str | None = read_only()
    names: frozenset[str] = known_names()
    id: str | None = read_only()


def _default(text: str) -> str:
    """Raises POLICY-NAME-INVALID."""
    if text == INHERIT:
        raise refusal(
            "POLICY-NAME-INVALID", "the organization inherits no policy", f"write {NONE} for no default policy"
        )
    return text if text == NONE else policy_name(text)


def _of_mailbox(text: str) -> str:
    """Raises POLICY-NAME-INVALID."""
    if text == NONE:
        what = f"{NONE} is not a policy: a mailbox without one has the organization's default"
        raise refusal("POLICY-NAME-INVALID", what, f"write {INHERIT}")
    return text if text == INHERIT else policy_name(text)


@with_config(ConfigDict(extra="forbid"))
class PolicyAssignments(TypedDict, total=False):
    """Who has which authentication policy."""

    default: Annotated[
        str,
        AfterValidator(_default),
        Field(
            description="The policy of every mailbox without one of its own, or none.", examples=["block-basic", NONE]
        ),
    ]
    exclusive: Annotated[
        Flag,
        Field(description="true: a policy of any mailbox that is not listed here goes back to inherit."),
    ]
    mailboxes: Annotated[
        dict[RecipientKey, Annotated[str, AfterValidator(_of_mailbox)]],
        Field(
            description="By name of the mailbox: its authentication policy, or inherit for the default.",
            examples=[{"erp@contoso.com": "devices-basic", "old-fax@contoso.com": INHERIT}],
        ),
    ]


@with_config(ConfigDict(extra="forbid"))
class AssignmentsSection(TypedDict, total=False):
    """Which mailboxes have which policies."""

    authentication_policy: Annotated[
        PolicyAssignments, Field(description="The authentication policy of the organization, and those of mailboxes.")
    ]


class PolicyAssignmentType(BaseType):
    """authentication_policy_assignment["organization"] and authentication_policy_assignment["erp@contoso.com"]."""

    name: ClassVar[str] = "authentication_policy_assignment"
    section: ClassVar[str] = "assignments"
    section_type: ClassVar[Any] = AssignmentsSection
    spec: ClassVar[type[PolicyAssignment]] = PolicyAssignment
    contributes: ClassVar[tuple[type[Contribution], ...]] = (PolicyOf,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (ORGANIZATION,)

    def declare(self, section: AssignmentsSection, _owner: str, /) -> Iterable[Declared]:
        """A mailbox written in two spellings comes twice with one key, for the caller to refuse."""
        ours = section.get("authentication_policy", {})
        if "default" in ours:
            yield Declared(ORGANIZATION, PolicyAssignment(ORGANIZATION, ours["default"]), (_PART, "default"))
        for address, policy in ours.get("mailboxes", {}).items():
            key = recipient_name(address)
            yield Declared(key, PolicyAssignment(key, policy), (_PART, "mailboxes", address))

    def exclusive(self, section: AssignmentsSection, /) -> bool:
        return section.get("authentication_policy", {}).get("exclusive", False)

    def needs(self, spec: PolicyAssignment, /) -> Sequence[Address]:
        return () if spec.policy in (None, INHERIT, NONE) else (_address(str(spec.policy)),)

    def linked(self, spec: PolicyAssignment, links: Links, /) -> PolicyAssignment:
        """With the policy as the plan spells it, and what it does to passwords."""
        if spec.policy is None:
            return spec
        if spec.policy in (INHERIT, NONE):
            return dataclasses.replace(spec, basic_smtp=_without(spec.policy))
        address = links.spelled(_address(spec.policy))
        policy = links.object(address)
        lets_in = policy.allow_basic_smtp if isinstance(policy, AuthenticationPolicy) else None
        return dataclasses.replace(spec, policy=address.key, basic_smtp=_LETS_IN[lets_in])

    def queries(self, wanted: Mapping[str, PolicyAssignment | None], everything: bool, /) -> Sequence[Query]:
        """The policies, by which every assignment is named; a few users one by one, more of them by one listing."""
        if not wanted and not everything:
            return ()
        asked = [Query(policies.REQUEST, frozenset(wanted))]
        if ORGANIZATION in wanted:
            asked.append(Query(organization_config.REQUEST, frozenset({ORGANIZATION})))
        mailboxes = [key for key in wanted if key != ORGANIZATION]
        if everything or len(mailboxes) > FEW:
            names: dict[str, list[str]] = {}
            for key in mailboxes:
                names.setdefault(_form(key), []).append(key)
            found = [] if everything else user.several(names)
            parts = tuple(Query(request, frozenset(k for name in some for k in names[name])) for some, request in found)
            asked.append(Query(user.listing(names), frozenset(mailboxes), parts=parts))
        else:
            asked += [Query(user.look_up(_form(key)), frozenset({key})) for key in mailboxes]
        return asked

    def follow_up(
        self,
        wanted: Mapping[str, PolicyAssignment | None],
        everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """Whom the names mean that are not primary addresses, and the users whom they mean.

        Of the mailboxes that an exclusive section would take a policy from the other names are asked for too: one of
        them may be declared, ignored or protected.
        """
        seen = _Seen(wanted, answers)
        queries = mailbox_settings.names_of(seen.unmatched, seen.resolved, seen.users, user.by_guid)
        if everything:
            matched = {found.id for found in seen.matched.values() if isinstance(found, User)}
            others = sorted({found.id for found in seen.users.values() if found.authentication_policy} - matched - {""})
            queries += mailbox_settings.other_names(others, seen.unmatched)
        return queries

    def decode(
        self, wanted: Mapping[str, PolicyAssignment | None], answers: Sequence[tuple[Query, Answer]], /
    ) -> Mapping[str, PolicyAssignment | Absent | Unknown]:
        """Wanted assignments by their keys; where all users were listed, the others that have a policy of their own.

        Raises ValueError for a listed user whose policy was not returned.
        """
        seen = _Seen(wanted, answers)
        found: dict[str, PolicyAssignment | Absent | Unknown] = {}
        if ORGANIZATION in wanted and seen.organization is not None:
            found[ORGANIZATION] = seen.default(wanted[ORGANIZATION])
        found.update({key: seen.assignment(key, wanted[key]) for key in (*seen.matched, *seen.unmatched)})
        if seen.listed:
            matched = {one.id for one in seen.matched.values() if isinstance(one, User)}
            for other in seen.users.values():
                if other.authentication_policy is None:
                    raise ValueError(f"the row of {user.called(other)} lacks AuthenticationPolicy")
                if other.authentication_policy and other.id not in matched:
                    found[user.called(other)] = seen.undeclared(other)
        return found

    def undeclared(self, observed: PolicyAssignment, _owner: str, exclusive: bool, /) -> PolicyAssignment | Undeclared:
        if observed.identity == ORGANIZATION or observed.policy in (None, INHERIT) or not exclusive:
            return Undeclared.KEEP
        return dataclasses.replace(observed, policy=INHERIT, basic_smtp=_INHERITED)

    def steps(self, before: PolicyAssignment | None, after: PolicyAssignment | None, /) -> Sequence[Step]:
        if after is None or after.policy is None or (before and before.policy == after.policy):
            return ()
        policy = _on_wire(after.policy)
        if after.identity == ORGANIZATION:
            return (Send(Cmdlet("Set-OrganizationConfig", {"DefaultAuthenticationPolicy": policy})),)
        known = after.id or (before.id if before else None)
        return (Send(Cmdlet("Set-User", {"Identity": known or after.identity, "AuthenticationPolicy": policy})),)

    def written_form(self, spec: PolicyAssignment, /) -> tuple[tuple[str, ...], Any] | None:
        if spec.policy in (None, INHERIT, NONE):
            return None
        path = ("default",) if spec.identity == ORGANIZATION else ("mailboxes", spec.identity)
        return (_PART, *path), spec.policy

    def mail_domains(self, spec: PolicyAssignment, /) -> Collection[str]:
        """That of the mailbox's address."""
        return domains_of(spec.identity)

    def contribution(self, spec: PolicyAssignment, /) -> Contributions:
        """The policy of a mailbox, or the organization's default."""
        if spec.policy is None:
            return ()
        mailbox = picture.ORGANIZATION if spec.identity == ORGANIZATION else spec.identity
        policy = "" if spec.policy in (INHERIT, NONE) else spec.policy
        return (PolicyOf(mailbox, policy, _smtp(spec) if policy else None, spec.names),)

    def guards(self, before: PolicyAssignment | None, after: PolicyAssignment | None, /) -> Iterable[Guard]:
        """The default is about every mailbox without a policy of its own."""
        if after is None or after.identity != ORGANIZATION or after.policy is None:
            return
        was = before is None or before.policy == NONE or _smtp(before)
        will = after.policy == NONE or _smtp(after)
        if was is not will or None in (was, will):
            name = "no default policy" if after.policy == NONE else after.policy
            yield about_everyone(name, will)

    def identity(self, spec: PolicyAssignment, /) -> str:
        """The primary address: a plan may write any name of a mailbox."""
        return spec.mailbox or ""

    def read_back(self, spec: PolicyAssignment, /) -> ReadBack | None:
        if spec.policy is None:
            return None
        if spec.identity == ORGANIZATION:
            shows = {"DefaultAuthenticationPolicy": _on_wire(spec.policy)}
            return ReadBack(Cmdlet("Get-OrganizationConfig"), shows)
        request = Cmdlet("Get-User", {"Identity": spec.id or spec.identity})
        return ReadBack(request, {"AuthenticationPolicy": _on_wire(spec.policy)})

    def in_force(self, _wanted: PolicyAssignment, _live: PolicyAssignment, /) -> str:
        """No read tells when an assignment has its effect."""
        return ""


_form = mailbox_settings.form


def _address(policy: str) -> Address:
    return Address(authentication_policy.TYPE, policy)


def _on_wire(policy: str) -> str | None:
    """Null takes a policy away (Set-User, -AuthenticationPolicy; Set-OrganizationConfig)."""
    return None if policy in (INHERIT, NONE) else policy


def _without(policy: str) -> str:
    """What follows from no policy: a mailbox has the default, and without a default passwords are admitted."""
    return _INHERITED if policy == INHERIT else _ALLOWED


def _smtp(spec: PolicyAssignment) -> bool | None:
    return {_ALLOWED: True, _BLOCKED: False}.get(spec.basic_smtp or "")


class _Seen:
    """The users of the answers, which of them the wanted names mean, and the policies by whatever name they have.

    A primary address means the user that has it. Any other name is resolved by the lookups, where they were made
    already: it may be an alias, a sign-in name, an id or a display name.
    """

    def __init__(self, wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]]) -> None:
        by_cmdlet: dict[str, list[tuple[Cmdlet, Sequence[Row]]]] = {}
        for query, answer in answers:
            if isinstance(query.request, Cmdlet):
                by_cmdlet.setdefault(query.request.name, []).append((query.request, answer.rows))
        asked = by_cmdlet.get(user.LISTING.name, [])
        self.listed = any("Filter" not in request.parameters for request, _ in asked)
        self.users = {one.id: one for _, rows in asked for one in map(user.decode, rows)}
        listing = by_cmdlet.get(policies.REQUEST.name)
        self.policies = None if listing is None else policies.decode(listing[0][1])
        configs = by_cmdlet.get(organization_config.REQUEST.name)
        self.organization = None if configs is None else organization_config.decode(configs[0][1])
        self.directory = Directory(answers)
        covered = {key for query, _ in answers for key in query.covers}
        keys = [key for key in wanted if key != ORGANIZATION and key in covered]
        self.matched: dict[str, User | Unknown] = {}
        self._by_mail: dict[str, list[User]] = {}
        for one in self.users.values():
            self._by_mail.setdefault(one.mail, []).append(one)
        for key in keys:
            if same := self._by_mail.get(_form(key)):
                self.matched[key] = same[0] if len(same) == 1 else _several(key, same)
        parties = {key: self.directory.meant(_form(key)) for key in keys if key not in self.matched}
        self.resolved = {key: party.id for key, party in parties.items() if isinstance(party, Recipient)}
        self.matched.update({key: self.users[one] for key, one in self.resolved.items() if one in self.users})
        self.unmatched = [key for key in keys if key not in self.matched]

    def assignment(self, key: str, wanted: PolicyAssignment | None) -> PolicyAssignment | Absent | Unknown:
        """The assignment of a wanted mailbox."""
        found = self.matched.get(key)
        if found is None:
            return self._unresolved(key)
        if isinstance(found, Unknown):
            return found
        named = self._named(found.authentication_policy, INHERIT, wanted)
        return named if isinstance(named, Unknown) else self._spec(key, found, *named)

    def undeclared(self, found: User) -> PolicyAssignment:
        """The assignment of a mailbox that the plan does not declare, under whatever name its policy has."""
        named = self._named(found.authentication_policy, INHERIT, None)
        if isinstance(named, Unknown):
            named = str(found.authentication_policy), _UNKNOWN
        return self._spec(user.called(found), found, *named)

    def default(self, wanted: PolicyAssignment | None) -> PolicyAssignment | Unknown:
        """The organization's default."""
        policy = self.organization.default_authentication_policy if self.organization else None
        named = self._named(policy, NONE, wanted)
        return named if isinstance(named, Unknown) else PolicyAssignment(ORGANIZATION, *named)

    def _spec(self, key: str, found: User, policy: str, basic_smtp: str) -> PolicyAssignment:
        person = self.directory.recipient(found.id)
        names = found.addresses | (person.own if person else frozenset()) | ({found.id} - {""})
        return PolicyAssignment(key, policy, basic_smtp, user.called(found), names, found.id or None)

    def _named(self, text: str | None, empty: str, wanted: PolicyAssignment | None) -> tuple[str, str] | Unknown:
        """The name of a policy and what it does to passwords, as the plan spells it where it means the same."""
        if text is None:
            return Unknown("the answer lacks the authentication policy", "malformed")
        if not text:
            return empty, _without(empty)
        if self.policies is None:
            return Unknown("the authentication policies of the tenant were not returned", "incomplete")
        found = policies.named(text, self.policies)
        if found is None:
            return Unknown(f'Get-AuthenticationPolicy does not list the policy "{text}" that it has', "incomplete")
        if found.name.lower() in {INHERIT, NONE}:
            fix = "make a policy of another name and assign that"
            return Unknown(f'its authentication policy is called "{found.name}", which means none in a plan: {fix}')
        same = wanted is not None and caseless(wanted.policy or "") == caseless(found.name)
        name = str(wanted.policy) if wanted is not None and same else found.name
        return name, _LETS_IN[found.allows_smtp]

    def _unresolved(self, key: str) -> Absent | Unknown:
        """Why a name means no mailbox, as far as it was looked up."""
        name, party = _form(key), mailbox_settings.meant(key, self.directory)
        if isinstance(party, Absent | Unknown):
            return party
        if isinstance(party, Recipient) and party.type in {recipient.MAILBOX, recipient.MAIL_USER}:
            return Unknown(f"Get-User does not show the user of {name}", "incomplete")
        kind = party.kind if isinstance(party, Recipient) else "an application"
        fix = "write the address of a mailbox"
        return Absent(f"{name} is {kind}, not a mailbox: it cannot have an authentication policy", fix)


def _several(key: str, users: Sequence[User]) -> Unknown:
    called = ", ".join(sorted(one.sign_in or one.id for one in users))
    return Unknown(f"{key} is the address of several users ({called}): write the sign-in name", "ambiguous")
