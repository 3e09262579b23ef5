"""The shorthand of a seed for mailboxes: addresses, mappings, or a number of them that follow a rule.

A mailbox has a row of `CASMailbox` and one of `Mailbox`. Many that follow one rule are not written out (`generated`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provisioner.sandbox import passwords
from provisioner.sandbox.cmdlets.objects import stable_guid
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.generated import USERS, Generated
from provisioner.sandbox.seed_deriving import user_of
from provisioner.sandbox.seed_merging import merge_entities, merge_rows, whole_row
from provisioner.sandbox.tenant import Row, Tenant, user_names
from provisioner.sandbox.tokens import ROLE_TEMPLATES

_MAILBOX_KEYS = frozenset({
    "address", "name", "display_name", "aliases", "type", "upn", "smtp_client_authentication_disabled",
    "count", "domain", "prefix", "password", "directory_roles",
})  # fmt: skip
# What the shorthand may say that only one of a mailbox's two rows has a column for.
_FOREIGN_COLUMNS = {
    "CASMailbox": frozenset({"UserPrincipalName", "RecipientTypeDetails"}),
    "Mailbox": frozenset({"SmtpClientAuthenticationDisabled"}),
}
_MOST_MAILBOXES = 1_000_000


def specs(given: Any) -> list[Mapping[str, Any]]:
    """The entries of the shorthand: addresses, mappings, or `{count, domain}` for many. Raises ValueError."""
    entries = given if isinstance(given, list) else [] if given is None else [given]
    return [_spec({"address": entry} if isinstance(entry, str) else entry) for entry in entries]


def _spec(spec: Any) -> Mapping[str, Any]:
    if not isinstance(spec, Mapping) or not ("address" in spec or "count" in spec):
        raise ValueError("mailboxes takes addresses, {address: …}, or {count: …, domain: …}")
    unknown = sorted(set(map(str, spec)) - _MAILBOX_KEYS)
    if unknown:
        raise ValueError(f"mailboxes: unknown keys {', '.join(unknown)}; known are {', '.join(sorted(_MAILBOX_KEYS))}")
    count = spec.get("count", 0)
    if not isinstance(count, int) or not 0 <= count <= _MOST_MAILBOXES:
        raise ValueError(f"mailboxes: count must be a number up to {_MOST_MAILBOXES:,}")
    return spec


def merge_specs(tenant: Tenant, given: Any) -> None:
    """Mailboxes of the shorthand, in its order. Many that follow one rule are not written out."""
    rows: list[Row] = []
    for spec in specs(given):
        if "count" not in spec:
            rows.append(mailbox_row(spec))
        elif _follow_a_rule(tenant, spec):
            merge_mailboxes(tenant, rows)
            rows = []
            _generate(tenant, spec)
        else:
            rows += _many(tenant.initial_domain, spec)
    merge_mailboxes(tenant, rows)


def merge_mailboxes(tenant: Tenant, mailboxes: Iterable[Row]) -> None:
    """Rows of the shorthand: to each of a mailbox's two rows what it has a column for."""
    rows = list(mailboxes)
    for name, foreign in _FOREIGN_COLUMNS.items():
        if rows:
            own = ({column: value for column, value in row.items() if column not in foreign} for row in rows)
            merge_rows(tenant, name, own, exact=False)


def mailbox_row(spec: Mapping[str, Any]) -> Row:
    address = str(spec["address"])
    if "@" not in address:
        raise ValueError(f"mailboxes: {address!r} is not an address")
    names = {"name": "Name", "display_name": "DisplayName", "upn": "UserPrincipalName", "type": "RecipientTypeDetails"}
    row: Row = {column: str(spec[key]) for key, column in names.items() if spec.get(key)}
    row["PrimarySmtpAddress"] = address
    if spec.get("aliases"):
        row["EmailAddresses"] = [f"SMTP:{address}", *(f"smtp:{alias}" for alias in spec["aliases"])]
    if "smtp_client_authentication_disabled" in spec:
        row["SmtpClientAuthenticationDisabled"] = spec["smtp_client_authentication_disabled"]
    return row


def _many(initial_domain: str, spec: Mapping[str, Any]) -> Iterator[Row]:
    domain, prefix = _domain_of(initial_domain, spec), _prefix(spec)
    for number in range(1, spec["count"] + 1):
        yield mailbox_row(
            {**spec, "address": f"{prefix}{number:05d}@{domain}", "display_name": f"{prefix} {number:05d}"}
        )


def _domain_of(initial_domain: str, spec: Mapping[str, Any]) -> str:
    return str(spec.get("domain", initial_domain))


def _prefix(spec: Mapping[str, Any]) -> str:
    return str(spec.get("prefix", "user"))


def _follow_a_rule(tenant: Tenant, spec: Mapping[str, Any]) -> bool:
    """Whether the mailboxes are told apart by their number alone, and from those that were generated before."""
    prefix = _prefix(spec).lower()
    others = {source.prefix.lower() for source in tenant.generated} - {prefix}
    near = any(other.startswith(prefix) or prefix.startswith(other) for other in others)
    same = any(_same_addresses(tenant, source, spec) for source in tenant.generated)
    return not near and not same and not {"name", "upn", "aliases"} & set(spec)


def _same_addresses(tenant: Tenant, source: Generated, spec: Mapping[str, Any]) -> bool:
    names = source.prefix.lower(), source.domain.lower()
    return names == (_prefix(spec).lower(), _domain_of(tenant.initial_domain, spec).lower())


def _generate(tenant: Tenant, spec: Mapping[str, Any]) -> None:
    """Mailboxes by a rule: a template of each of their rows, from the first one. Those that there are stay rows."""
    prefix, domain, count = _prefix(spec), _domain_of(tenant.initial_domain, spec), int(spec["count"])
    first = next(_many(tenant.initial_domain, {**spec, "count": 1}))
    templates = {
        name: whole_row(tenant, NOUNS[name], {c: v for c, v in first.items() if c not in foreign}, {})
        for name, foreign in _FOREIGN_COLUMNS.items()
    }
    user = user_of(tenant, templates["Mailbox"])
    named_apart = max((s.count for s in tenant.generated if s.prefix.lower() == prefix.lower()), default=0)
    source = Generated(prefix, domain, count, _key(tenant, prefix, domain), {**templates, USERS: user}, named_apart)
    there = _generated_over(tenant, source)
    tenant.generated.append(source)
    merge_mailboxes(tenant, (mailbox_row({**spec, **_called(source, number)}) for number in sorted(there)))


def _key(tenant: Tenant, prefix: str, domain: str) -> str:
    return "/".join((tenant.tenant_id, prefix, domain)).lower()


def _called(source: Generated, number: int) -> Mapping[str, Any]:
    return {"address": source.address(number), "display_name": f"{source.prefix} {number:05d}"}


def _generated_over(tenant: Tenant, source: Generated) -> set[int]:
    """The numbers of mailboxes that are rows already, or whose name is taken by one.

    Such a mailbox is not generated but gets rows of its own, as every mailbox of a seed.
    """
    there: set[int] = set()
    for kind in _FOREIGN_COLUMNS:
        for row in tenant.kept(kind):
            for name in {str(row.get(column)).lower() for column in ("PrimarySmtpAddress", "Name")}:
                there |= {number for number in source.numbers(name) if name in _names(source, number)}
    for number in there:
        for kind in source.templates:
            source.keep(kind, number, None)
    for user in tenant.kept(USERS):
        for name in {str(user.get(column)).lower() for column in ("mail", "userPrincipalName")}:
            for number in source.numbers(name):
                if name == source.address(number).lower() and number not in there:
                    _leave_to(source, number, user)
    return there


def _leave_to(source: Generated, number: int, user: Row) -> None:
    """Let a mailbox be that of a user whom the tenant has, instead of one who is generated."""
    source.keep(USERS, number, None)
    for kind in _FOREIGN_COLUMNS if "id" in user else ():
        row = source.made(kind, number)
        row["ExternalDirectoryObjectId"] = user["id"]
        source.keep(kind, number, row)


def _names(source: Generated, number: int) -> set[str]:
    address = source.address(number).lower()
    return {address, address.partition("@")[0]}


# --- passwords and roles ---------------------------------------------------------------------------------------------


def keep_passwords(tenant: Tenant, given: Any) -> None:
    """By primary address, hashed: they are what SMTP submission signs in with."""
    entries = given if isinstance(given, list) else [] if given is None else [given]
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("password") and "address" in entry:
            kept = tenant.settings.setdefault("passwords", {})
            kept[str(entry["address"]).lower()] = passwords.kept(str(entry["password"]))


def assign_roles(tenant: Tenant, given: Any) -> None:
    """Directory roles of users, as Graph's role assignments have them. Raises ValueError for a role that is not known.

    The id of a built-in role's definition is that of its template.
    """
    for spec in specs(given):
        roles = spec.get("directory_roles") or []
        for role in [roles] if isinstance(roles, str) else roles:
            if role not in ROLE_TEMPLATES:
                known = ", ".join(sorted(ROLE_TEMPLATES))
                raise ValueError(f"mailboxes: {role!r} is not a directory role that is known; known are {known}")
            user = next(iter(tenant.named(USERS, user_names, str(spec.get("upn") or spec.get("address")))), None)
            if user is not None:
                row = {
                    "id": stable_guid("role-assignment", ROLE_TEMPLATES[role], str(user["id"])),
                    "principalId": user["id"],
                    "roleDefinitionId": ROLE_TEMPLATES[role],
                    "directoryScopeId": "/",
                }
                merge_entities(tenant, "roleAssignments", [row])
