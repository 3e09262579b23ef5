"""Accounts of High Volume Email (HVE): mail users that send much mail within the organization, at a host of their own.

An account is made with a password that nothing gives back, and cannot send until a billing policy is assigned to it.
Which applications may sign in as it is a list of its own. Sources: the pages of New-MailUser, Set-HVEAccountSettings,
Add-HVEAppAccess and Get-HVEAccountBillingPolicy (2026); Learn, "Manage high volume emails for Microsoft 365".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Declared,
    GraphRequest,
    Guard,
    Parameter,
    Query,
    ReadBack,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.picture import Contribution, Contributions, HighVolume
from provisioner.resources import fields, identities
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    EmailKey,
    answered,
    domains_of,
    email_address,
    guid,
    is_guid,
    known_names,
    lenient,
    only,
    prose,
    read_only,
    refusal,
    text_of,
    texts,
)
from provisioner.resources.fields import REFERENCE, Text, Texts, column
from provisioner.resources.identities import Directory
from provisioner.resources.rows import enterprise_application, hve_account, recipient
from provisioner.resources.rows.recipient import Recipient

MOST_APPLICATIONS = 10
"""Allowed applications of one account (Add-HVEAppAccess)."""


def _id(text: str) -> str:
    """A GUID in lower case. Raises ID-INVALID."""
    if not is_guid(text):
        hint = "write an id, as 6f0a3c1e-0000-4000-8000-000000000001 (Get-BillingPolicy -ResourceType HVE)"
        raise refusal("ID-INVALID", f'"{text}" is not an id', hint)
    return text.lower()


def _application(text: str) -> str:
    """An id in lower case, or a name. Raises APPLICATION-INVALID for an empty one."""
    name = prose(text).strip()
    if not name:
        hint = "write a name under applications, a client id, or the object id of an enterprise application"
        raise refusal("APPLICATION-INVALID", f'"{text}" names no application', hint)
    return name.lower() if is_guid(name) else name


def _policy(text: str) -> str:
    """The GUID of a billing policy, "" for none. Raises ID-INVALID."""
    return _id(text) if text else ""


_EXAMPLE = "6f0a3c1e-0000-4000-8000-000000000001"
_APPLICATIONS = Texts(Text(_application, "names or ids of applications", examples=("erp", _EXAMPLE)), plain=True)
_ADDRESS = Text(
    lambda text: email_address(text) if text else "",
    'an address, `""` for none',
    examples=("hr@contoso.com",),
    nullable=False,
)
_POLICY = Text(_policy, 'an id, `""` for none', examples=(_EXAMPLE,), nullable=False)


@dataclass(frozen=True, slots=True)
class HveAccount:
    """`password` is a reference, of use at creation only. `applications` are as the plan writes them.

    Observed only: `id` is the Guid, `user_id` that of its user in Entra ID, `billing` the billing policy that was read
    and its status ("6f0a… BillingPolicyValid"): a status says nothing of another policy. `resolved` are the object ids
    of applications that the plan writes otherwise ("erp 6f0a…").
    """

    address: str
    display_name: str | None = column(
        "DisplayName", Text(prose, "your text", examples=("HR News",), nullable=False), "Name that recipients see."
    )
    reply_to: str | None = column("ReplyTo", _ADDRESS, 'Where replies go; "" for the account itself.')
    applications: frozenset[str] | None = column(
        "AllowedApps",
        _APPLICATIONS,
        "Applications that may sign in as it with OAuth, ten at most: by name under `applications` or in Entra ID, by "
        "client id, or by the object id of the enterprise application.",
    )
    billing_policy: str | None = column(
        "BillingPolicyId",
        _POLICY,
        "Billing policy that pays for its mail (`Get-BillingPolicy -ResourceType HVE`). Without one it cannot send.",
    )
    password: str | None = column(
        "Password",
        REFERENCE,
        "Where its password is. It is read when the account is created, and never compared.",
        cmdlets=("New",),
    )
    id: str | None = read_only()
    user_id: str | None = read_only()
    billing: str | None = read_only()
    resolved: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


def _agree(account: HveAccount) -> None:
    if len(account.applications or ()) > MOST_APPLICATIONS:
        what = f"an account takes {MOST_APPLICATIONS} applications at most"
        raise refusal("HVE-APPLICATIONS", what, "make a further account for the others")


_DESCRIPTION = "One account of High Volume Email. What is not written is left as it is; a list is the whole list."
_MANY = "ambiguous"
_DELETED, _UNBILLED = "HVE-ACCOUNT-DELETED", "HVE-BILLING"
_ASSIGN = (
    "write billing_policy: and its id (Get-BillingPolicy -ResourceType HVE lists them), or assign one in the Exchange "
    "admin center"
)


class HveAccountType(BaseType):
    """hve_account["hr-news@contoso.com"]."""

    name: ClassVar[str] = "hve_account"
    section: ClassVar[str] = "hve_accounts"
    section_type: ClassVar[Any] = fields.section(
        EmailKey,
        fields.entry(HveAccount, "HveAccountBody", _DESCRIPTION, _agree),
        "Accounts of High Volume Email, by address.",
        {"hr-news@contoso.com": {"display_name": "HR News", "reply_to": "hr@contoso.com"}},
    )
    spec: ClassVar[type[HveAccount]] = HveAccount
    contributes: ClassVar[tuple[type[Contribution], ...]] = (HighVolume,)
    listed_in_parts: ClassVar[bool] = True
    more_nouns: ClassVar[frozenset[str]] = frozenset({"HVEAccountSettings", "HVEAppAccess", "HVEAccountBillingPolicy"})
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(_DELETED, Severity.ERROR, "apply", "An account of High Volume Email would be deleted."),
        Rule(_UNBILLED, Severity.ERROR, "apply", "An account of High Volume Email that cannot send would be created."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = email_address(written)
            yield Declared(key, fields.declared(HveAccount, key, body), (written,))

    def queries(self, wanted: Mapping[str, HveAccount | None], everything: bool, /) -> Sequence[Query]:
        """One listing: there are few accounts."""
        return [Query(hve_account.LISTING, frozenset(wanted))] if wanted or everything else ()

    def follow_up(
        self, wanted: Mapping[str, HveAccount | None], everything: bool, answers: Sequence[tuple[Query, Answer]], /
    ) -> Sequence[Query]:
        """Settings and billing of each account, by its Guid; and who has the address of one that does not exist.

        Then the applications that the plan writes, but for object ids that the account allows already. Whether the
        billing of an account could be read matters to a plan that writes its policy.
        """
        rows = _accounts(answers)
        by_key = _by_key(wanted, rows)
        queries: list[Query] = []
        for row in rows if everything else [row for found in by_key.values() for row in found]:
            keys = frozenset(key for key, found in by_key.items() if row in found)
            paying = frozenset(key for key in keys if (spec := wanted[key]) and spec.billing_policy is not None)
            queries.append(Query(hve_account.settings(guid(row)), keys))
            queries.append(Query(hve_account.billing(guid(row)), paying))
        missing = {key: (key,) for key, spec in wanted.items() if spec is not None and key not in by_key}
        apps: dict[str, set[str]] = {}
        for key, spec in wanted.items():
            rows_of_key = by_key.get(key, [])
            told = [allowed for row in rows_of_key if (allowed := _allowed(guid(row), answers)) is not None]
            if spec is not None and (told or not rows_of_key):
                for application in (spec.applications or frozenset()).difference(*told):
                    apps.setdefault(application, set()).add(key)
        look_ups = [Query(enterprise_application.named(app), frozenset(apps[app])) for app in sorted(apps)]
        return [*queries, *identities.look_ups(missing, recipients_only=True), *look_ups]

    def decode(
        self, wanted: Mapping[str, HveAccount | None], answers: Sequence[tuple[Query, Answer]], /
    ) -> Mapping[str, HveAccount | Absent | Unknown]:
        """The wanted ones under their wanted keys, by any address; the others under their primary address."""
        rows = _accounts(answers)
        by_key = _by_key(wanted, rows)
        found: dict[str, HveAccount | Absent | Unknown] = {}
        for key, mine in by_key.items():
            row = only(mine)
            found[key] = row if isinstance(row, Unknown) else _judged(key, wanted[key], row, answers)
        claimed = {guid(row) for mine in by_key.values() for row in mine}
        for row in rows:
            if guid(row) not in claimed:
                person = recipient.decode(row)
                found[person.primary] = _decode(person.primary, row, answers)
        directory = Directory(answers)
        for key, spec in wanted.items():
            if spec is not None and key not in by_key and answers:
                found[key] = _missing(key, spec, directory, answers)
        return found

    def steps(self, before: HveAccount | None, after: HveAccount | None, /) -> Sequence[Step]:
        """Creation, then what other cmdlets set of it; of a change what differs."""
        if after is None:
            return (_send("Remove-MailUser", before, {"Confirm": False}),) if before else ()
        if before is None:
            name = after.address
            new: dict[str, Parameter] = {"HVEAccount": True, "Name": name[:64], "PrimarySmtpAddress": name}
            mine = {n: v for n, v in fields.creation(after).items() if n in {"DisplayName", "Password"}}
            return (Send(Cmdlet("New-MailUser", {**new, **mine})), *_settings(HveAccount(name), after))
        renamed = _differs(before.display_name, after.display_name)
        shown: dict[str, Parameter] = {"HVEAccount": True, "DisplayName": after.display_name}
        first = [_send("Set-MailUser", before, shown)] if renamed else []
        return (*first, *_settings(before, after))

    def needs(self, spec: HveAccount) -> Sequence[Address]:
        """Its domain must be accepted."""
        return (Address("domain", spec.address.rpartition("@")[2]),)

    def written_form(self, spec: HveAccount) -> tuple[tuple[str, ...], Any] | None:
        return (spec.address,), fields.written_body(spec)

    def unwritable(self, _spec: HveAccount) -> Iterable[str]:
        return ["its password, which nothing returns: a new account needs password: env:NAME"]

    def mail_domains(self, spec: HveAccount, /) -> Collection[str]:
        """That of the account's address."""
        return domains_of(spec.address)

    def contribution(self, spec: HveAccount) -> Contributions:
        """A way of its own to send within the organization, for anyone who knows the password or is allowed."""
        status = _status(spec)
        billing = None if status is None else status == hve_account.VALID
        known = None if spec.applications is None else spec.applications | frozenset(_ids(spec).values())
        return (HighVolume(spec.address, billing, known, spec.user_id or ""),)

    def guards(self, before: HveAccount | None, after: HveAccount | None, /) -> Iterable[Guard]:
        if after is None:
            summary = "senders that sign in as it can no longer send, and its address fails"
            yield Guard(_DELETED, summary, f"make sure that nothing signs in as it any more, then --allow {_DELETED}")
        if before is None and after is not None and not after.billing_policy:
            summary = "it could not send: the plan assigns no billing policy to it"
            yield Guard(_UNBILLED, summary, _ASSIGN)

    def in_force(self, _wanted: HveAccount, live: HveAccount, /) -> str:
        """Without a valid billing policy it cannot send (Get-HVEAccountBillingPolicy)."""
        status = _status(live)
        reason = hve_account.why(status) if status is not None else ""
        return f"it cannot send: {reason} ({status})" if reason else ""

    def fix(self, _wanted: HveAccount, _live: HveAccount | None, /) -> str:
        """What lets an account send that is not in force."""
        return _ASSIGN

    def working(self, live: HveAccount) -> HveAccount:
        """As if its billing were not known."""
        return dataclasses.replace(live, billing=None)

    def read_back(self, spec: HveAccount) -> ReadBack:
        request = Cmdlet(hve_account.BILLING, {"Identity": spec.id or spec.address})
        return ReadBack(request, {"BillingPolicyStatus": hve_account.VALID})

    def identity(self, spec: HveAccount) -> str:
        """The Guid: a plan may write any of its addresses."""
        return spec.id or ""


_form = lenient(email_address)


# --- steps -----------------------------------------------------------------------------------------------------------


def _send(cmdlet: str, account: HveAccount | None, parameters: Mapping[str, Parameter]) -> Send:
    identity = (account.id or account.address) if account else ""
    return Send(Cmdlet(cmdlet, {"Identity": identity, **parameters}))


def _settings(before: HveAccount, after: HveAccount) -> Iterator[Send]:
    """What of an account its own cmdlets set. Who loses access comes last."""
    if _differs(before.reply_to, after.reply_to):
        yield _send("Set-HVEAccountSettings", before, {"ReplyTo": after.reply_to})
    if _differs(before.billing_policy, after.billing_policy):
        yield _send("Set-HVEAccountBillingPolicy", before, {"BillingPolicyId": after.billing_policy})
    if after.applications is not None:
        known = {**_ids(before), **_ids(after)}
        had, wanted = (
            {known.get(app, app) for app in applications or ()}
            for applications in (before.applications, after.applications)
        )
        for verb, ids in (("Add", wanted - had), ("Remove", had - wanted)):
            if ids:
                yield _send(f"{verb}-HVEAppAccess", before, {"AppIds": tuple(sorted(ids))})


def _ids(account: HveAccount) -> dict[str, str]:
    """The object ids of applications, by what the plan writes of them."""
    pairs = (pair.rpartition(" ") for pair in account.resolved or ())
    return {written: object_id for written, _, object_id in pairs}


def _differs(before: str | None, after: str | None) -> bool:
    """Whether a text is to be set; what nobody wrote at a creation is empty."""
    return after is not None and after != (before or "")


# --- reading ---------------------------------------------------------------------------------------------------------


def _accounts(answers: Iterable[tuple[Query, Answer]]) -> list[Row]:
    """The rows of the listing. Raises ValueError for one without an id."""
    rows = [row for query, answer in answers if query.request == hve_account.LISTING for row in answer.rows]
    if any(not guid(row) for row in rows):
        raise ValueError("a row has no Guid or ExchangeObjectId")
    return rows


def _by_key(wanted: Iterable[str], rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each wanted address: that of the account, or another one of it."""
    by_form = {_form(key): key for key in wanted}
    found: dict[str, list[Row]] = {}
    for row in rows:
        for address in recipient.decode(row).addresses & by_form.keys():
            found.setdefault(by_form[address], []).append(row)
    return found


def _decode(key: str, row: Row, answers: Sequence[tuple[Query, Answer]]) -> HveAccount:
    """An account by its rows. What was not asked, or not answered, is None."""
    account, identity = recipient.decode(row), guid(row)
    values: dict[str, Any] = {"display_name": text_of(row, "DisplayName")}
    settings = hve_account.about(hve_account.SETTINGS, answers).get(identity)
    if settings is not None:
        one = _one(settings, hve_account.SETTINGS)
        reply_to, applications = text_of(one, "ReplyTo"), texts(one, "AllowedApps")
        values["reply_to"] = _form(reply_to) if reply_to else reply_to
        values["applications"] = None if applications is None else frozenset(app.lower() for app in applications)
    billing = hve_account.about(hve_account.BILLING, answers).get(identity)
    if billing is not None:
        one = _one(billing, hve_account.BILLING)
        policy, status = text_of(one, "BillingPolicyId"), text_of(one, "BillingPolicyStatus")
        values["billing_policy"] = None if policy is None else policy.lower()
        values["billing"] = f"{policy.lower()} {status}" if status and policy is not None else None
    user_id = str(row.get("ExternalDirectoryObjectId") or "").lower() or None
    names = account.own | {identity}
    return HveAccount(key, **values, id=identity, user_id=user_id, names=names)


def _allowed(identity: str, answers: Iterable[tuple[Query, Answer]]) -> frozenset[str] | None:
    """The object ids of the applications that an account allows; None where they were not read yet."""
    settings = hve_account.about(hve_account.SETTINGS, answers).get(identity)
    return (
        frozenset(app.lower() for app in texts(settings.rows[0], "AllowedApps") or ())
        if settings and settings.rows
        else None
    )


def _judged(
    key: str, wanted: HveAccount | None, row: Row, answers: Sequence[tuple[Query, Answer]]
) -> HveAccount | Unknown:
    """An account as the plan calls its applications."""
    seen = _decode(key, row, answers)
    if wanted is None or seen.applications is None:
        return answered(wanted, seen)
    written = (wanted.applications or frozenset()) - seen.applications
    ids = _resolved(written, answers)
    if isinstance(ids, Unknown):
        return ids
    mine = {app for app, object_id in ids.items() if object_id in seen.applications}
    others = seen.applications - ({ids[app] for app in mine} - (wanted.applications or frozenset()))
    return answered(wanted, dataclasses.replace(seen, applications=others | mine, resolved=_pairs(ids)))


def _pairs(ids: Mapping[str, str]) -> frozenset[str] | None:
    return frozenset(f"{app} {object_id}" for app, object_id in ids.items() if app != object_id) or None


def _resolved(written: Iterable[str], answers: Iterable[tuple[Query, Answer]]) -> dict[str, str] | Unknown:
    """The object id of each application. An id that is nobody's client id is taken for an object id."""
    told = {query.request: answer for query, answer in answers if isinstance(query.request, GraphRequest)}
    found: dict[str, str] = {}
    for app in sorted(written):
        answer = told.get(enterprise_application.named(app))
        if answer is None:
            return Unknown(f"which application {app} is was not read", "malformed")
        meant = [one for one in enterprise_application.decode(answer.rows).values() if one.is_called(app)]
        if len(meant) > 1:
            ids = ", ".join(sorted(one.client_id for one in meant))
            return Unknown(
                f'"{app}" is the name of several enterprise applications: write one client id ({ids})', _MANY
            )
        if not meant and not is_guid(app):
            what = f'neither applications nor Entra ID has an application of the name "{app}"'
            return Unknown(f"{what}: correct it, or write its client id", _MANY)
        found[app] = meant[0].id if meant else app
    return found


def _one(answer: Answer, cmdlet: str) -> Row:
    """The one row about an account. Raises ValueError for another number of rows."""
    if len(answer.rows) != 1:
        raise ValueError(f"{cmdlet} gave {len(answer.rows)} rows for one account")
    return answer.rows[0]


def _status(spec: HveAccount) -> str | None:
    """The status of the account's billing; None where it is not known, as after another policy was assigned."""
    if spec.billing_policy == "":
        return hve_account.NONE_STORED
    if spec.billing is None:
        return None
    policy, _, status = spec.billing.partition(" ")
    return status if spec.billing_policy in {None, policy} else None


def _missing(
    key: str, wanted: HveAccount, directory: Directory, answers: Iterable[tuple[Query, Answer]]
) -> Absent | Unknown:
    """What it means that the tenant has no such account."""
    holder = directory.meant(_form(key))
    if isinstance(holder, Unknown):
        return holder
    if isinstance(holder, Recipient):
        fix = "choose another address for the account, or take this one from its holder"
        return Absent(f"{key} is an address of {holder.called}, and not of an account of High Volume Email", fix)
    if wanted.password is None:
        reason = f"the tenant has no account {key} of High Volume Email, and the plan names no password for it"
        fix = (
            "write password: env:NAME (or file:PATH) and billing_policy: ID for it under hve_accounts, or create it in "
            "the Exchange admin center"
        )
        return Absent(reason, fix)
    ids = _resolved(wanted.applications or (), answers)
    if isinstance(ids, Unknown):
        return ids
    pairs = _pairs(ids)
    return Absent(known=HveAccount(key, resolved=pairs)) if pairs else Absent()
