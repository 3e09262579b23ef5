"""Tenants and plans: for each kind of change a generator, and around it what else a tenant and a plan hold.

A piece is one declared object (or one that is to go), with what an administrator did to it before. A scene has the
piece that it is about, up to three more of any kind, and objects of others that no plan declares.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from provisioner.model import Address, Desired, Waiver
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.connection_filter import DEFAULT
from provisioner.resources.smtp_auth import ORGANIZATION
from provisioner.resources.tenant_settings import SETTINGS
from provisioner.rules import RULES
from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.memory import Memory
from tests.engine.lifecycle.port import Service, born, kept

OWNER = "contoso/lifecycle"
EVERY_GUARD = tuple(Waiver(rule, reason="a test") for rule in RULES)

PASSWORD = "LIFECYCLE_PASSWORD"
"""The variable of the environment that has the password of new accounts."""
_EXCHANGE, _ROLE = "https://outlook.office365.com", "SMTP.SendAsApp"
_BILLING = "6f0a3c1e-0000-4000-8000-000000000b00"


def _client(n: int) -> str:
    """The client id of an application."""
    return f"6f1c0d1e-0000-4000-8000-000000000a{n:02}"


def _object(n: int) -> str:
    """The object id of its enterprise application."""
    return f"6f1c0d1e-0000-4000-8000-000000000b{n:02}"


_SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": "contoso.onmicrosoft.com", "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True},
            *({"DomainName": f"sign{n}.example"} for n in range(5)),
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "AuthenticationPolicy": [
            {"Name": "lets in", "AllowBasicAuthSmtp": True},
            {"Name": "keeps out", "AllowBasicAuthSmtp": False},
        ],
        "BillingPolicy": [{"Id": _BILLING, "Name": "Mail"}],
        "Mailbox": [
            {"PrimarySmtpAddress": f"pick{n}{which}@contoso.com", "CustomAttribute1": f"pick{n}"}
            for n in range(5)
            for which in "ab"
        ],
        "HostedOutboundSpamFilterPolicy": [
            {"Name": "Default", "IsDefault": True},
            *({"Name": f"spam{n}"} for n in range(5)),
        ],
    },
    "mailboxes": [{"address": f"{name}{n}@contoso.com"} for name in ("box", "app") for n in range(5)],
    "apps": [
        {"displayName": f"app {n}", "appId": _client(n), "objectId": _object(n), "appRoles": {_EXCHANGE: [_ROLE]}}
        for n in range(5)
    ],
}

Commands = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Piece:
    """`sections` is its part of the plan, `before` what an administrator ran. `signs` is a domain that needs DNS."""

    sections: Mapping[str, Any]
    before: Commands = ()
    signs: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One generated tenant with its plan. `published` is when DNS gets its records: before, while waiting, after."""

    kind: str
    desired: Desired
    before: Commands
    signs: Sequence[str]
    published: str
    wait_s: float
    writes: int
    seed: int
    number: int
    memory: Memory = field(default_factory=Memory, compare=False)

    def is_about(self, address: Address) -> bool:
        """Whether a change is the one that the scene is about: by the piece's number, or the organization's."""
        if address.key in {ORGANIZATION, SETTINGS, DEFAULT}:
            return f"{address.type} update, {'organization ' if address.key == ORGANIZATION else ''}" in self.kind
        return any(name in address.key for name in _names(self.number))

    def move(self, service: Service) -> None:
        """What another client does to the object: one that is new exists already, of others a field has a third value.

        Where a field has two values only, it is then as the plan wants it, or as it was.
        """
        new = " create" in self.kind and "delete" not in self.kind
        kind, others = self.kind.split()[0].rstrip(","), _made_by_another if new else _changed_by_another
        for name, parameters in others(kind, self.number):
            with suppress(CmdletError):  # a part of it exists, or does not
                service.administrate(name, parameters)

    def service(self) -> Service:
        """The tenant as the scene begins, anew each time."""
        if self.memory.tenant is None:
            self.memory.tenant = kept(self._prepared().tenant)
        return born(self.memory.tenant, self.seed)

    def _prepared(self) -> Service:
        service = born(_dump(), self.seed)
        for name, parameters in self.before:
            service.administrate(name, parameters)
        if self.published == "before":
            self.publish(service)
        return service

    def publish(self, service: Service) -> None:
        for domain in self.signs:
            service.publish(domain)


@cache
def _dump() -> bytes:
    tenant = Tenant()
    tenant.merge(load_seed(_SEED))
    return kept(tenant)


def _names(n: int) -> Sequence[str]:
    """What is part of the keys of the objects with this number."""
    of_mail = (f"remote{n}.", f"spam{n}", f"rule{n}", f"pick{n}")
    return (f"in{n}", f"out{n}", f"new{n}", f"box{n}@", f"sign{n}.", f"policy{n}", f"news{n}@", _client(n), *of_mail)


# --- the kinds of change ---------------------------------------------------------------------------------------------

Make = Callable[[random.Random, int], Piece]


def _inbound(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"inbound_connectors": {f"in{n}": {"type": "on_premises", **fields}}}, before)


def _mark(key: str) -> str:
    return f"[provisioner: {OWNER} [{key}]]"


def _has_inbound(n: int, **columns: Any) -> Commands:
    row = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": [f"192.0.2.{n + 1}"]}
    return (("New-InboundConnector", {"Name": f"in{n}", "Comment": _mark(f"in{n}"), **row, **columns}),)


def _outbound(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"outbound_connectors": {f"out{n}": {"recipient_domains": [f"to{n}.example"], **fields}}}, before)


def _has_outbound(n: int, **columns: Any) -> Commands:
    row = {"ConnectorType": "Partner", "RecipientDomains": [f"to{n}.example"], "UseMXRecord": True}
    return (("New-OutboundConnector", {"Name": f"out{n}", "Comment": _mark(f"out{n}"), **row, **columns}),)


def _mailbox(n: int, value: str, before: bool | None) -> Piece:
    was = {"Identity": f"box{n}@contoso.com", "SmtpClientAuthenticationDisabled": before}
    return Piece({"smtp_auth": {"mailboxes": {f"box{n}@contoso.com": value}}}, (("Set-CASMailbox", was),))


def _organization(value: str, *, disabled: bool) -> Piece:
    was = {"SmtpClientAuthenticationDisabled": disabled}
    return Piece({"smtp_auth": {"organization": value}}, (("Set-TransportConfig", was),))


def _direct_send(*, reject: bool) -> Piece:
    was = (("Set-OrganizationConfig", {"RejectDirectSend": not reject}),)
    return Piece({"organization": {"reject_direct_send": reject}}, was)


def _right(n: int) -> dict[str, Any]:
    return {"Identity": f"box{n}@contoso.com", "Trustee": f"app{n}@contoso.com", "AccessRights": ["SendAs"]}


def _grant(n: int) -> Piece:
    return Piece({"send_as": {f"app{n}@contoso.com": [f"box{n}@contoso.com"]}})


def _revoke(n: int) -> Piece:
    return Piece({"absent": [f"send_as/app{n}@contoso.com as box{n}@contoso.com"]}, (_add(n),))


def _add(n: int) -> tuple[str, Mapping[str, Any]]:
    return "Add-RecipientPermission", {**_right(n), "Confirm": False}


def _dkim(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    domain = f"sign{n}.example"
    return Piece({"dkim": {domain: fields}}, before, domain if fields.get("enabled") else "")


def _has_dkim(n: int) -> Commands:
    return (("New-DkimSigningConfig", {"DomainName": f"sign{n}.example", "Enabled": False, "KeySize": 2048}),)


def _gone(random_: random.Random, n: int, section: str, key: str, before: Commands) -> Piece:
    """An object of ours that is not declared any more, or is listed under absent."""
    if random_.random() < 0.5:
        return Piece({"absent": [f"{section}/{key}"]}, before)
    return Piece({f"{section}s": {}}, before)


def _unchanged(random_: random.Random, n: int) -> Piece:
    """Something that is as declared, of any type."""
    return random_.choice(
        (
            lambda: _inbound(n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"]}, _has_inbound(n)),
            lambda: _outbound(n, {}, _has_outbound(n)),
            lambda: _mailbox(n, "enabled", before=False),
            lambda: Piece(_grant(n).sections, (_add(n),)),
            lambda: _dkim(n, {"enabled": False}, _has_dkim(n)),
            lambda: _organization("disabled", disabled=True),
            lambda: Piece({"organization": {"reject_direct_send": False}}),
        )
    )()


def _move(random_: random.Random, n: int) -> Piece:
    """A site that moves: a new connector, and the old one goes."""
    fields = {"type": "on_premises", "sender_ip_addresses": [f"198.51.100.{n + 1}"]}
    return Piece({"inbound_connectors": {f"new{n}": fields}, "absent": [f"inbound_connector/in{n}"]}, _has_inbound(n))


def _policy(n: int, *, lets_in: bool, before: Commands = ()) -> Piece:
    return Piece({"authentication_policies": {f"policy{n}": {"allow_basic_smtp": lets_in}}}, before)


def _has_policy(n: int, *, lets_in: bool, used: bool = True) -> Commands:
    new = ("New-AuthenticationPolicy", {"Name": f"policy{n}", "AllowBasicAuthSmtp": lets_in})
    return (new, *_assigned(n, f"policy{n}")) if used else (new,)


def _assigned(n: int, policy: str | None) -> Commands:
    return (("Set-User", {"Identity": f"box{n}@contoso.com", "AuthenticationPolicy": policy}),)


def _assign(n: int, policy: str, before: Commands = ()) -> Piece:
    return Piece({"assignments": {"authentication_policy": {"mailboxes": {f"box{n}@contoso.com": policy}}}}, before)


def _default(policy: str, before: str | None) -> Piece:
    was = (("Set-OrganizationConfig", {"DefaultAuthenticationPolicy": before}),)
    return Piece({"assignments": {"authentication_policy": {"default": policy}}}, was)


def _new_policy(random_: random.Random, n: int) -> Piece:
    """A policy, and who is to have it."""
    lets_in = random_.random() < 0.5
    return Piece({**_policy(n, lets_in=lets_in).sections, **_assign(n, f"policy{n}").sections})


def _application(n: int, before: Commands = (), **fields: Any) -> Piece:
    return Piece({"service_principals": {_client(n): fields}}, before)


def _has_application(n: int, **columns: Any) -> Commands:
    ids = {"AppId": _client(n), "ObjectId": _object(n)}
    return (("New-ServicePrincipal", {**ids, "DisplayName": f"app {n}", **columns}),)


def _opened(n: int, before: Commands = ()) -> Piece:
    return Piece({"mailbox_permissions": {_client(n): [f"box{n}@contoso.com"]}}, before)


def _has_opened(n: int) -> Commands:
    right = {"Identity": f"box{n}@contoso.com", "User": _object(n), "AccessRights": ["FullAccess"]}
    return (*_has_application(n), ("Add-MailboxPermission", {**right, "AutoMapping": False, "Confirm": False}))


def _role(n: int, mailboxes: Sequence[int], before: Commands = ()) -> Piece:
    addresses = [f"box{m}@contoso.com" for m in mailboxes]
    return Piece({"application_role_assignments": {_client(n): {_ROLE: addresses}}}, before)


def _has_role(n: int, mailboxes: Sequence[int]) -> Commands:
    name = f"{_ROLE} {_client(n)}"
    names = " -or ".join(f"EmailAddresses -eq 'smtp:box{m}@contoso.com'" for m in mailboxes)
    assigned = {"Name": name, "App": _object(n), "Role": f"Application {_ROLE}", "CustomResourceScope": name}
    return (
        *_has_application(n),
        ("New-ManagementScope", {"Name": name, "RecipientRestrictionFilter": names}),
        ("New-ManagementRoleAssignment", assigned),
    )


def _account(n: int, before: Commands = (), **fields: Any) -> Piece:
    body = {"password": f"env:{PASSWORD}", "billing_policy": _BILLING, **fields}
    return Piece({"hve_accounts": {f"news{n}@contoso.com": body}}, before)


def _has_account(n: int, *applications: str) -> Commands:
    name = f"news{n}@contoso.com"
    allowed = [("Add-HVEAppAccess", {"Identity": name, "AppIds": list(applications)})] if applications else []
    return (
        (
            "New-MailUser",
            {"HVEAccount": True, "Name": name, "PrimarySmtpAddress": name, "Password": "Lifecycle-1-Word"},
        ),
        ("Set-HVEAccountBillingPolicy", {"Identity": name, "BillingPolicyId": _BILLING}),
        *allowed,
    )


def _filter(n: int, fields: Mapping[str, Any], **lists: Sequence[str]) -> Piece:
    """The connection filter; in the tenant, its lists as `IPAllowList=…` and `IPBlockList=…`."""
    was = {"Identity": "Default", **{name: [*entries] for name, entries in lists.items()}}
    return Piece({"connection_filter": fields}, (("Set-HostedConnectionFilterPolicy", was),) if lists else ())


def _remote(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"remote_domains": {f"remote{n}.example": fields}}, before)


def _has_remote(n: int, **columns: Any) -> Commands:
    name = f"remote{n}.example"
    new = ("New-RemoteDomain", {"Name": name, "DomainName": name})
    return (new, ("Set-RemoteDomain", {"Identity": name, **columns})) if columns else (new,)


def _accepted(n: int, fields: Mapping[str, Any], **columns: Any) -> Piece:
    was = (("Set-AcceptedDomain", {"Identity": f"sign{n}.example", **columns}),) if columns else ()
    return Piece({"accepted_domains": {f"sign{n}.example": fields}}, was)


def _spam(n: int, fields: Mapping[str, Any], **columns: Any) -> Piece:
    was = (("Set-HostedOutboundSpamFilterPolicy", {"Identity": f"spam{n}", **columns}),) if columns else ()
    return Piece({"outbound_spam_policies": {f"spam{n}": fields}}, was)


def _rule(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"transport_rules": {f"rule{n}": fields}}, before)


def _has_rule(n: int, name: str = "rule", **columns: Any) -> Commands:
    row = {"From": [f"box{n}@contoso.com"], "SetHeaderName": "X-Device", "SetHeaderValue": "yes"}
    return (("New-TransportRule", {"Name": f"{name}{n}", **row, **columns}),)


def _marks(n: int, **fields: Any) -> dict[str, Any]:
    """The rule of `_has_rule`, as a plan writes it."""
    return {"senders": [f"box{n}@contoso.com"], "set_header_name": "X-Device", "set_header_value": "yes", **fields}


def _transport(fields: Mapping[str, Any], **columns: Any) -> Piece:
    return Piece({"transport_config": fields}, (("Set-TransportConfig", columns),) if columns else ())


def _picked(n: int, value: str, before: bool | None, *, both: bool = True) -> Piece:
    """A selection of two mailboxes, of which one or both have another switch."""
    names = "ab" if both else "a"
    was = [{"Identity": f"pick{n}{w}@contoso.com", "SmtpClientAuthenticationDisabled": before} for w in names]
    body = {"custom_attributes": {"1": f"pick{n}"}, "smtp_auth": value}
    return Piece({"mailbox_selections": {f"pick{n}": body}}, [("Set-CASMailbox", row) for row in was])


def _made_by_another(kind: str, n: int) -> Commands:
    """A new object of a type as another client makes it, or nearly."""
    made: Mapping[str, Commands] = {
        "send_as": (_add(n),),
        "inbound_connector": _has_inbound(n, ConnectorType="Partner"),
        "outbound_connector": _has_outbound(n, RecipientDomains=["moved.example"]),
        "dkim": _has_dkim(n),
        "authentication_policy": _has_policy(n, lets_in=bool(n % 2), used=False),
        "service_principal": _has_application(n, DisplayName="moved"),
        "mailbox_permission": _has_opened(n),
        "application_role_assignment": _has_role(n, [n, (n + 2) % 5]),
        "hve_account": _has_account(n),
        "remote_domain": _has_remote(n, AutoForwardEnabled=bool(n % 2), TNEFEnabled=True),
        "transport_rule": _has_rule(n, SetHeaderValue="moved"),
    }
    return made[kind]


def _changed_by_another(kind: str, n: int) -> Commands:
    """A change of each object of a type that a plan may be about."""
    box, another = f"box{n}@contoso.com", f"EmailAddresses -eq 'smtp:box{(n + 3) % 5}@contoso.com'"
    right = {"Identity": box, "User": _object(n), "AccessRights": ["FullAccess"], "Confirm": False}
    changes: Mapping[str, Commands] = {
        "smtp_auth": [_set("CASMailbox", box, SmtpClientAuthenticationDisabled=None)],
        "organization": [("Set-OrganizationConfig", {"SendFromAliasEnabled": True})],
        "send_as": [("Remove-RecipientPermission", {**_right(n), "Confirm": False})],
        "inbound_connector": [_set("InboundConnector", f"in{n}", ConnectorType="Partner")],
        "outbound_connector": [_set("OutboundConnector", f"out{n}", RecipientDomains=["moved.example"])],
        "dkim": [_set("DkimSigningConfig", f"sign{n}.example", BodyCanonicalization="Simple")],
        "no-op": [_set("InboundConnector", f"in{n}", ConnectorType="Partner")],
        "authentication_policy": [_set("AuthenticationPolicy", f"policy{n}", AllowBasicAuthImap=True)],
        "authentication_policy_assignment": [_set("User", box, AuthenticationPolicy=None)],
        "service_principal": [_set("ServicePrincipal", _client(n), DisplayName="moved")],
        "mailbox_permission": [("Remove-MailboxPermission", right)],
        "application_role_assignment": [
            _set("ManagementScope", f"{_ROLE} {_client(n)}", RecipientRestrictionFilter=another)
        ],
        "hve_account": [_set("MailUser", f"news{n}@contoso.com", DisplayName="moved")],
        "connection_filter": [_set("HostedConnectionFilterPolicy", "Default", IPAllowList=["203.0.113.7"])],
        "remote_domain": [_set("RemoteDomain", f"remote{n}.example", CharacterSet="koi8-r", AllowedOOFType="External")],
        "accepted_domain": [_set("AcceptedDomain", f"sign{n}.example", OutboundOnly=True)],
        "outbound_spam_policy": [
            _set("HostedOutboundSpamFilterPolicy", f"spam{n}", RecipientLimitPerDay=77, AutoForwardingMode="Off")
        ],
        "transport_config": [("Set-TransportConfig", {"MessageExpiration": "13:00:00", "AllowLegacyTLSClients": None})],
        "transport_rule": [_set("TransportRule", f"rule{n}", SetHeaderValue="moved")],
        "mailbox_selection": [_set("CASMailbox", f"pick{n}a@contoso.com", SmtpClientAuthenticationDisabled=None)],
    }
    return changes[kind]


def _set(noun: str, identity: str, **parameters: Any) -> tuple[str, Mapping[str, Any]]:
    return f"Set-{noun}", {"Identity": identity, **parameters}


FIRST_KINDS: Mapping[str, Make] = {
    "smtp_auth update, mailbox opens": lambda r, n: _mailbox(n, "enabled", before=r.choice((True, None))),
    "smtp_auth update, mailbox closes": lambda _, n: _mailbox(n, "disabled", before=False),
    "smtp_auth update, mailbox inherits": lambda r, n: _mailbox(n, "inherit", before=r.choice((True, False))),
    "smtp_auth update, organization opens": lambda _, __: _organization("enabled", disabled=True),
    "smtp_auth update, organization closes": lambda _, __: _organization("disabled", disabled=False),
    "organization update, opens": lambda _, __: _direct_send(reject=False),
    "organization update, closes": lambda _, __: _direct_send(reject=True),
    "send_as create": lambda _, n: _grant(n),
    "send_as delete": lambda _, n: _revoke(n),
    "inbound_connector create": lambda r, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"], **({"enabled": True} if r.random() < 0.5 else {})}
    ),
    "inbound_connector update, neutral": lambda _, n: _inbound(n, {"comment": "third floor"}, _has_inbound(n)),
    "inbound_connector update, opens": lambda _, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}", "198.51.100.7"]}, _has_inbound(n)
    ),
    "inbound_connector update, enables": lambda _, n: _inbound(n, {"enabled": True}, _has_inbound(n, Enabled=False)),
    "inbound_connector update, closes": lambda _, n: _inbound(n, {"enabled": False}, _has_inbound(n)),
    "inbound_connector update, opens and closes": lambda _, n: _inbound(
        n, {"sender_ip_addresses": ["198.51.100.8"]}, _has_inbound(n)
    ),
    "inbound_connector delete": lambda r, n: _gone(r, n, "inbound_connector", f"in{n}", _has_inbound(n)),
    "inbound_connector create and delete": _move,
    "outbound_connector create": lambda _, n: _outbound(n, {}),
    "outbound_connector create, two writes": lambda _, n: _outbound(
        n, {"test_mode": True, "validation_recipients": [f"box{n}@contoso.com"]}
    ),
    "outbound_connector update": lambda r, n: _outbound(
        n,
        r.choice(({"tls": "encryption_only"}, {"enabled": False}, {"smart_hosts": ["mx.to.example"]})),
        _has_outbound(n),
    ),
    "outbound_connector delete": lambda r, n: _gone(r, n, "outbound_connector", f"out{n}", _has_outbound(n)),
    "dkim create, disabled": lambda _, n: _dkim(n, {"enabled": False}),
    "dkim create, waits for DNS": lambda _, n: _dkim(n, {"enabled": True}),
    "dkim update": lambda _, n: _dkim(n, {"enabled": False, "body_canonicalization": "simple"}, _has_dkim(n)),
    "dkim update, waits for DNS": lambda _, n: _dkim(
        n, {"enabled": True, "header_canonicalization": "simple"}, _has_dkim(n)
    ),
    "dkim update, closes": lambda _, n: _signing(n),
    "no-op": _unchanged,
    "no-op, not in force": lambda _, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"]}, _has_inbound(n, Enabled=False)
    ),
}


LATER_KINDS: Mapping[str, Make] = {
    "authentication_policy create": lambda r, n: _policy(n, lets_in=r.random() < 0.5),
    "authentication_policy update, opens": lambda _, n: _policy(n, lets_in=True, before=_has_policy(n, lets_in=False)),
    "authentication_policy update, closes": lambda _, n: _policy(n, lets_in=False, before=_has_policy(n, lets_in=True)),
    "authentication_policy delete": lambda _, n: Piece(
        {"absent": [f"authentication_policy/policy{n}"]}, _has_policy(n, lets_in=True, used=False)
    ),
    "authentication_policy_assignment update, mailbox opens": lambda r, n: _assign(
        n, r.choice(("lets in", "inherit")), _assigned(n, "keeps out")
    ),
    "authentication_policy_assignment update, mailbox closes": lambda r, n: _assign(
        n, "keeps out", _assigned(n, r.choice(("lets in", None)))
    ),
    "authentication_policy_assignment update, organization opens": lambda r, _: _default(
        r.choice(("lets in", "none")), "keeps out"
    ),
    "authentication_policy_assignment update, organization closes": lambda r, _: _default(
        "keeps out", r.choice(("lets in", None))
    ),
    "authentication_policy create with authentication_policy_assignment": _new_policy,
    "service_principal create": lambda r, n: (
        _application(n, display_name="ERP") if r.random() < 0.5 else _application(n)
    ),
    "service_principal update": lambda _, n: _application(n, _has_application(n), display_name="ERP"),
    "service_principal delete": lambda _, n: Piece(
        {"absent": [f"service_principal/{_client(n)}"]}, _has_application(n)
    ),
    "mailbox_permission create": lambda _, n: _opened(n, _has_application(n)),
    "mailbox_permission create with service_principal": lambda _, n: Piece(
        {**_application(n).sections, **_opened(n).sections}
    ),
    "mailbox_permission delete": lambda _, n: Piece(
        {"absent": [f"mailbox_permission/{_client(n)} on box{n}@contoso.com"]}, _has_opened(n)
    ),
    "application_role_assignment create, two writes": lambda r, n: _role(n, r.sample(range(5), 2), _has_application(n)),
    "application_role_assignment create with service_principal": lambda _, n: Piece(
        {**_application(n).sections, **_role(n, [n]).sections}
    ),
    "application_role_assignment update, opens": lambda _, n: _role(n, [n, (n + 1) % 5], _has_role(n, [n])),
    "application_role_assignment update, closes": lambda _, n: _role(n, [n], _has_role(n, [n, (n + 1) % 5])),
    "application_role_assignment delete, two writes": lambda _, n: Piece(
        {"absent": [f"application_role_assignment/{_client(n)} {_ROLE}"]}, _has_role(n, [n])
    ),
    "hve_account create, several writes": lambda r, n: (
        _account(n, display_name="News", applications=[_object(n)], reply_to="hr@contoso.com")
        if r.random() < 0.7
        else _account(n, display_name="News")
    ),
    "hve_account update, neutral": lambda _, n: _account(n, _has_account(n), display_name="Our news"),
    "hve_account update, opens": lambda _, n: _account(n, _has_account(n), applications=[_object(n)]),
    "hve_account update, closes": lambda _, n: _account(
        n, _has_account(n, _object(n), _object(n ^ 1)), applications=[]
    ),
    "hve_account update, opens and closes": lambda r, n: _account(
        n, _has_account(n, _object(n)), applications=[_object((n + 1) % 5)]
    ),
    "hve_account delete": lambda _, n: Piece({"absent": [f"hve_account/news{n}@contoso.com"]}, _has_account(n)),
}

MAIL_KINDS: Mapping[str, Make] = {
    "connection_filter update, opens": lambda _, n: _filter(n, {"allow": [f"192.0.2.{n}"]}, IPAllowList=["192.0.2.99"]),
    "connection_filter update, opens and closes": lambda _, n: _filter(
        n, {"exclusive": True, "block": [f"192.0.2.{n}"]}, IPBlockList=["198.51.100.7-198.51.100.9"]
    ),
    "connection_filter update, closes": lambda r, n: _filter(
        n, r.choice(({"block": [f"192.0.2.{n}/28"]}, {"exclusive": True, "allow": []})), IPAllowList=["198.51.100.7"]
    ),
    "remote_domain create": lambda _, n: _remote(n, {}),
    "remote_domain create, two writes": lambda r, n: _remote(
        n, r.choice(({"auto_forward_enabled": False}, {"tnef": "disabled", "is_internal": True}))
    ),
    "remote_domain update, opens": lambda _, n: _remote(
        n, {"auto_forward_enabled": True}, _has_remote(n, AutoForwardEnabled=False)
    ),
    "remote_domain update, closes": lambda _, n: _remote(n, {"auto_forward_enabled": False}, _has_remote(n)),
    "remote_domain update, closes in two writes": lambda _, n: _remote(
        n,
        {"is_internal": False, "allowed_oof_type": "none"},
        _has_remote(n, AllowedOOFType="InternalLegacy"),
    ),
    "remote_domain update, neutral": lambda _, n: _remote(n, {"character_set": "utf-8"}, _has_remote(n)),
    "remote_domain delete": lambda _, n: Piece({"absent": [f"remote_domain/remote{n}.example"]}, _has_remote(n)),
    "accepted_domain update, opens": lambda r, n: _accepted(
        n, r.choice(({"match_sub_domains": True}, {"sending_from_disabled": False})), SendingFromDomainDisabled=True
    ),
    "accepted_domain update, closes": lambda r, n: _accepted(
        n, r.choice(({"sending_from_disabled": True}, {"match_sub_domains": False})), MatchSubDomains=True
    ),
    "accepted_domain update, neutral": lambda _, n: _accepted(n, {"outbound_only": True}),
    "outbound_spam_policy update, opens": lambda _, n: _spam(n, {"auto_forwarding_mode": "on"}),
    "outbound_spam_policy update, closes": lambda _, n: _spam(
        n, {"auto_forwarding_mode": "off"}, AutoForwardingMode="On"
    ),
    "outbound_spam_policy update, closes by a limit": lambda _, n: _spam(n, {"recipient_limit_per_day": 500 + n}),
    "transport_config update, opens": lambda _, __: _transport({"allow_legacy_tls_clients": "enabled"}),
    "transport_config update, closes": lambda r, _: _transport(
        {"allow_legacy_tls_clients": r.choice(("disabled", "default"))}, AllowLegacyTLSClients=True
    ),
    "transport_config update, neutral": lambda _, __: _transport({"message_expiration": "18h"}),
    "organization update, two writes": lambda _, __: Piece(
        {"organization": {"reject_direct_send": False, "send_from_alias_enabled": True}},
        (("Set-OrganizationConfig", {"RejectDirectSend": True}),),
    ),
    "transport_rule create": lambda r, n: _rule(
        n, _marks(n, **r.choice(({}, {"set_scl": -1}, {"enabled": False}, {"stop_rule_processing": True})))
    ),
    "transport_rule create, before another": lambda _, n: _rule(
        n, _marks(n, before=[f"others{n}"]), _has_rule(n, "others")
    ),
    "transport_rule create, two in order": lambda _, n: Piece(
        {"transport_rules": {f"rule{n}": _marks(n, before=[f"rule{n}b"]), f"rule{n}b": _marks(n)}}
    ),
    "transport_rule update, neutral": lambda _, n: _rule(n, _marks(n, comment="scanners"), _has_rule(n)),
    "transport_rule update, opens": lambda _, n: _rule(n, _marks(n, set_scl=-1), _has_rule(n)),
    "transport_rule update, enables in two writes": lambda _, n: _rule(
        n, _marks(n, enabled=True, set_scl=-1), _has_rule(n, Enabled=False)
    ),
    "transport_rule update, closes": lambda _, n: _rule(n, _marks(n, enabled=False), _has_rule(n, SetSCL=-1)),
    "transport_rule update, moved": lambda _, n: _rule(
        n, _marks(n, before=[f"others{n}"]), (*_has_rule(n, "others"), *_has_rule(n))
    ),
    "transport_rule delete": lambda _, n: Piece({"absent": [f"transport_rule/rule{n}"]}, _has_rule(n, SetSCL=-1)),
    "mailbox_selection update, opens": lambda r, n: _picked(n, "enabled", before=r.choice((True, None)), both=False),
    "mailbox_selection update, opens in several writes": lambda _, n: _picked(n, "enabled", before=True),
    "mailbox_selection update, closes": lambda _, n: _picked(n, "disabled", before=False, both=False),
}

KINDS: Mapping[str, Make] = {**FIRST_KINDS, **LATER_KINDS, **MAIL_KINDS}
"""Around a change stand others of its own and of earlier kinds: lives that were once wrong are known by a number."""


_OPENERS = ("inbound_connector create", "inbound_connector update, opens", "send_as create", "no-op, not in force")


def closes(kind: str) -> bool:
    """Whether a kind of change waits for what opens sending paths."""
    return "closes" in kind or "delete" in kind


def _signing(n: int) -> Piece:
    """A domain that signs, and is to stop."""
    domain = f"sign{n}.example"
    enable = ("Set-DkimSigningConfig", {"Identity": domain, "Enabled": True})
    return Piece({"dkim": {domain: {"enabled": False}}}, (*_has_dkim(n), ("publish", {"domain": domain}), enable))


# --- a scene ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def scene(kind: str, variant: int, folder: Path) -> Scene:
    """The scene of this number about a kind of change; the same every time. `folder` is for the plan's file."""
    seed = random.Random(f"{kind} {variant}").randrange(2**32)
    random_ = random.Random(seed)
    numbers = random_.sample(range(5), 4)
    pieces = [KINDS[kind](random_, numbers[0])]
    around = FIRST_KINDS if kind in FIRST_KINDS else KINDS if kind in MAIL_KINDS else {**FIRST_KINDS, **LATER_KINDS}
    others = [random_.choice(sorted(around)) for _ in range(random_.randrange(4))]
    if closes(kind):
        others = [random_.choice(_OPENERS), *others[:2]]  # something to wait for
    pieces += [KINDS[other](random_, n) for other, n in zip(others, numbers[1:], strict=False)]
    plan: dict[str, Any] = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": OWNER}
    taken: list[Piece] = []
    for piece in pieces:
        if _fits(plan, piece):
            taken.append(piece)
            _merge(plan, piece.sections)
    random_.shuffle(taken)
    stranger = {"ConnectorType": "Partner", "SenderDomains": ["x.example"]}
    unmanaged = [("New-InboundConnector", {"Name": "stranger", **stranger})] if random_.random() < 0.5 else []
    return Scene(
        kind,
        _loaded(plan, folder),
        (*unmanaged, *(command for piece in taken for command in piece.before)),
        [piece.signs for piece in taken if piece.signs],
        random_.choice(("before", "while waiting", "after")),
        random_.choice((0.0, 90.0)),
        random_.choice((1, 4)),
        seed,
        numbers[0],
    )


def _fits(plan: Mapping[str, Any], piece: Piece) -> bool:
    """Whether a piece says nothing that the plan says already: there is one organization.

    Of a connection filter and of a transport configuration there is one too, whose change would be of both kinds.
    """
    alone = {"connection_filter", "transport_config"} & plan.keys() & piece.sections.keys()
    return not alone and not _hold_each_other(plan, piece.sections) and _agree(plan, piece.sections)


def _hold_each_other(*parts: Mapping[str, Any]) -> bool:
    """Whether each of two changes opens and closes in one write, and neither may be first (`held_scene`).

    A domain whose subdomains become the tenant's, and a block list of which addresses are exchanged.
    """
    domains = (fields for part in parts for fields in part.get("accepted_domains", {}).values())
    exchanges = any({"exclusive", "block"} <= part.get("connection_filter", {}).keys() for part in parts)
    return exchanges and any(fields.get("match_sub_domains") for fields in domains)


def held_scene(folder: Path) -> Scene:
    """The two changes that no generated plan has together."""
    pieces = [
        _accepted(1, {"match_sub_domains": True}, SendingFromDomainDisabled=True),
        KINDS["connection_filter update, opens and closes"](random.Random(1), 1),
    ]
    plan: dict[str, Any] = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": OWNER}
    for piece in pieces:
        _merge(plan, piece.sections)
    before = [command for piece in pieces for command in piece.before]
    return Scene("held", _loaded(plan, folder), before, [], "before", 0.0, 4, 1, 1)


def _agree(have: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    both = [(have[key], more[key]) for key in have.keys() & more.keys()]
    return all(
        _agree(one, other) if isinstance(one, dict) and isinstance(other, dict) else isinstance(one, list)
        for one, other in both
    )


def _merge(plan: dict[str, Any], sections: Mapping[str, Any]) -> None:
    for key, content in sections.items():
        if isinstance(content, list):
            plan[key] = [*plan.get(key, []), *content]
        elif isinstance(content, dict):
            _merge(plan.setdefault(key, {}), content)
        else:
            plan[key] = content


def _loaded(plan: Mapping[str, Any], folder: Path) -> Desired:
    path = folder / "plan.yaml"
    path.write_text(json.dumps(plan), encoding="utf-8")
    desired, _ = document.load(path, TYPES, today=dt.date(2026, 11, 23), waivers=EVERY_GUARD)
    return desired
