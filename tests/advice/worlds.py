"""Tenants with plans that raise the rules: small pieces, alone and in generated combinations."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from provisioner.diagnostics import PermissionMissing
from provisioner.model import Answer, Cmdlet, GraphRequest
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.port import Service, born, kept

TENANT, OWNER, OTHERS = "contoso.onmicrosoft.com", "contoso/mail", "contoso/other"
SITE, BRANCH, WAN = "81.2.69.142", "81.2.69.160", "81.2.70.0/24"
FREE = "81.2.69.161"  # a public address that no piece uses: what a reader gives to a device
GUEST = "5a1c2a52-0000-4000-8000-000000000001"
CLIENT = "5a1c2a52-0000-4000-8000-000000000003"  # an application that Entra ID has, and Exchange does not know
MISTAKEN = CLIENT.replace("0003", "0009")  # another application, registered with the id of its app registration
_APPS = [
    {"displayName": "erp", "appId": CLIENT, "objectId": CLIENT.replace("0003", "0004")},
    {"displayName": "old", "appId": MISTAKEN, "objectId": CLIENT.replace("0003", "0008")},
]

Command = tuple[str, Mapping[str, Any]]
"""A cmdlet with its parameters; or `load` (a seed) or `dns` (a zone), with what it adds."""

_SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": TENANT, "display_name": "Contoso", "id": GUEST.replace("2a52", "2a54")},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": TENANT, "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True},
            {"DomainName": "quiet.example", "SendingFromDomainDisabled": True},
            {"DomainName": "contoso.mail.onmicrosoft.com", "IsCoexistenceDomain": True},
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "MailUser": [{"Name": "bulk", "PrimarySmtpAddress": "bulk@contoso.com"}],
        "MailContact": [{"Name": "Supplier", "ExternalEmailAddress": "SMTP:supplier@fabrikam.com"}],
        "DistributionGroup": [{"Name": "Helpdesk Team", "PrimarySmtpAddress": "helpdesk@contoso.com"}],
        "ServicePrincipal": [
            {"AppId": GUEST.replace("2a52", "2a53"), "ObjectId": GUEST},
            {"AppId": MISTAKEN, "ObjectId": MISTAKEN},
        ],
    },
    "apps": _APPS,
    "mailboxes": [
        *(f"{name}@contoso.com" for name in ("erp", "fax", "scan", "bills", "desk")),
        {"address": "mfp@contoso.com", "aliases": ["printer@contoso.com"], "upn": f"mfp01@{TENANT}"},
        {"address": "shared@contoso.com", "type": "SharedMailbox"},
        *(f"staff{n}@contoso.com" for n in range(1, 13)),
    ],
    "graph": {"users": [{"userPrincipalName": "shared@contoso.com", "accountEnabled": False, "assignedPlans": []}]},
    "dns": {
        "contoso.com": {
            "MX": ["0 contoso-com.mail.protection.outlook.com."],
            "TXT": [f"v=spf1 ip4:{SITE} ip4:{BRANCH} ip4:{FREE} include:spf.protection.outlook.com -all"],
        },
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}


@dataclass(frozen=True, slots=True)
class World:
    """A plan, what was done in the tenant before, what the application may not read, and the rules that it raises.

    `denied` are cmdlets and Graph paths. `waivers` are `--allow` options. `parts` are the pieces of a combination.
    """

    name: str
    plan: Mapping[str, Any]
    done: Sequence[Command] = ()
    denied: frozenset[str] = frozenset()
    raises: frozenset[str] = frozenset()
    waivers: tuple[str, ...] = ()
    parts: tuple[World, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        return {"provisioner": 1, "tenant": TENANT, "owner": OWNER, **copy.deepcopy(dict(self.plan))}

    @property
    def document_free(self) -> dict[str, Any]:
        """The sections of the plan, to be changed."""
        return copy.deepcopy(dict(self.plan))

    def service(self) -> Reader:
        """The tenant, anew each time."""
        service = Reader(_tenant(), 7)
        service.denied = self.denied
        for name, parameters in self.done:
            _do(service, name, parameters)
        return service

    def __add__(self, other: World) -> World:
        """Both at once: mappings of the plan are joined, lists too; of two values the later one counts."""
        return World(
            f"{self.name} + {other.name}",
            joined(self.plan, other.plan),
            (*self.done, *(command for command in other.done if command not in self.done)),
            self.denied | other.denied,
            parts=(*(self.parts or (self,)), *(other.parts or (other,))),
        )


def joined(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {k: joined(v, other[k]) if k in other else v for k, v in one.items()}
        return {**both, **{k: v for k, v in other.items() if k not in one}}
    return [*one, *other] if isinstance(one, list) and isinstance(other, list) else other


class Reader(Service):
    """A tenant of which an application may read a part only."""

    denied: frozenset[str] = frozenset()

    def execute(self, cmdlet: Cmdlet) -> Answer:
        if cmdlet.name in self.denied:
            raise PermissionMissing("not allowed", cmdlet.name, hint=f"give the app a role that holds {cmdlet.name}")
        return super().execute(cmdlet)

    def _directory(self, request: GraphRequest) -> Answer:
        if any(request.path.startswith(path) for path in self.denied):
            raise PermissionMissing("not allowed", str(request), hint="grant the permission")
        return super()._directory(request)


@cache
def _dump() -> bytes:
    tenant = Tenant()
    tenant.merge(load_seed(_SEED))
    return kept(tenant)


def _tenant() -> Tenant:
    return born(_dump(), 7).tenant


def _do(service: Reader, name: str, parameters: Mapping[str, Any]) -> None:
    tenant = service.tenant
    match name:
        case "load":
            tenant.merge(load_seed({"sandbox": 1, **copy.deepcopy(dict(parameters))}))
        case "dns":
            tenant.dns.update(copy.deepcopy(dict(parameters)))
        case _:
            service.administrate(name, parameters)


# --- pieces ----------------------------------------------------------------------------------------------------------


def _relay(name: str, **fields: Any) -> dict[str, Any]:
    return {name: {"type": "on_premises", "require_tls": False, **fields}}


def _device(name: str, authentication: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    usual = {"from": f"{name}@contoso.com", "recipients": "anyone"}
    return {"devices": {name: {**usual, "supports": {"tls": "1.2", "authentication": [*authentication]}, **fields}}}


def _row(name: str, **columns: Any) -> Command:
    usual = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "RequireTls": False}
    return "New-InboundConnector", {"Name": name, **usual, **columns}


def _switch(mailbox: str, disabled: bool | None) -> Command:
    return "Set-CASMailbox", {"Identity": mailbox, "SmtpClientAuthenticationDisabled": disabled}


MARK = f"[provisioner: {OWNER} [%s]]"
HQ = {"sites": {"hq": {"egress_ip_addresses": [SITE]}}}


def _world(name: str, plan: Mapping[str, Any], *raises: str, done: Sequence[Command] = (), **more: Any) -> World:
    return World(name, plan, done, raises=frozenset(raises), **more)


def _of_connectors() -> Iterator[World]:
    relay = {"inbound_connectors": _relay("hq", sender_ip_addresses=[SITE])}
    yield _world("declared and absent", {**relay, "absent": ["inbound_connector/hq"]}, "ABSENT-DECLARED")
    owned = [_row(f"c{n}", SenderIPAddresses=[f"52.202.8.{n}"], Comment=MARK % f"c{n}") for n in range(3)]
    yield _world("a file was lost", {"inbound_connectors": _relay("c0", sender_ip_addresses=["52.202.8.0"])},
                 "BLAST-RADIUS", done=owned)  # fmt: skip
    yield _world(
        "certificate without TLS",
        {"inbound_connectors": _relay("cert", tls_sender_certificate_name="mail.contoso.com")},
        "CERTIFICATE-UNUSED",
    )
    partner = {"type": "partner", "tls_sender_certificate_name": "mail.bank.example", "require_tls": True}
    yield _world("partner's certificate",
                 {"inbound_connectors": {"bank": {**partner, "sender_domains": ["bank.example"]}}},
                 "CERTIFICATE-UNUSED")  # fmt: skip
    was = _row("depot", SenderIPAddresses=[BRANCH], Comment=MARK % "depot")
    yield _world("emptied", {"inbound_connectors": _relay("depot", sender_ip_addresses=[])},
                 "CONNECTOR-EMPTIED", "CONNECTOR-WITHOUT-SENDERS", done=[was])  # fmt: skip
    twice = {**_relay("one", sender_ip_addresses=[SITE]), **_relay("two", sender_ip_addresses=[SITE])}
    yield _world("the same twice", {"inbound_connectors": twice}, "CONNECTOR-SAME-SCOPE")
    yield _world("type forgotten", {"inbound_connectors": {"mfp": {"sender_ip_addresses": [SITE]}}},
                 "CONNECTOR-TYPE-MISSING")  # fmt: skip
    narrow = _row("scan", ConnectorType="Partner", SenderIPAddresses=[BRANCH], Comment=MARK % "scan")
    yield _world("another type", {"inbound_connectors": _relay("scan", sender_ip_addresses=[BRANCH])},
                 "CONNECTOR-TYPE-CHANGES", done=[narrow])  # fmt: skip
    yield _world("covered", {"inbound_connectors": _relay("wan", sender_ip_addresses=[WAN, "81.2.70.9"])},
                 "IP-COVERED")  # fmt: skip
    yield _world("an example's address", {"inbound_connectors": _relay("doc", sender_ip_addresses=["192.0.2.9"])},
                 "IP-DOCUMENTATION")  # fmt: skip
    yield _world("private", {"inbound_connectors": _relay("lan", sender_ip_addresses=["10.0.0.5"])}, "IP-PRIVATE")
    yield _world("wide", {"inbound_connectors": _relay("far", sender_ip_addresses=["81.2.0.0/22"])}, "IP-RANGE-WIDE")
    disabled = _row("idle", SenderIPAddresses=[BRANCH], Enabled=False, Comment=MARK % "idle")
    yield _world("not in force", {"inbound_connectors": _relay("idle", sender_ip_addresses=[BRANCH])},
                 "NOT-IN-FORCE", done=[disabled])  # fmt: skip
    foreign = _row("theirs", SenderIPAddresses=[BRANCH], Comment=f"[provisioner: {OTHERS} [theirs]]")
    yield _world("another plan's", {"inbound_connectors": _relay("theirs", sender_ip_addresses=[BRANCH, SITE])},
                 "OWNER-FOREIGN", done=[foreign])  # fmt: skip
    filter_ = {"type": "partner", "sender_domains": ["*"], "sender_ip_addresses": ["195.130.217.0/24"],
               "require_tls": True, "restrict_domains_to_ip_addresses": True}  # fmt: skip
    yield _world("filter service", {"inbound_connectors": {"filter": filter_}}, "PARTNER-RESTRICTS")
    for name in ("mail.shop.example", "mail.contoso.com"):
        own = _relay("own", tls_sender_certificate_name=name)["own"] | {"require_tls": True}
        raised = ["DOMAIN-NOT-ACCEPTED"] if "shop" in name else []
        yield _world(f"certificate {name}", {"inbound_connectors": {"own": own}}, *raised)
    inside = {"inbound_connectors": _relay("inside", sender_ip_addresses=[SITE], treat_messages_as_internal=True)}
    yield _world("internal", inside, "TREAT-AS-INTERNAL")
    wizard = _row("Inbound from 0a1b2c3d-0000-4000-8000-000000000009", SenderIPAddresses=[BRANCH],
                  ConnectorSource="HybridWizard", CloudServicesMailEnabled=True)  # fmt: skip
    yield _world("the wizard's", {"inbound_connectors": {wizard[1]["Name"]: {"require_tls": True}}},
                 "HYBRID-CONNECTOR", done=[wizard])  # fmt: skip
    yield _world("range by hand", relay, "UNMANAGED-RELAY", done=[_row("WAN", SenderIPAddresses=[WAN])])
    yield _world("the same by hand", relay, "UNMANAGED-OVERLAP",
                 done=[_row("by hand", SenderIPAddresses=[SITE], RequireTls=True)])  # fmt: skip
    old = _row("Old name", SenderIPAddresses=[SITE], Comment=f"[provisioner: {OWNER}]", RequireTls=True)
    yield _world("renamed perhaps", {"inbound_connectors": _relay("new", sender_ip_addresses=[SITE])},
                 "RENAMED-UNCLEAR", done=[old])  # fmt: skip
    yield _world("all mail out", {"outbound_connectors": {"out": {"type": "partner", "recipient_domains": ["*"],
                 "smart_hosts": ["relay.fabrikam.com"]}}}, "OUTBOUND-ALL-MAIL")  # fmt: skip
    yield _world(
        "protected",
        {"absent": ["inbound_connector/depot"], "protect": ["inbound_connector/depot"]},
        "PROTECTED",
        done=[was],
    )


def _of_names() -> Iterator[World]:
    yield _world("two names of one", {"smtp_auth": {"mailboxes": {
        "mfp@contoso.com": "enabled", "printer@contoso.com": "enabled"}}}, "SAME-MAILBOX")  # fmt: skip
    yield _world("nobody", {"smtp_auth": {"mailboxes": {"nobody@contoso.com": "enabled"}}}, "RESOURCE-MISSING")
    for who in ("bulk@contoso.com", "supplier@fabrikam.com", "helpdesk@contoso.com"):
        yield _world(f"no mailbox: {who}", {"smtp_auth": {"mailboxes": {who: "enabled"}}}, "RESOURCE-MISSING")
    yield _world("a right for nobody", {"send_as": {"nobody@contoso.com": ["bills@contoso.com"]}}, "RESOURCE-MISSING")
    frozen = {"smtp_auth": {"exclusive": True, "mailboxes": {"nobody@contoso.com": "enabled"}}}
    yield _world("frozen", frozen, "UNDECLARED-FROZEN", "RESOURCE-MISSING", done=[_switch("desk@contoso.com", False)])
    yield _world("everybody", {"smtp_auth": {"organization": "enabled"}}, "SMTP-TENANT-WIDE")
    yield _world("everybody already", {"smtp_auth": {"organization": "enabled"}}, "SMTP-TENANT-WIDE",
                 done=[("Set-TransportConfig", {"SmtpClientAuthenticationDisabled": False})])  # fmt: skip
    taken = [_switch(f"staff{n}@contoso.com", False) for n in range(1, 13)]
    yield _world("overrides lost", {"smtp_auth": {"exclusive": True, "mailboxes": {"erp@contoso.com": "enabled"}}},
                 "BLAST-RADIUS", done=taken)  # fmt: skip
    yield _world("domain to be", {"domains": {"shop.example": {"verified": True}}}, "PRECONDITION")
    yield _world("mailbox without", {"mailboxes": {"erp@contoso.com": {"enabled": True, "licensed": True}}},
                 "PRECONDITION", done=[_blocked("erp@contoso.com")])  # fmt: skip


def _blocked(mailbox: str) -> Command:
    user = {"userPrincipalName": mailbox, "accountEnabled": False, "assignedPlans": []}
    return "load", {"graph": {"users": [user]}}


def _of_dkim() -> Iterator[World]:
    yield _world("coexistence", {"dkim": {"contoso.mail.onmicrosoft.com": {"enabled": True}}}, "DKIM-COEXISTENCE")
    for size, rules in ((1024, ("DKIM-KEY-1024",)), (2048, ("CREATE-ONLY",))):
        weak = ("New-DkimSigningConfig", {"DomainName": "contoso.com", "Enabled": False, "KeySize": 1024})
        yield _world(f"key of {size}", {"dkim": {"contoso.com": {"enabled": False, "key_size": size}}}, *rules,
                     done=[weak])  # fmt: skip
    yield _world("key to be", {"dkim": {"contoso.com": {"enabled": False, "key_size": 1024}}}, "DKIM-KEY-1024")
    yield _world("not accepted", {"dkim": {"shop.example": {"enabled": True}}}, "DOMAIN-NOT-ACCEPTED")


def _of_devices() -> Iterator[World]:
    yield _world("basic", joined(_device("erp", ["basic"]), {}), "DEVICE-RISK")
    yield _world("no way", _device("fax"), "DEVICE-NO-METHOD")
    bulk = _device("erp", ["basic"], messages_per_day=50_000, method="client_submission", recipients="organization")
    yield _world("too much", bulk, "DEVICE-NO-METHOD")
    refuses = {"inbound_connectors": {"filter": {"type": "partner", "sender_domains": ["*"], "require_tls": True,
               "sender_ip_addresses": ["195.130.217.0/24"], "restrict_domains_to_ip_addresses": True}}}  # fmt: skip
    many = _device("erp", ["basic"], messages_per_day=1_000, recipients_per_message=60, method="client_submission",
                   recipients="organization")  # fmt: skip
    news = {"news@contoso.com": {"password": "env:HVE_PASSWORD"}}
    wildcard = _relay("relay", tls_sender_certificate_name="*.contoso.com")
    wildcard["relay"]["require_tls"] = True
    yield _world("a wildcard", {"inbound_connectors": wildcard}, "CERTIFICATE-WILDCARD")
    pool = {"sites": {"pool": {"egress_ip_addresses": [BRANCH], "address": "changing"}}}
    yield _world("a pool", joined(pool, {"inbound_connectors": _relay("pool", sender_ip_addresses=[BRANCH])}),
                 "CONNECTOR-SHARED-ADDRESS")  # fmt: skip
    both = joined(*(_device(name, site="hq", messages_per_day=8_000) for name in ("fax", "scan")))
    yield _world("a tenant's limit", joined(HQ, both), "TENANT-EXTERNAL-LIMIT", "CONNECTOR-IPV6")
    unread = frozenset({"Get-LimitsEnforcementStatus", "Get-IPv6StatusForAcceptedDomain"})
    yield _world("limits unread", joined(HQ, both), "RULE-NOT-DECIDED", denied=unread)
    yield _world("nobody pays", {"hve_accounts": news}, "HVE-BILLING")
    account: Command = ("New-MailUser", {"HVEAccount": True, "Name": "n", "PrimarySmtpAddress": "news@contoso.com",
            "Password": "Secret123"})  # fmt: skip
    yield _world("an account goes", {"absent": ["hve_account/news@contoso.com"]}, "HVE-ACCOUNT-DELETED", done=[account])
    yield _world("an account without billing", {"hve_accounts": news}, "NOT-IN-FORCE", done=[account])
    letters = _device("letters", ["basic"], messages_per_day=50_000, recipients="organization", mailbox="")
    yield _world("an account to be made", letters, "RESOURCE-MISSING")
    yield _world("too many at once", many, "DEVICE-NO-METHOD")
    yield _world("too many at once", many, "DEVICE-NO-METHOD") + _world("a filter", refuses)
    yield _world("old TLS", _device("fax", ["basic"], supports={"tls": "1.0", "authentication": ["basic"]}),
                 "DEVICE-NO-METHOD")  # fmt: skip
    closed = {"sites": {"hq": {"egress_ip_addresses": [SITE], "ports": [587]}}}
    yield _world("port closed", joined(closed, _device("fax", site="hq")), "DEVICE-NO-METHOD")
    yield _world("direct", _device("fax", recipients="organization"), "DEVICE-RISK")
    rejects = ("Set-OrganizationConfig", {"RejectDirectSend": True})
    yield _world("rejected", _device("fax", recipients="organization"), "DIRECT-SEND-REJECTED", done=[rejects])
    yield _world("rejection unknown", _device("fax", recipients="organization"), "DIRECT-SEND-UNKNOWN",
                 denied=frozenset({"Get-OrganizationConfig"}))  # fmt: skip
    lost = joined({"organization": {"reject_direct_send": True}}, _device("fax", recipients="organization",
                  method="direct_send"))  # fmt: skip
    yield _world("loses direct send", lost, "DEVICE-NO-METHOD")
    disabled = _row("cover", SenderIPAddresses=[SITE], Enabled=False, Comment=MARK % "cover")
    cover = {**HQ, "inbound_connectors": _relay("cover", sender_ip_addresses=[SITE])}
    yield _world("its connector is off", joined(cover, _device("fax", site="hq")), "NOT-IN-FORCE",
                 "DEVICE-CANNOT-SEND", done=[disabled])  # fmt: skip
    made = _row("site-hq", SenderIPAddresses=[SITE], Enabled=False, RequireTls=True, Comment=MARK % "site-hq")
    yield _world("its own connector is off", joined(HQ, _device("fax", site="hq")), done=[made])  # fmt: skip
    works = _row("works", SenderIPAddresses=[SITE], Comment=MARK % "works")
    badge = _device("badge", recipients="organization", method="direct_send")
    filter_ = {"type": "partner", "sender_domains": ["*"], "sender_ip_addresses": ["195.130.217.0/24"],
               "require_tls": True, "restrict_domains_to_ip_addresses": True}  # fmt: skip
    yield _world("shut out", joined({"inbound_connectors": {"filter": filter_}}, badge), "DEVICE-LOSES-WAY",
                 "PARTNER-RESTRICTS")  # fmt: skip
    yield _world("relay lost", joined({"sites": {"hq": {"egress_ip_addresses": [SITE]}},
                 "absent": ["inbound_connector/works"], "inbound_connectors": _relay("site-hq", enabled=False,
                 sender_ip_addresses=[SITE])}, _device("fax", site="hq")), done=[works])  # fmt: skip
    yield _world("shut out already", badge, "DEVICE-CANNOT-SEND", done=[("New-InboundConnector", {
        "Name": "Filter", "ConnectorType": "Partner", "SenderDomains": ["*"], "RequireTls": True,
        "SenderIPAddresses": ["195.130.217.0/24"], "RestrictDomainsToIPAddresses": True})])  # fmt: skip
    quiet = joined(HQ, _device("fax", site="hq", **{"from": "fax@quiet.example"}))
    yield _world("quiet domain", quiet, "DOMAIN-SENDING-DISABLED")
    yield _world("foreign domain", joined(HQ, _device("fax", site="hq", **{"from": "fax@shop.example"})),
                 "PRECONDITION")  # fmt: skip
    yield _world("shared mailbox", _device("app", ["oauth"], **{"from": "shared@contoso.com"}), "PRECONDITION")
    yield _world("account disabled", _device("erp", ["basic"]), "PRECONDITION", done=[_blocked("erp@contoso.com")])
    yield _world("no such mailbox", _device("ghost", ["oauth"]), "PRECONDITION", "RESOURCE-MISSING")
    yield from _of_sign_ins()


def _of_policies() -> Iterator[World]:
    """Authentication policies that are missing, in use, for everybody, or for one mailbox."""
    made: Command = ("New-AuthenticationPolicy", {"Name": "no basic"})
    held: Command = ("Set-User", {"Identity": "desk@contoso.com", "AuthenticationPolicy": "no basic"})

    def assigned(**values: Any) -> dict[str, Any]:
        return {"assignments": {"authentication_policy": values}}

    yield _world("a policy for everybody", assigned(default="no basic"), "POLICY-TENANT-WIDE", "POLICY-DELAY",
                 done=[made])  # fmt: skip
    nowhere = assigned(mailboxes={"desk@contoso.com": "nowhere"})
    yield _world("no such policy", nowhere, "POLICY-MISSING", "POLICY-DELAY")
    yield _world("a policy in use", {"absent": ["authentication_policy/no basic"]}, "POLICY-IN-USE", done=[made, held])
    both = assigned(mailboxes={"desk@contoso.com": "inherit", "bills@contoso.com": "no basic"})
    yield _world("policies open and close", both, "POLICY-DELAY", done=[made, held])


def _of_sign_ins() -> Iterator[World]:
    basic = _device("erp", ["basic"])
    policy: list[Command] = [
        ("load", {"objects": {"AuthenticationPolicy": [{"Name": "no basic", "AllowBasicAuthSmtp": False}]}}),
        ("Set-User", {"Identity": "erp@contoso.com", "AuthenticationPolicy": "no basic"}),
    ]
    yield _world("authentication policy", basic, "SMTP-AUTH-BLOCKED", done=policy)
    yield _world(
        "security defaults",
        basic,
        "SMTP-AUTH-BLOCKED",
        done=[("load", {"graph": {"securityDefaults": {"isEnabled": True}}})],
    )
    yield _world("policies unread", basic, "SMTP-AUTH-UNKNOWN", denied=frozenset({"/policies", "/identity"}))
    yield _world("users unread", basic, "SMTP-AUTH-UNKNOWN", denied=frozenset({"Get-User"}))
    off = joined({"smtp_auth": {"organization": "disabled", "mailboxes": {"erp@contoso.com": "inherit"}}}, basic)
    yield _world("its switch is to be off", off)
    yield _world("in the name of an alias", _device("printer", ["basic"], mailbox="mfp@contoso.com"), "FROM-ALIAS")
    send_as = _device("erp", ["oauth"], mailbox="erp@contoso.com", **{"from": "bills@contoso.com"})
    erp = {"applications": {"erp": {"client_id": CLIENT, "send_as": ["erp@contoso.com"]}}}
    yield _world("nobody consented", erp, "APPLICATION-CONSENT")
    scoped = {"applications": {"erp": {**erp["applications"]["erp"], "access": "role_assignment"}}}
    granted = {"apps": [{"appId": CLIENT, "appRoles": {"https://outlook.office365.com": ["SMTP.SendAsApp"]}}]}
    yield _world("a role and a permission", scoped, "APPLICATION-UNSCOPED", done=[("load", granted)])
    yield _world("not registered", {"mailbox_permissions": {CLIENT: ["erp@contoso.com"]}}, "APPLICATION-UNREGISTERED")
    wrong = joined({"applications": {"old": {"client_id": MISTAKEN}}}, _device("erp", ["oauth"], application="old"))
    yield _world("registered with another id", wrong, "NOT-IN-FORCE", "SMTP-AUTH-BLOCKED")
    yield _world("rights unread", send_as, denied=frozenset({"Get-RecipientPermission"}))


def _of_settings() -> Iterator[World]:
    yield _world("an allowed address", {"connection_filter": {"allow": [FREE]}}, "FILTER-ALLOW")
    full = {"Identity": "Default", "IPBlockList": [f"11.{n // 250}.{n % 250}.1" for n in range(1273)]}
    yield _world("a full list", {"connection_filter": {"block": ["81.2.71.9"]}}, "FILTER-FULL",
                 done=[("Set-HostedConnectionFilterPolicy", full)])  # fmt: skip
    yield _world("forwarding", {"remote_domains": {"bank.example": {"tnef": "disabled"}}}, "REMOTE-DOMAIN-FORWARD")
    trusted = {"auto_forward_enabled": False, "trusted_mail_inbound_enabled": True}
    yield _world("trusted", {"remote_domains": {"trusted.example": trusted}}, "REMOTE-DOMAIN-TRUST")
    yield _world("relayed", {"accepted_domains": {"contoso.com": {"type": "internal_relay"}}}, "ACCEPTED-DOMAIN-RELAY")
    yield _world("blocked", {"accepted_domains": {"contoso.com": {"sending_to_disabled": True}}},
                 "ACCEPTED-DOMAIN-BLOCKED")  # fmt: skip
    yield _world("old TLS", {"transport_config": {"allow_legacy_tls_clients": "enabled"}}, "TLS-LEGACY")
    yield _world("outbound spam", {"outbound_spam_policies": {"Default": {"auto_forwarding_mode": "on",
                 "recipient_limit_per_day": 100}}}, "OUTBOUND-SPAM-FORWARD", "OUTBOUND-SPAM-LIMIT")  # fmt: skip
    bypass = {"senders": ["scan@contoso.com"], "set_scl": -1}
    yield _world("past the filter", {"transport_rules": {"Scanners": bypass}}, "TRANSPORT-RULE-BYPASS")
    spam = {"senders": ["news@contoso.com"], "set_scl": 9}
    yield _world("marked as spam", {"transport_rules": {"News": spam}}, "TRANSPORT-RULE-SPAM")
    signed = {"sender_domains": ["contoso.com"], "route_message_outbound_connector": "to-signatures"}
    out = {"type": "on_premises", "is_transport_rule_scoped": True, "smart_hosts": ["smtp.signatures.example"]}
    yield _world("routed", {"transport_rules": {"Signatures": signed}, "outbound_connectors": {"to-signatures": out}},
                 "TRANSPORT-RULE-ROUTE")  # fmt: skip
    made = {"Name": "to-signatures", "ConnectorType": "OnPremises", "IsTransportRuleScoped": True,
            "UseMXRecord": False, "SmartHosts": ["smtp.signatures.example"]}  # fmt: skip
    by_rule = {"Name": "Signatures", "RouteMessageOutboundConnector": "to-signatures", "SetHeaderName": "X-Signed",
               "SetHeaderValue": "yes"}  # fmt: skip
    yield _world("still routed", {"absent": ["outbound_connector/to-signatures"]}, "CONNECTOR-IN-USE",
                 done=[("New-OutboundConnector", made), ("New-TransportRule", by_rule)])  # fmt: skip
    seen = {"set_header_name": "X-Seen", "set_header_value": "yes"}
    yield _world("every message", {"transport_rules": {"Seen": seen}}, "TRANSPORT-RULE-EVERY-MESSAGE")
    half = {"senders": ["scan@contoso.com"], "set_header_name": "X-Half"}
    yield _world("half a header", {"transport_rules": {"Half": half}}, "TRANSPORT-RULE-INCOMPLETE")
    kept = {"Name": "No scanners", "From": ["fax@contoso.com"], "RejectMessageReasonText": "no"}
    yield _world("kept back by a rule", _device("fax", recipients="organization"), "TRANSPORT-RULE-DEVICE",
                 done=[("New-TransportRule", kept)])  # fmt: skip
    few = ("Set-HostedOutboundSpamFilterPolicy", {"Identity": "Default", "RecipientLimitPerDay": 500})
    yield _world("more than its limit", _device("erp", ["basic"], messages_per_day=2_000), "OUTBOUND-LIMIT-DEVICE",
                 done=[few])  # fmt: skip
    yield _world("selected", {"mailbox_selections": {"people": {"type": "user", "smtp_auth": "enabled"}}},
                 "SELECTION-ENABLES", "SELECTION-MEMBERS")  # fmt: skip
    rooms = {"type": "shared", "smtp_auth": "inherit"}
    both = {"all": {"domain": "contoso.com", "smtp_auth": "disabled"}, "rooms": rooms}
    yield _world("selected twice", {"mailbox_selections": both}, "SELECTION-CONTRADICTS")


def pieces() -> Sequence[World]:
    """Every piece alone."""
    return [*_of_connectors(), *_of_names(), *_of_dkim(), *_of_devices(), *_of_policies(), *_of_settings()]


_ALONE = frozenset({"selected", "selected twice", "a full list", "kept back by a rule", "more than its limit"})
"""What is selected cannot be set beside an exclusive list; the others do not meet what other pieces are about."""


def combined(number: int) -> World:
    """Two to four pieces at once, the same every time."""
    choose = random.Random(f"advice {number}")
    fitting = [piece for piece in pieces() if piece.name not in _ALONE]
    first, *others = choose.sample(fitting, choose.choice((2, 2, 3, 4)))
    world = first
    for other in others:
        world = world + other
    return replace(world, name=f"{number}: {world.name}")
