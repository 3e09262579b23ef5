"""Authentication policies: which protocols take a password from the users that have the policy.

A policy blocks every protocol that it does not name (New-AuthenticationPolicy). Its name cannot be changed, and the
service keeps no comment, so that a policy carries no ownership mark: it is deleted where the plan lists it under
`absent`. Who has a policy is `policy_assignment`.

Source: Learn, "Disable Basic authentication in Exchange Online"; New-/Set-AuthenticationPolicy (2026). That Set fails
with "Object reference not set to an instance of an object" was reported until 2024 (Microsoft365DSC issue 4819).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from provisioner.diagnostics import Severity
from provisioner.model import (
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Links,
    Parameter,
    Query,
    ReadBack,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.names import caseless
from provisioner.model.picture import ORGANIZATION, Contribution, Contributions, PasswordPolicy, Scope
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import answered, as_written, by_name, identifier, known_names, refusal
from provisioner.resources.fields import BOOLEAN, column
from provisioner.resources.rows import authentication_policy as rows
from provisioner.resources.rows import organization_config, user

TYPE = "authentication_policy"
INHERIT, NONE = "inherit", "none"
"""What an assignment says where it names no policy: a mailbox has the default one, and the default is none."""

EVERYBODY = "organization"
"""The organization's default among those that have a policy."""

TENANT_WIDE = "POLICY-TENANT-WIDE"
ABOUT_EVERYONE = Rule(
    TENANT_WIDE,
    Severity.ERROR,
    "apply",
    "An authentication policy would change whether every mailbox may send with a password.",
)

_LONGEST = 64
_PSEUDO = "legacyexchangetokens"
"""No policy: an identity by which Set and Remove switch legacy Exchange tokens (Remove-AuthenticationPolicy)."""


def policy_name(text: str) -> str:
    """The name of a policy as a plan writes it. Raises POLICY-NAME-INVALID."""
    if not text or text != text.strip() or not text.isprintable() or len(text) > _LONGEST:
        hint = f"write 1 to {_LONGEST} printable characters, without spaces around them"
        raise refusal("POLICY-NAME-INVALID", f"{text!r} is not a name for an authentication policy", hint)
    if text.lower() in {INHERIT, NONE, _PSEUDO}:
        what = f'"{text}" has a meaning of its own and cannot be the name of an authentication policy'
        raise refusal("POLICY-NAME-INVALID", what, "choose another name")
    return text


def _protocol(name: str, what: str, **more: Any) -> Any:
    return column(f"AllowBasicAuth{name}", BOOLEAN, f"Accept passwords for {what}; false at creation.", **more)


@dataclass(frozen=True, slots=True)
class AuthenticationPolicy:
    """A policy. Observed only, where it is about to change or go: `holders`, the mailboxes that have it.

    Among `holders`, EVERYBODY stands for all mailboxes without a policy of their own, of which it is the default.
    """

    name: str
    allow_basic_smtp: bool | None = _protocol("Smtp", "SMTP (client submission)", sent=False)
    allow_basic_imap: bool | None = _protocol("Imap", "IMAP", default=False)
    allow_basic_pop: bool | None = _protocol("Pop", "POP", default=False)
    allow_basic_active_sync: bool | None = _protocol("ActiveSync", "Exchange ActiveSync", default=False)
    allow_basic_autodiscover: bool | None = _protocol("Autodiscover", "Autodiscover", default=False)
    allow_basic_mapi: bool | None = _protocol("Mapi", "MAPI over HTTP", default=False)
    allow_basic_offline_address_book: bool | None = _protocol(
        "OfflineAddressBook", "the offline address book", default=False
    )
    allow_basic_outlook_service: bool | None = _protocol("OutlookService", "the Outlook service", default=False)
    allow_basic_powershell: bool | None = _protocol("Powershell", "remote PowerShell", default=False)
    allow_basic_reporting_web_services: bool | None = _protocol(
        "ReportingWebServices", "the reporting web services", default=False
    )
    allow_basic_rpc: bool | None = _protocol("Rpc", "RPC over HTTP", default=False)
    allow_basic_web_services: bool | None = _protocol("WebServices", "Exchange Web Services", default=False)
    holders: frozenset[str] | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    names: frozenset[str] = known_names()


_COLUMNS = rows.COLUMNS | fields.wire_names(AuthenticationPolicy)
_LISTING = Cmdlet(rows.REQUEST.name, columns=_COLUMNS)
_DESCRIPTION = "One authentication policy. What is not written is left as it is, and blocked at creation."


class AuthenticationPolicyType(BaseType):
    """authentication_policy["devices-basic"]. Exchange tells names apart without case, and so do we."""

    name: ClassVar[str] = TYPE
    section: ClassVar[str] = "authentication_policies"
    section_type: ClassVar[Any] = fields.section(
        Annotated[str, AfterValidator(as_written(policy_name))],
        fields.entry(AuthenticationPolicy, "AuthenticationPolicyBody", _DESCRIPTION),
        "Which protocols take a password from the mailboxes that have the policy, by name of the policy.",
        {"devices-basic": {"allow_basic_smtp": True}, "block-basic": {}},
    )
    spec: ClassVar[type[AuthenticationPolicy]] = AuthenticationPolicy
    contributes: ClassVar[tuple[type[Contribution], ...]] = (PasswordPolicy,)
    rules: ClassVar[tuple[Rule, ...]] = (ABOUT_EVERYONE,)

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        """Names that differ in case only have one key, for the caller to refuse."""
        spelling: dict[str, str] = {}
        for name, body in section.items():
            key = spelling.setdefault(caseless(name), name)
            yield Declared(key, fields.declared(AuthenticationPolicy, key, body), (name,))

    def queries(self, wanted: Mapping[str, AuthenticationPolicy | None], everything: bool, /) -> Sequence[Query]:
        """One listing: there are few, and a lookup of an unknown name may return all of them anyway."""
        return (Query(_LISTING, frozenset(wanted)),) if wanted or everything else ()

    def follow_up(
        self,
        wanted: Mapping[str, AuthenticationPolicy | None],
        _everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """Who has a policy that is to go, or to treat passwords for SMTP otherwise than it does."""
        queries = []
        for key, row in _matched(wanted, answers).items():
            if isinstance(row, Unknown) or not _asks(wanted[key], row):
                continue
            queries.append(Query(_users_of(row), frozenset({key})))
            queries.append(Query(organization_config.REQUEST, frozenset({key})))
        return queries

    def decode(
        self, wanted: Mapping[str, AuthenticationPolicy | None], answers: Sequence[tuple[Query, Answer]], /
    ) -> Mapping[str, AuthenticationPolicy | Unknown]:
        """All policies by name; a wanted key keeps its spelling. Raises ValueError for a row without a name."""
        seen: dict[str, AuthenticationPolicy | Unknown] = {}
        keys = {caseless(key): key for key in wanted}
        for form, row in _rows(answers).items():
            if form == _PSEUDO:
                continue
            key = keys.get(form)
            if isinstance(row, Unknown):
                seen[key or form] = row
            else:
                name = key or identifier(row, "Name", "Identity")
                spec = AuthenticationPolicy(name, **fields.decoded(AuthenticationPolicy, row), names=_names(row))
                spec = dataclasses.replace(spec, holders=_holders(row, answers))
                asked = wanted.get(name)
                seen[name] = answered(asked and _declared(asked), spec)
        return seen

    def linked(self, spec: AuthenticationPolicy, _links: Links, /) -> AuthenticationPolicy:
        """Without those that had it: what a rollback brings back was observed."""
        return spec if spec.holders is None else _declared(spec)

    def steps(self, before: AuthenticationPolicy | None, after: AuthenticationPolicy | None, /) -> Sequence[Step]:
        if after is None:
            gone: dict[str, Parameter] = {"Identity": before.name, "Confirm": False} if before else {}
            return (Send(Cmdlet("Remove-AuthenticationPolicy", gone)),) if before else ()
        if before is None:
            values = fields.creation(self.completed(after))
            return (Send(Cmdlet("New-AuthenticationPolicy", {"Name": after.name, **values})),)
        changes = fields.changes(before, after)
        return (Send(Cmdlet("Set-AuthenticationPolicy", {"Identity": before.name, **changes})),) if changes else ()

    def completed(self, spec: AuthenticationPolicy, /) -> AuthenticationPolicy:
        return fields.completed(spec)

    def written_form(self, spec: AuthenticationPolicy, /) -> tuple[tuple[str, ...], Any]:
        return (spec.name,), fields.written_body(spec)

    def contribution(self, spec: AuthenticationPolicy, /) -> Contributions:
        """Whether it lets passwords in for SMTP, for those that have it."""
        names = frozenset(name.lower() for name in spec.names)
        holders = spec.holders
        if holders is not None and EVERYBODY in holders:
            holders = holders - {EVERYBODY} | {ORGANIZATION}
        return (PasswordPolicy(spec.name, spec.allow_basic_smtp, names, holders),)

    def guards(self, before: AuthenticationPolicy | None, after: AuthenticationPolicy | None, /) -> Iterable[Guard]:
        """The default policy of the organization is about every mailbox without one of its own."""
        if before is None or after is None or EVERYBODY not in (before.holders or ()):
            return
        if before.allow_basic_smtp is not after.allow_basic_smtp:
            yield about_everyone(after.name, after.allow_basic_smtp)

    def in_force(self, _wanted: AuthenticationPolicy, _live: AuthenticationPolicy, /) -> str:
        """A policy has its effect through those that have it."""
        return ""

    def read_back(self, spec: AuthenticationPolicy, /) -> ReadBack:
        request = Cmdlet("Get-AuthenticationPolicy", {"Identity": spec.name})
        return ReadBack(request, {"Name": spec.name, **fields.sent(spec, {"allow_basic_smtp"})})


def _declared(spec: AuthenticationPolicy) -> AuthenticationPolicy:
    return dataclasses.replace(spec, holders=None)


def about_everyone(policy: str, allows: bool | None) -> Guard:
    """The danger of a policy that is about every mailbox without one of its own."""
    whose = "every mailbox without an authentication policy of its own"
    if allows is False:
        summary = f'"{policy}" refuses passwords for SMTP, for {whose}'
        return Guard(TENANT_WIDE, summary, "assign a policy that allows SMTP to the mailboxes that still need it first")
    verb = "allows" if allows else "may allow or refuse"
    return Guard(TENANT_WIDE, f'"{policy}" {verb} passwords for SMTP, for {whose}', "assign it to single mailboxes")


def _rows(answers: Sequence[tuple[Query, Answer]]) -> dict[str, Row | Unknown]:
    """The policies of the listing by name, in lower case."""
    listed = (row for query, answer in answers if query.request == _LISTING for row in answer.rows)
    return by_name(listed, caseless, "Name", "Identity")


def _matched(wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]]) -> dict[str, Row | Unknown]:
    found = _rows(answers)
    return {key: found[caseless(key)] for key in wanted if caseless(key) in found}


def _asks(wanted: AuthenticationPolicy | None, row: Row) -> bool:
    """Whether it matters who has a policy."""
    allows = row.get("AllowBasicAuthSmtp")
    return wanted is None or (wanted.allow_basic_smtp is not None and wanted.allow_basic_smtp is not allows)


def _names(row: Row) -> frozenset[str]:
    return frozenset(name for policy in rows.decode([row]) for name in policy.names)


def _users_of(row: Row) -> Cmdlet:
    return user.with_policy(str(row.get("DistinguishedName") or identifier(row, "Name", "Identity")))


def _holders(row: Row, answers: Sequence[tuple[Query, Answer]]) -> Scope | None:
    """The mailboxes that have the policy, EVERYBODY among them; None where that was not asked or told."""
    users = next((a.rows for q, a in answers if q.request == _users_of(row)), None)
    organization = next((a.rows for q, a in answers if q.request == organization_config.REQUEST), ())
    default = organization_config.decode(organization).default_authentication_policy
    if users is None or default is None:
        return None
    everybody = [EVERYBODY] if default.lower() in _names(row) else []
    return frozenset((*map(user.called, map(user.decode, users)), *everybody))
