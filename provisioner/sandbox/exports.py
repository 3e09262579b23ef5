"""Exports of real tenants, as ScubaGear and its kin write them, turned into a seed's document.

Rows stay as they stand in the file: keys, values, types, dates as `/Date(ms)/`, mangled text and all. What such a file
does not hold (accepted domains in older ones, Graph's domains, public DNS) is derived from what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provisioner.sandbox.clock import stored_time, wire_time
from provisioner.sandbox.public_dns import asked_for, of_the_service

_NOUNS: Mapping[str, str] = {
    "transport_config": "TransportConfig",
    "org_config": "OrganizationConfig",
    "accepted_domains": "AcceptedDomain",
    "remote_domains": "RemoteDomain",
    "dkim_config": "DkimSigningConfig",
    "conn_filter": "HostedConnectionFilterPolicy",
    "inbound_connectors": "InboundConnector",
    "outbound_connectors": "OutboundConnector",
    "authentication_policies": "AuthenticationPolicy",
    "mailboxes": "Mailbox",
    "cas_mailboxes": "CASMailbox",
    "sharing_policy": "SharingPolicy",
    "intra_org_connectors": "IntraOrganizationConnector",
    "org_relationships": "OrganizationRelationship",
    "transport_rule": "TransportRule",
}
_OTHERS = frozenset({"tenant_details", "domain_settings", "spf_records", "dkim_records", "dmarc_records"})


def raw_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The export in a file of results, which has it under `Raw` (ScubaGear PR 1316: the default); else the document."""
    raw = document.get("Raw")
    return raw if isinstance(raw, Mapping) and is_export(raw) else document


def is_export(document: Mapping[str, Any]) -> bool:
    """Whether this looks like such an export."""
    return bool((set(_NOUNS) | _OTHERS) & set(document))


def rows_of(value: Any) -> list[dict[str, Any]]:
    """The rows of an entry: a list, a lone object (PowerShell unrolls lists of one), null, or a list of null."""
    entries = value if isinstance(value, list) else [value]
    return [dict(entry) for entry in entries if isinstance(entry, Mapping)]


def convert(document: Mapping[str, Any]) -> dict[str, Any]:
    """A seed's document from an export. Unknown keys are left out."""
    objects = {noun: rows for key, noun in _NOUNS.items() if (rows := rows_of(document.get(key)))}
    details = next(iter(rows_of(document.get("tenant_details"))), {})
    verified = [
        row for extra in rows_of(details.get("AADAdditionalData")) for row in rows_of(extra.get("VerifiedDomains"))
    ]
    settings = rows_of(document.get("domain_settings"))
    initial = _initial_domain(objects, verified, settings)
    domains = _domains(document, objects, verified, settings, initial)
    tenant: dict[str, Any] = {"initial_domain": initial}
    if details.get("TenantId"):
        tenant["id"] = str(details["TenantId"])
    if details.get("DisplayName"):
        tenant["display_name"] = str(details["DisplayName"])
    return {
        "tenant": tenant,
        "objects": objects,
        "domains": [row for row in domains if row["isVerified"]],
        "graph": {
            "domains": domains,
            "organization": _organization(document, details, verified),
            "subscribedSkus": _skus(document),
        },
        "dns": _dns(document, objects, initial),
        "settings": _settings(objects),
    }


def _initial_domain(
    objects: Mapping[str, list[dict[str, Any]]], verified: list[dict[str, Any]], settings: list[dict[str, Any]]
) -> str:
    """The `.onmicrosoft.com` name that the tenant was made with."""
    named = [
        *(row.get("Name") for row in verified if row.get("IsInitial")),
        *(row.get("DomainName") for row in objects.get("AcceptedDomain", ()) if row.get("InitialDomain")),
        *(row.get("Id") for row in settings if row.get("IsInitial")),
        *(row.get("Name") for row in objects.get("OrganizationConfig", ())),
        *(row.get("OrganizationalUnitRoot") for rows in objects.values() for row in rows),
    ]
    return next((str(name).lower() for name in named if name), "contoso.onmicrosoft.com")


def _domains(
    document: Mapping[str, Any],
    objects: Mapping[str, list[dict[str, Any]]],
    verified: list[dict[str, Any]],
    settings: list[dict[str, Any]],
    initial: str,
) -> list[dict[str, Any]]:
    """Graph's domains: every name that the export uses as one of the tenant's own. Graph's own rows win."""
    found: dict[str, dict[str, Any]] = {}

    def add(name: object, **facts: Any) -> None:
        if isinstance(name, str) and "." in name:
            found.setdefault(name.lower(), {}).update(facts)

    add(initial, isInitial=True)
    for row in objects.get("AcceptedDomain", ()):
        add(row.get("DomainName"), isDefault=row.get("Default") is True)
    # Rows of DKIM outlive their domain: they count where the accepted domains are not in the export.
    for row in () if objects.get("AcceptedDomain") else objects.get("DkimSigningConfig", ()):
        add(row.get("Domain"))
    for row in rows_of(document.get("spf_records")):
        add(row.get("domain"))
    for row in verified:
        services = [text.strip() for text in str(row.get("Capabilities", "")).split(",") if text.strip() != "None"]
        facts = {"isDefault": row.get("IsDefault") is True, "isInitial": row.get("IsInitial") is True}
        add(row.get("Name"), authenticationType=row.get("Type", "Managed"), supportedServices=services, **facts)
    for row in settings:
        add(row.get("Id"), **{name[:1].lower() + name[1:]: value for name, value in row.items()})
    defaults = {"isDefault": False, "isInitial": False, "isVerified": True}
    return [{**defaults, **facts, "id": name} for name, facts in found.items()]


def _organization(
    document: Mapping[str, Any], details: Mapping[str, Any], verified: list[dict[str, Any]]
) -> dict[str, Any]:
    extra = next(iter(rows_of(details.get("AADAdditionalData"))), {})
    created = stored_time(extra.get("CreatedDateTime"))
    return {
        "id": details.get("TenantId"),
        "displayName": details.get("DisplayName"),
        "createdDateTime": None if created is None else f"{wire_time(created)[:19]}Z",
        "onPremisesSyncEnabled": extra.get("OnPremisesSyncEnabled"),
        "countryLetterCode": extra.get("CountryLetterCode"),
        "tenantType": extra.get("TenantType", "AAD"),
        "verifiedDomains": [_camel(row) for row in verified],
        "assignedPlans": [
            {"servicePlanId": plan.get("ServicePlanId"), "service": "exchange", "capabilityStatus": "Enabled"}
            for plan in rows_of(document.get("service_plans"))
        ],
    }


def _camel(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in row.items()}


def _skus(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Licences. The export does not say which plan belongs to which: the one most in use gets them all."""
    licences = rows_of(document.get("license_information"))
    plans = [
        {
            "servicePlanId": plan.get("ServicePlanId"),
            "servicePlanName": plan.get("ServicePlanName"),
            "provisioningStatus": plan.get("ProvisioningStatus"),
            "appliesTo": plan.get("AppliesTo"),
        }
        for plan in rows_of(document.get("service_plans"))
    ]
    largest = max(licences, key=lambda row: _units(row.get("ConsumedUnits")), default=None)
    return [
        {
            "id": f"{row.get('SkuId')}",
            "skuId": row.get("SkuId"),
            "skuPartNumber": row.get("SkuPartNumber"),
            "capabilityStatus": "Enabled",
            "appliesTo": "User",
            "consumedUnits": row.get("ConsumedUnits"),
            "prepaidUnits": _camel(row["PrepaidUnits"]) if isinstance(row.get("PrepaidUnits"), Mapping) else {},
            "servicePlans": plans if row is largest else [],
        }
        for row in licences
    ]


def _units(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _dns(
    document: Mapping[str, Any], objects: Mapping[str, list[dict[str, Any]]], initial: str
) -> dict[str, dict[str, list[str]]]:
    """The public DNS that the export mentions: SPF and DMARC as found, CNAMEs of what the service calls Valid.

    No export holds MX records: a domain that it has looked up gets the one that Microsoft asks for.
    """
    zone: dict[str, dict[str, list[str]]] = {}
    for row in rows_of(document.get("spf_records")):
        _publish(zone, row.get("domain"), "TXT", _texts(row))
        _publish(zone, row.get("domain"), "MX", [f"0 {asked_for(initial, str(row.get('domain')).lower()).mx}"])
    for row in rows_of(document.get("dmarc_records")):
        _publish(zone, f"_dmarc.{row.get('domain')}", "TXT", _texts(row))
    for owner, target, key in _selectors(objects.get("DkimSigningConfig", ())):
        _publish(zone, target, "TXT", [key] if key else [])
        if owner:
            _publish(zone, owner, "CNAME", [target])
    return zone


def _selectors(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Owner of the CNAME ("" where none is published), its target, the key at the target."""
    for row in rows:
        domain = str(row.get("Domain", "")).lower()
        published = row.get("Status") == "Valid" and not of_the_service(domain)
        for number in (1, 2):
            target = row.get(f"Selector{number}CNAME")
            if domain and isinstance(target, str) and target:
                owner = f"selector{number}._domainkey.{domain}" if published else ""
                yield owner, target, str(row.get(f"Selector{number}PublicKey") or "")


def _texts(row: Mapping[str, Any]) -> list[str]:
    texts = row.get("rdata")
    return [str(text) for text in (texts if isinstance(texts, list) else [texts]) if text]


def _publish(zone: dict[str, dict[str, list[str]]], owner: object, kind: str, texts: list[str]) -> None:
    if isinstance(owner, str) and owner and texts:
        zone.setdefault(owner.lower().rstrip("."), {})[kind] = texts


def _settings(objects: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    servers = (row.get("OriginatingServer") for rows in objects.values() for row in rows)
    server = next((name for name in servers if isinstance(name, str) and "." in name), None)
    return {"originating_server": server} if server else {}
