"""Seeds: what a tenant starts from. Our own YAML or JSON, a dump of a sandbox, or an export of a real tenant.

Seeds are merged one over the other: rows that name the same object become one. Rows of our own form may be partial
and get the service's defaults; rows of an export stay exactly as they are (exports.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.sandbox import exports, listings, message_traces, passwords, seed_files, sign_in_log, throttle
from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets.mailbox import directory_id
from provisioner.sandbox.cmdlets.objects import Noun, new_row, stable_guid
from provisioner.sandbox.cmdlets.running import NOUNS, complete
from provisioner.sandbox.generated import USERS, Generated, Made
from provisioner.sandbox.public_dns import asked_for, default_zone, of_the_service
from provisioner.sandbox.tenant import FORMAT, Row, Seed, Tenant, user_names
from provisioner.sandbox.tokens import ROLE_TEMPLATES

_KEYS = frozenset({
    "sandbox", "tenant", "objects", "mailboxes", "graph", "dns", "settings", "apps", "lag_s", "clock_offset_s",
})  # fmt: skip
# What the shorthand may say that only one of a mailbox's two rows has a column for.
_FOREIGN_COLUMNS = {
    "CASMailbox": frozenset({"UserPrincipalName", "RecipientTypeDetails"}),
    "Mailbox": frozenset({"SmtpClientAuthenticationDisabled"}),
}
_MAILBOX_KEYS = frozenset({
    "address", "name", "display_name", "aliases", "type", "upn", "smtp_client_authentication_disabled",
    "count", "domain", "prefix", "password", "directory_roles",
})  # fmt: skip


_MOST_MAILBOXES = 1_000_000


_NO_SEED = (
    "a seed is a mapping with sandbox: 1; this is neither that, nor a dump, nor an export of a tenant (ScubaGear, "
    "Microsoft365DSC), nor what one cmdlet returned (Get-InboundConnector | ConvertTo-Json, or | Export-Clixml)"
)


def load_seed(source: Any) -> Seed:
    """A seed from a file (a Path), what `seed_files` read, or a document. Raises OSError or ValueError."""
    document = seed_files.read(source) if isinstance(source, Path) else source
    converted = document if isinstance(document, seed_files.Converted) else seed_files.report(document)
    if converted is not None:
        return _Document(converted.document, exact=converted.exact)
    if isinstance(document, list):
        if (rows := listings.converted(document)) is not None:
            return _Document({"sandbox": FORMAT, **rows}, exact=True)
        raise ValueError(
            "the columns of these rows do not say which cmdlet returned them: "
            'write {"sandbox": 1, "objects": {"InboundConnector": [...]}} around them'
        )
    if not isinstance(document, Mapping):
        raise ValueError(_NO_SEED)
    if document.get("dump"):
        return _Dump(document)
    if "sandbox" in document:
        return _Document(_checked(document))
    if exports.is_export(document):
        return _Document({"sandbox": FORMAT, **exports.convert(document)}, exact=True)
    if (rows := listings.converted(document)) is not None:
        return _Document({"sandbox": FORMAT, **rows}, exact=True)
    raise ValueError(_NO_SEED)


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document, after a look at its keys and their kinds. Raises ValueError."""
    if document["sandbox"] != FORMAT:
        raise ValueError(f"sandbox: {document['sandbox']!r} is not a format that is known; it must be {FORMAT}")
    unknown = sorted(set(map(str, document)) - _KEYS)
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    for key in ("tenant", "objects", "graph", "dns", "settings"):
        if document.get(key) is not None and not isinstance(document[key], Mapping):
            raise ValueError(f"{key} must be a mapping")
    throttle.checked((document.get("settings") or {}).get("throttle") or {})
    for noun, rows in (document.get("objects") or {}).items():
        entries = rows if isinstance(rows, list) else [rows]
        if not all(isinstance(entry, Mapping) for entry in entries):
            raise ValueError(f"objects of {noun} must be a row or a list of rows")
    for owner, records in (document.get("dns") or {}).items():
        if not isinstance(records, Mapping | None):
            raise ValueError(f"dns of {owner} must be a mapping of record types to lists, or null")
    apps = document.get("apps") or []
    if not isinstance(apps, list) or not all(isinstance(app, Mapping) for app in apps):
        raise ValueError("apps must be a list of mappings")
    # Looked at here as well as when merging: a seed that is refused must not be half taken.
    for spec in _specs(document.get("mailboxes")):
        if "count" not in spec:
            _mailbox(spec)
    return {str(key): value for key, value in document.items()}


@dataclass(frozen=True, slots=True)
class _Dump:
    document: Mapping[str, Any]

    def merge_into(self, tenant: Tenant) -> None:
        try:
            tenant.load_json(self.document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the dump is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class _Document:
    """A seed's document. `exact`: rows are whole and replace what they name."""

    document: Mapping[str, Any]
    exact: bool = False

    def merge_into(self, tenant: Tenant) -> None:
        seed = self.document
        self._merge_identity(tenant)
        tenant.settings.update(seed.get("settings") or {})
        tenant.lag = float(seed.get("lag_s", tenant.lag))
        tenant.clock.offset_s = float(seed.get("clock_offset_s", tenant.clock.offset_s))
        known = _customers_domains(tenant)
        _merge_dns(tenant, seed.get("dns") or {})
        _merge_graph(tenant, seed.get("graph") or {})
        _merge_apps(tenant, seed.get("apps") or [])
        for name, rows in (seed.get("objects") or {}).items():
            _merge_rows(tenant, str(name), exports.rows_of(rows), exact=self.exact)
        if self.exact and not tenant.objects.get("CASMailbox"):
            admin = {"PrimarySmtpAddress": f"admin@{tenant.initial_domain}", "DisplayName": "Administrator"}
            _merge_mailboxes(tenant, [admin])
        _merge_specs(tenant, seed.get("mailboxes"))
        _keep_passwords(tenant, seed.get("mailboxes"))
        _complete_records(tenant)
        complete(tenant)
        self._derive(tenant)
        _add_default_zones(tenant, known, seed)
        _assign_roles(tenant, seed.get("mailboxes"))

    def _merge_identity(self, tenant: Tenant) -> None:
        given = self.document.get("tenant") or {}
        if given:
            _forget_untouched(tenant)
        tenant.tenant_id = str(given.get("id", tenant.tenant_id))
        tenant.initial_domain = str(given.get("initial_domain", tenant.initial_domain)).lower()
        tenant.display_name = str(given.get("display_name", tenant.display_name))

    def _derive(self, tenant: Tenant) -> None:
        """What follows from what was said: a mailbox has a user, a domain that is accepted is one of Graph's."""
        listed = "AcceptedDomain" in (self.document.get("objects") or {})
        domains = self.document.get("domains")
        if domains is not None:
            verified = [] if listed else domains
        else:
            given = exports.rows_of((self.document.get("graph") or {}).get("domains"))
            verified = [row for row in given if row.get("isVerified")]
        _pair_mailboxes(tenant)
        _derive_accepted_domains(tenant, verified, only_used=self.exact and listed)
        _derive_graph_domains(tenant, complete_all=self.exact)
        _derive_users(tenant)
        tenant.forget_indexes()


def _complete_records(tenant: Tenant) -> None:
    """Message traces and sign-ins with all their columns. `_DaysAgo` (a number) stands for their time."""
    now = tenant.clock.now()
    for rows, column, whole in (
        (tenant.objects.get(message_traces.KEPT_AS), "Received", message_traces.complete),
        (tenant.graph.get(sign_in_log.KEPT_AS), "createdDateTime", sign_in_log.complete),
    ):
        for row in rows or ():
            if "_DaysAgo" in row:
                row[column] = wire_time(now - dt.timedelta(days=float(row.pop("_DaysAgo"))), whole_seconds=True)
            row.update(whole(tenant, dict(row)))


def _keep_passwords(tenant: Tenant, given: Any) -> None:
    """By primary address, hashed: they are what SMTP submission signs in with."""
    entries = given if isinstance(given, list) else [] if given is None else [given]
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("password") and "address" in entry:
            kept = tenant.settings.setdefault("passwords", {})
            kept[str(entry["address"]).lower()] = passwords.kept(str(entry["password"]))


def _assign_roles(tenant: Tenant, given: Any) -> None:
    """Directory roles of users, as Graph's role assignments have them. Raises ValueError for a role that is not known.

    The id of a built-in role's definition is that of its template.
    """
    for spec in _specs(given):
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
                _merge_entities(tenant, "roleAssignments", [row])


def _forget_untouched(tenant: Tenant) -> None:
    """Before the tenant gets another identity: drop what it had from birth and nobody has changed.

    Otherwise a tenant that was made for a moment would leave its initial domain behind in the next.
    """
    for name, noun in NOUNS.items():
        born = [_without_dates(new_row(tenant, noun, given)) for given in noun.builtin(tenant)]
        tenant.objects[name] = [row for row in tenant.kept(name) if _without_dates(row) not in born]
    domains: list[Row] = tenant.graph.get("domains", [])
    initial = tenant.initial_domain
    derived = {**_domain_defaults(initial, initial), "isDefault": True, "isInitial": True, "id": initial}
    tenant.graph["domains"] = [row for row in domains if row != derived]
    organization = tenant.graph.get("organization")
    if isinstance(organization, Mapping) and organization.get("id") == tenant.tenant_id:
        del tenant.graph["organization"]


def _without_dates(row: Row) -> Row:
    return {column: value for column, value in row.items() if not column.startswith("When")}


# --- merging ---------------------------------------------------------------------------------------------------------


def _merge_rows(tenant: Tenant, name: str, given: Iterable[Row], *, exact: bool) -> None:
    """Rows of one noun over those that are there. Nouns that no cmdlet knows are kept as they come."""
    noun = NOUNS.get(name)
    rows = tenant.kept(name)
    known = {label: row for row in rows for label in _labels(row, noun)}
    for row in given:
        found = rows[0] if noun and noun.singleton and rows else _matching(known, row, noun)
        found = found if found is not None else _generated(tenant, row, noun)
        if found is not None and exact:
            found.clear()
        if found is None:
            found = row if exact or noun is None else _new(tenant, noun, row, known)
            rows.append(found)
        else:
            found.update(row)
        known.update(dict.fromkeys(_labels(found, noun), found))


def _generated(tenant: Tenant, row: Row, noun: Noun | None) -> Row | None:
    """The row of a generated mailbox that `row` names, to be kept from now on."""
    if noun is None or not tenant.generated:
        return None
    found = (made for label in _labels(row, noun) for made in _made(tenant, noun.name, label))
    first = next(found, None)
    return None if first is None else tenant.own(noun.name, first)


def _made(tenant: Tenant, kind: str, label: tuple[str, str]) -> Iterator[Made]:
    """The rows of generated mailboxes that have a value in a column; those that were changed are among them."""
    column, value = label
    for source in tenant.generated:
        changed = source.changed.get(kind, {})
        for number in source.numbers(value) if kind in source.templates else ():
            made = changed[number] if number in changed else source.made(kind, number)
            if made is not None and str(made.get(column)).lower() == value:
                yield made


def _labels(row: Row, noun: Noun | None) -> Iterator[tuple[str, str]]:
    holder = _holder(row, noun)
    if holder:  # one mailbox has a row for each of those who hold a right on it
        yield "Trustee", f"{row.get('Identity')}\n{holder}".lower()
        return
    for column in ("Guid", "Identity", "Name", *([noun.key] if noun else [])):
        if row.get(column):
            yield column, str(row[column]).lower()


def _holder(row: Row, noun: Noun | None) -> str:
    """Who holds the right that a row gives; "" for a row of another kind."""
    rights = noun is None or noun.name == "MailboxPermission"
    return str(row.get("Trustee") or (rights and row.get("User")) or "")


def _matching(known: Mapping[tuple[str, str], Row], row: Row, noun: Noun | None) -> Row | None:
    return next((known[label] for label in _labels(row, noun) if label in known), None)


def _new(tenant: Tenant, noun: Noun, row: Row, known: Mapping[tuple[str, str], Row]) -> Row:
    """A complete row. A mailbox is named after its address; where that name is taken, something is put behind it."""
    if holder := _holder(row, noun):
        return {**noun.columns, **row, "Guid": stable_guid(noun.name, str(row.get("Identity")), holder)}
    if noun.singleton:  # the row that every tenant has, with what the seed says
        return new_row(tenant, noun, {**next(iter(noun.builtin(tenant)), {}), **row})
    if noun.key != "PrimarySmtpAddress":
        return new_row(tenant, noun, row)
    address = str(row.get("PrimarySmtpAddress") or row.get("UserPrincipalName") or row.get("Name") or "")
    if "@" not in address:
        address = f"{address}@{tenant.initial_domain}"
    name, local = row.get("Name") or row.get("Identity"), address.partition("@")[0]
    if not name:
        label = "Name", local.lower()
        taken = label in known or any(_made(tenant, noun.name, label))
        name = f"{local}-{directory_id(tenant, address)[:8]}" if taken else local
    guid = str(row.get("Guid") or stable_guid(tenant.tenant_id, "mailbox", address.lower()))
    return new_row(tenant, noun, {**row, "Name": name, "PrimarySmtpAddress": address}, guid=guid)


def _merge_dns(tenant: Tenant, given: Mapping[str, Any]) -> None:
    """The seed's records. A zone of a seed counts whole: what is left of the domain's default zone goes."""
    zone = {_owner(name): records for name, records in given.items()}
    domains = _customers_domains(tenant)
    for domain in {_zone_of(owner, domains) for owner in zone} - {""}:
        default = default_zone(tenant, domain)
        tenant.dns = {owner: records for owner, records in tenant.dns.items() if default.get(owner) != records}
    for name, records in zone.items():
        for kind, texts in (records or {}).items():
            values = texts if isinstance(texts, list) else [texts]
            tenant.dns.setdefault(name, {})[str(kind).upper()] = [str(text) for text in values]


def _add_default_zones(tenant: Tenant, known: Collection[str], seed: Mapping[str, Any]) -> None:
    """A zone for each domain that is new (not `known`) and of which neither this seed nor DNS says anything.

    It has the CNAMEs of DKIM where signing is enabled, unless the seed's row says that they are missing.
    """
    domains = _customers_domains(tenant)
    spoken = {_zone_of(owner, domains) for owner in (*map(_owner, seed.get("dns") or {}), *tenant.dns)}
    configurations = exports.rows_of((seed.get("objects") or {}).get("DkimSigningConfig"))
    stale = {str(row.get("Domain", "")).lower() for row in configurations if row.get("Status") not in {None, "Valid"}}
    for domain in domains:
        if domain not in known and domain not in spoken:
            for row in tenant.rows("DkimSigningConfig"):
                if str(row.get("Domain", "")).lower() == domain and row.get("Enabled") is True and domain not in stale:
                    row["Status"] = "Valid"
            tenant.dns |= default_zone(tenant, domain)


def _owner(name: object) -> str:
    return str(name).lower().rstrip(".")


def _customers_domains(tenant: Tenant) -> list[str]:
    """The accepted domains whose zones are the customer's."""
    found = (str(row.get("DomainName", "")).lower() for row in tenant.rows("AcceptedDomain"))
    return [name for name in found if name and not of_the_service(name)]


def _zone_of(owner: str, domains: Iterable[str]) -> str:
    """The longest of the domains that a name is or lies below; "" for a name elsewhere."""
    return max((name for name in domains if f".{owner}".endswith(f".{name}")), key=len, default="")


def _merge_graph(tenant: Tenant, graph: Mapping[str, Any]) -> None:
    for name, value in graph.items():
        if name in {"users", "domains", "groups", "subscribedSkus", "conditionalAccessPolicies", "roleAssignments"}:
            _merge_entities(tenant, name, exports.rows_of(value))
        elif isinstance(value, Mapping) and isinstance(tenant.graph.get(name), Mapping):
            tenant.graph[name] = {**tenant.graph[name], **value}
        else:
            tenant.graph[name] = value


def _merge_entities(tenant: Tenant, kind: str, given: Iterable[Row]) -> None:
    """By id; users by their sign-in name as well, which is what a person knows of them."""
    rows: list[Row] = tenant.graph.setdefault(kind, [])

    def labels(row: Row) -> list[tuple[str, str]]:
        return [(column, str(row[column]).lower()) for column in ("id", "userPrincipalName") if row.get(column)]

    known = {label: row for row in rows for _, label in labels(row)}
    for row in given:
        found = next((known[label] for _, label in labels(row) if label in known), None)
        if found is None and kind == USERS:
            made = next((user for label in labels(row) for user in _made(tenant, kind, label)), None)
            found = None if made is None else tenant.own(kind, made)
        if found is None:
            rows.append(row)
        else:
            found.update(row)
        known.update(dict.fromkeys((label for _, label in labels(row)), found if found is not None else row))


def _merge_apps(tenant: Tenant, apps: Iterable[Any]) -> None:
    for app in apps:
        same = [a for a in tenant.apps if any(app.get(k) and app[k] == a.get(k) for k in ("appId", "displayName"))]
        if same:
            same[0].update(app)
        else:
            tenant.apps.append(dict(app))


# --- mailboxes -------------------------------------------------------------------------------------------------------


def _specs(given: Any) -> list[Mapping[str, Any]]:
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


def _merge_specs(tenant: Tenant, given: Any) -> None:
    """Mailboxes of the shorthand, in its order. Many that follow one rule are not written out."""
    rows: list[Row] = []
    for spec in _specs(given):
        if "count" not in spec:
            rows.append(_mailbox(spec))
        elif _follow_a_rule(tenant, spec):
            _merge_mailboxes(tenant, rows)
            rows = []
            _generate(tenant, spec)
        else:
            rows += _many(tenant.initial_domain, spec)
    _merge_mailboxes(tenant, rows)


def _merge_mailboxes(tenant: Tenant, mailboxes: Iterable[Row]) -> None:
    """Rows of the shorthand: to each of a mailbox's two rows what it has a column for."""
    rows = list(mailboxes)
    for name, foreign in _FOREIGN_COLUMNS.items():
        if rows:
            own = ({column: value for column, value in row.items() if column not in foreign} for row in rows)
            _merge_rows(tenant, name, own, exact=False)


def _mailbox(spec: Mapping[str, Any]) -> Row:
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
        yield _mailbox({**spec, "address": f"{prefix}{number:05d}@{domain}", "display_name": f"{prefix} {number:05d}"})


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
        name: _new(tenant, NOUNS[name], {c: v for c, v in first.items() if c not in foreign}, {})
        for name, foreign in _FOREIGN_COLUMNS.items()
    }
    user = _user(tenant, templates["Mailbox"])
    named_apart = max((s.count for s in tenant.generated if s.prefix.lower() == prefix.lower()), default=0)
    source = Generated(prefix, domain, count, _key(tenant, prefix, domain), {**templates, USERS: user}, named_apart)
    there = _generated_over(tenant, source)
    tenant.generated.append(source)
    _merge_mailboxes(tenant, (_mailbox({**spec, **_called(source, number)}) for number in sorted(there)))


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


def _pair_mailboxes(tenant: Tenant) -> None:
    """Every mailbox has a row of either noun: make the one that lacks. Generated ones have both."""
    shared = (
        "PrimarySmtpAddress", "EmailAddresses", "DisplayName", "Name", "Identity", "Guid", "ExternalDirectoryObjectId",
    )  # fmt: skip
    for one, other in (("CASMailbox", "Mailbox"), ("Mailbox", "CASMailbox")):
        there = {str(row.get("PrimarySmtpAddress")).lower() for row in tenant.kept(other)}
        for row in tenant.kept(one):
            address = str(row.get("PrimarySmtpAddress")).lower()
            if address not in there and not any(_made(tenant, other, ("PrimarySmtpAddress", address))):
                given = {column: row[column] for column in shared if row.get(column)}
                given["EmailAddresses"] = list(given.get("EmailAddresses", ()))
                tenant.kept(other).append(_new(tenant, NOUNS[other], given, {}))


# --- deriving --------------------------------------------------------------------------------------------------------


def _derive_accepted_domains(tenant: Tenant, verified: Iterable[Mapping[str, Any]], *, only_used: bool) -> None:
    """Accepted domains from Graph's verified ones, and from what cannot be without: mailboxes.

    A row of DKIM makes none: those of removed domains stay in a tenant.
    """
    rows = tenant.kept("AcceptedDomain")
    known = {str(row.get("DomainName", "")).lower() for row in rows}
    wanted = [str(row["PrimarySmtpAddress"]).partition("@")[2].lower() for row in tenant.kept("Mailbox")]
    wanted += [source.domain.lower() for source in tenant.generated]
    if not only_used:
        wanted = [tenant.initial_domain, *(str(row["id"]).lower() for row in verified), *wanted]
    defaults = {str(row["id"]).lower() for row in verified if row.get("isDefault")}
    for name in dict.fromkeys(wanted):
        if name and name not in known:
            initial = name == tenant.initial_domain
            facts = {"Name": name, "DomainName": name, "InitialDomain": initial}
            rows.append(new_row(tenant, NOUNS["AcceptedDomain"], facts))
    if defaults and not only_used:
        for row in rows:
            row["Default"] = str(row["DomainName"]).lower() in defaults
    elif not any(row.get("Default") for row in rows):
        rows[0]["Default"] = True


def _derive_graph_domains(tenant: Tenant, *, complete_all: bool) -> None:
    """Graph's domains from the accepted ones. Rows that a seed of ours gave are left as they are."""
    rows: list[Row] = tenant.graph.setdefault("domains", [])
    known = {str(row.get("id", "")).lower(): row for row in rows}
    for accepted in tenant.rows("AcceptedDomain"):
        name = str(accepted.get("DomainName", "")).lower()
        if name and name not in known:
            facts = {"isDefault": accepted.get("Default") is True, "isInitial": accepted.get("InitialDomain") is True}
            known[name] = {**_domain_defaults(name, tenant.initial_domain), **facts, "id": name}
            rows.append(known[name])
    for name, row in known.items():
        if complete_all:
            defaults = _domain_defaults(name, tenant.initial_domain)
            row.update({column: value for column, value in defaults.items() if column not in row})
    if not tenant.graph.get("organization"):
        tenant.graph["organization"] = {
            "id": tenant.tenant_id,
            "displayName": tenant.display_name,
            "verifiedDomains": [
                {
                    "capabilities": "Email, OfficeCommunicationsOnline",
                    "name": name,
                    "isDefault": row.get("isDefault"),
                    "isInitial": row.get("isInitial"),
                    "type": row.get("authenticationType") or "Managed",
                }
                for name, row in known.items()
                if row.get("isVerified")
            ],
        }


def _domain_defaults(name: str, initial_domain: str) -> Row:
    """A domain as Graph gives it, with the DNS records that Microsoft asks for."""
    asked = asked_for(initial_domain, name)
    common = {"isOptional": False, "ttl": 3600, "supportedService": "Email"}
    mx = {"label": name, "recordType": "Mx", "preference": 0, "mailExchange": asked.mx}
    txt = {"label": name, "recordType": "Txt", "text": asked.spf}
    cname = {"label": f"autodiscover.{name}", "recordType": "CName", "canonicalName": asked.autodiscover}
    records = [
        {"@odata.type": f"#microsoft.graph.domainDns{record['recordType']}Record", **common, **record,
         "id": stable_guid("record", str(record["recordType"]), name)}
        for record in (mx, txt, cname)
    ]  # fmt: skip
    return {
        "authenticationType": "Managed",
        "availabilityStatus": None,
        "isAdminManaged": True,
        "isDefault": False,
        "isInitial": False,
        "isRoot": True,
        "isVerified": True,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
        "passwordValidityPeriodInDays": 2147483647,
        "passwordNotificationWindowInDays": 14,
        "state": None,
        "serviceConfigurationRecords": [] if of_the_service(name) else records,
    }


# EXCHANGE_S_ENTERPRISE ("Product names and service plan identifiers for licensing", Learn); status as Graph tells it.
_EXCHANGE_PLAN = {
    "assignedDateTime": "2026-01-12T08:00:00Z",
    "capabilityStatus": "Enabled",
    "service": "exchange",
    "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
}


# Exchange Online (Plan 2), whose plan it is (the same page).
_PLAN_2 = {"skuId": "19ec0d23-8335-4cbd-94ac-6050e30712fa", "disabledPlans": []}


def _derive_users(tenant: Tenant) -> None:
    """A Graph user for each mailbox that has none. Generated mailboxes have theirs."""
    users = tenant.kept(USERS)
    for user in users:  # a seed may name its users by what a person knows of them
        address = str(user.get("mail") or user.get("userPrincipalName") or "")
        user.setdefault("id", _user_id(tenant, address))
    known = {str(user.get(column) or "").lower() for user in users for column in ("userPrincipalName", "mail", "id")}
    for row in tenant.kept("Mailbox"):
        address, upn = str(row["PrimarySmtpAddress"]), str(row.get("UserPrincipalName") or row["PrimarySmtpAddress"])
        if not {address.lower(), upn.lower()} & known:
            users.append(_user(tenant, row))


def _user_id(tenant: Tenant, address: str) -> str:
    generated = next(_made(tenant, "Mailbox", ("PrimarySmtpAddress", address.lower())), None)
    return directory_id(tenant, address) if generated is None else str(generated["ExternalDirectoryObjectId"])


def _user(tenant: Tenant, mailbox: Row) -> Row:
    """A mailbox's user as Graph gives it."""
    address = str(mailbox["PrimarySmtpAddress"])
    user = mailbox.get("RecipientTypeDetails") == "UserMailbox"
    return {
        "id": mailbox.get("ExternalDirectoryObjectId") or directory_id(tenant, address),
        "displayName": mailbox.get("DisplayName"),
        "userPrincipalName": str(mailbox.get("UserPrincipalName") or address),
        "mail": address,
        "accountEnabled": user,
        "assignedLicenses": [dict(_PLAN_2)] if user and not tenant.graph.get("subscribedSkus") else [],
        "assignedPlans": [_EXCHANGE_PLAN] if user else [],
        "proxyAddresses": [str(proxy) for proxy in mailbox.get("EmailAddresses") or ()],
    }
