"""The plan's sections `sites` and `devices`: how they are written, and the values that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from provisioner.devices.applications import ApplicationText
from provisioner.diagnostics import Location
from provisioner.model.devices import (
    ALL_PORTS,
    GRAPH,
    MAILBOX_PERMISSION,
    NOT_SMTP_HERE,
    SMART_HOST,
    Application,
    Device,
    Site,
    is_pattern,
)
from provisioner.resources.canonical import (
    Flag,
    certificate_name,
    client_id,
    day,
    domain_name,
    email_address,
    prose,
    refusal,
    sender_network,
)

_LONGEST_NAME = 50  # the connector of a site is named after it: 64 characters are what Exchange takes for other names


def _name(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable() or "/" in text or len(text) > _LONGEST_NAME:
        hint = f"write {_LONGEST_NAME} printable characters at most, without a slash and spaces around it"
        raise refusal("DEVICE-NAME-INVALID", f"{text!r} is not a name for a site or device", hint)
    return text


def _mailbox(text: str) -> str:
    return email_address(text) if text else ""


def _sender(text: str) -> str:
    if not is_pattern(text):
        return email_address(text)
    return f"*@{domain_name(text.removeprefix('*@'))}"


def _some_senders(senders: list[str]) -> list[str]:
    if not senders:
        raise refusal("FROM-EMPTY", "a device without a From address sends nothing", "write at least one address")
    return senders


_Sender = Annotated[str, AfterValidator(_sender)]


def _some(addresses: list[str]) -> list[str]:
    if not addresses:
        raise refusal("EGRESS-EMPTY", "a site without egress addresses says nothing", "write at least one address")
    return addresses


Name = Annotated[str, AfterValidator(_name)]
_Network = Annotated[
    str,
    AfterValidator(sender_network),
    Field(
        examples=["198.51.100.7", "198.51.100.0/28"],
        json_schema_extra={"pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?$"},
    ),
]
_Ports = Annotated[list[Literal[25, 587]], Field(description="TCP ports that can be reached; both if not written.")]
_DevicePorts = Annotated[
    list[Literal[25, 465, 587]],
    Field(description="TCP ports that it can be set to; 25 and 587 if not written. 465 is TLS without STARTTLS."),
]
_Text = Annotated[str, AfterValidator(prose), Field(description="For the reader.")]
_Count = Annotated[int, Field(ge=1, le=10_000_000)]


@with_config(ConfigDict(extra="forbid"))
class SiteBody(TypedDict, total=False):
    """A place with an internet connection of its own."""

    egress_ip_addresses: Required[
        Annotated[
            list[_Network],
            AfterValidator(_some),
            Field(
                description="The public IPv4 addresses that its mail comes from: single, or CIDR /24 to /32.",
                json_schema_extra={"minItems": 1},
            ),
        ]
    ]
    shared: Annotated[
        Flag,
        Field(description="true: other organizations send from these addresses too. A connector must not name them."),
    ]
    address: Annotated[
        Literal["fixed", "shared", "changing"],
        Field(
            description="shared: others send from these addresses too; changing: they are not the same tomorrow (a "
            "provider's pool, CGNAT, SD-WAN, satellite). Either is never named by a connector. fixed if not written.",
        ),
    ]
    ports: _Ports
    description: _Text


@with_config(ConfigDict(extra="forbid"))
class AbilitiesBody(TypedDict, total=False):
    """What the device can do; see its manual."""

    tls: Required[
        Annotated[
            Literal["none", "1.0", "1.1", "1.2", "1.3"],
            Field(description="The newest TLS that it supports, in quotes."),
        ]
    ]
    authentication: Required[
        Annotated[
            list[Literal["basic", "login", "plain", "cram-md5", "oauth", "none"]],
            Field(
                description="How it can sign in: basic (user and password, by LOGIN), oauth (XOAUTH2), none or [] for "
                "not at all. Where the manual names mechanisms: login, plain, cram-md5.",
            ),
        ]
    ]
    ports: _DevicePorts


@with_config(ConfigDict(extra="forbid"))
class OAuthBody(TypedDict, total=False):
    """Whose token the device gets, and as which application."""

    sign_in: Required[
        Annotated[
            Literal["application", "user"],
            Field(
                description="application: with a secret or certificate of its own (SMTP.SendAsApp); "
                "user: somebody signs in at the device (delegated SMTP.Send)."
            ),
        ]
    ]
    client_id: Annotated[
        str, AfterValidator(client_id), Field(description="The application (client) id of the app registration.")
    ]


_From = TypedDict(
    "_From",
    {
        "from": Annotated[
            Annotated[_Sender, Tag("one")] | Annotated[list[_Sender], AfterValidator(_some_senders), Tag("several")],
            Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
            Field(
                description="The From address of its mail, or a list; *@contoso.com for any address of a domain.",
                examples=["scanner-3f@contoso.com", ["erp@contoso.com", "*@fabrikam.com"]],
            ),
        ]
    },
)


@with_config(ConfigDict(extra="forbid"))
class DeviceBody(_From, total=False):
    """One device or application that has to send mail."""

    recipients: Required[
        Annotated[
            Literal["organization", "anyone"],
            Field(description="organization: only addresses in the tenant's own domains; anyone: others too."),
        ]
    ]
    supports: Annotated[
        AbilitiesBody,
        Field(description="What it can do; see its manual. Only with via, graph or third_party it may be missing."),
    ]
    via: Annotated[
        str,
        Field(
            description="The device, a relay server of yours, that it hands its mail to; that one's way out counts.",
            examples=["hq-relay"],
        ),
    ]
    site: Annotated[str, Field(description="The site whose addresses its mail comes from.", examples=["hq"])]
    sender_ip_addresses: Annotated[
        list[_Network], Field(description="Its own static public IPv4 addresses, where it is at no site.")
    ]
    certificate: Annotated[
        str,
        AfterValidator(certificate_name),
        Field(
            description="The name in its TLS certificate, in an accepted domain of the tenant.",
            examples=["mail.contoso.com"],
        ),
    ]
    mailbox: Annotated[
        str,
        AfterValidator(_mailbox),
        Field(description='The user that it signs in as; its From address if not written, "" if there is no mailbox.'),
    ]
    method: Annotated[
        Literal["auto", "client_submission", "smtp_relay", "high_volume_email", "direct_send", "graph", "third_party"],
        Field(
            description="How it is to send; auto (as if not written) chooses and says why. graph: through Microsoft "
            "Graph, without SMTP; third_party: a service that sends in our name from its own servers."
        ),
    ]
    messages_per_day: Annotated[_Count, Field(description="On a busy day; what the daily limits are measured by.")]
    messages_per_minute: Annotated[_Count, Field(description="At its busiest.")]
    recipients_per_message: Annotated[_Count, Field(description="At most; 1 if not written.")]
    connections: Annotated[_Count, Field(description="How many it opens at once; 1 if not written.")]
    oauth: Annotated[OAuthBody, Field(description="Whose token it gets, where it signs in with OAuth.")]
    application: Annotated[
        str,
        Field(
            description="The application of the section applications as which it signs in, with client credentials.",
            examples=["erp"],
        ),
    ]
    owner: Annotated[str, AfterValidator(prose), Field(description="Who answers for it.", examples=["facilities"])]
    ticket: Annotated[str, AfterValidator(prose), Field(description="Where it is tracked.", examples=["CHG-8812"])]
    until: Annotated[
        str,
        AfterValidator(day),
        Field(
            description="The day by which it is to be replaced: a warning, never a change.",
            examples=["2027-03-31"],
            json_schema_extra={"format": "date"},
        ),
    ]
    description: _Text


SitesSection = Annotated[
    dict[Name, SiteBody],
    Field(
        description="Places whose public addresses are fixed, by name.",
        examples=[{"hq": {"egress_ip_addresses": ["198.51.100.7"]}}],
    ),
]
DevicesSection = Annotated[
    dict[Name, DeviceBody],
    Field(
        description="What has to send mail, by name. How it sends, and what that takes, is worked out.",
        examples=[
            {
                "scanner-3f": {
                    "site": "hq",
                    "from": "scanner-3f@contoso.com",
                    "recipients": "anyone",
                    "supports": {"tls": "1.2", "authentication": ["basic"]},
                }
            }
        ],
    ),
]
ApplicationsSection = Annotated[
    dict[Name, ApplicationText],
    Field(
        description="What sends with a token of its own (OAuth client credentials), by name. Consent is checked, and "
        "never granted.",
        examples=[{"erp": {"client_id": "6f1c0d1e-0000-4000-8000-000000000001", "send_as": ["invoices@contoso.com"]}}],
    ),
]
SECTIONS: Mapping[str, Any] = {
    "sites": SitesSection,
    "applications": ApplicationsSection,
    "devices": DevicesSection,
}
"""The keys of a plan and what pydantic validates them against."""

Places = Mapping[str, Location]

# Exchange Online offers AUTH LOGIN and XOAUTH2; PLAIN and CRAM-MD5 get 504 5.7.4 (pocketbase issue 1216).
_KINDS = {"basic": "basic", "login": "basic", "oauth": "oauth"}


def site(name: str, body: Mapping[str, Any], location: Location | None) -> Site:
    """A validated entry of `sites`."""
    return Site(
        name,
        frozenset(body["egress_ip_addresses"]),
        body.get("shared", False) or body.get("address") == "shared",
        frozenset(body.get("ports", ALL_PORTS)),
        body.get("description", ""),
        location,
        body.get("address") == "changing",
    )


def device(
    name: str,
    body: Mapping[str, Any],
    location: Location | None,
    fields: Places,
    applications: Mapping[str, Application] = MappingProxyType({}),
) -> Device:
    """A validated entry of `devices`; the application that it names is among `applications`, or a mistake."""
    application = applications.get(body.get("application", ""))
    abilities, written = body.get("supports", {"tls": "none", "authentication": []}), body["from"]
    senders = tuple(dict.fromkeys([written] if isinstance(written, str) else written))
    return Device(
        name,
        sender=senders[0],
        other_senders=senders[1:],
        recipients=body["recipients"],
        tls=abilities["tls"],
        authentication=frozenset(_KINDS[word] for word in abilities["authentication"] if word in _KINDS),
        mailbox=body.get("mailbox", next((sender for sender in senders if not is_pattern(sender)), "")),
        site=body.get("site"),
        sender_ip_addresses=frozenset(body.get("sender_ip_addresses", ())),
        certificate=body.get("certificate", ""),
        ports=frozenset(abilities.get("ports", ALL_PORTS)),
        method=SMART_HOST if "via" in body else body.get("method", "auto"),
        via=body.get("via", ""),
        messages_per_day=body.get("messages_per_day", 0),
        messages_per_minute=body.get("messages_per_minute", 0),
        recipients_per_message=body.get("recipients_per_message", 1),
        connections=body.get("connections", 1),
        description=body.get("description", ""),
        other_mechanisms=frozenset(abilities["authentication"]) - frozenset(_KINDS) - {"none"},
        oauth="application" if "application" in body else body.get("oauth", {}).get("sign_in", ""),
        client_id=application.client_id if application else body.get("oauth", {}).get("client_id", ""),
        application=body.get("application", ""),
        access=application.access if application else MAILBOX_PERMISSION,
        owner=body.get("owner", ""),
        ticket=body.get("ticket", ""),
        until=body.get("until", ""),
        location=location,
        fields=fields,
    )


def contradictions(
    one: Device, sites: Mapping[str, Site], applications: Mapping[str, Application]
) -> Iterator[tuple[str, str, str, str]]:
    """What cannot be right in a device: (id, field that it is about, what, how to fix it)."""
    if one.application and one.application not in applications:
        known = ", ".join(sorted(applications)) or "none is declared"
        what = f'{one.address}: there is no application "{one.application}"'
        yield "APPLICATION-UNKNOWN", "application", what, f"known applications: {known}"
    if one.application and "oauth" in one.fields:
        what = f"{one.address} names an application, and says under oauth whose token it gets"
        yield "DEVICE-APPLICATION-TWICE", "application", what, "keep one of the two"
    if one.site is not None and one.site not in sites:
        known = ", ".join(sorted(sites)) or "none is declared"
        yield "SITE-UNKNOWN", "site", f'{one.address}: there is no site "{one.site}"', f"known sites: {known}"
    if one.site is not None and one.sender_ip_addresses:
        what = f"{one.address} has addresses of its own and is at a site"
        yield "DEVICE-SOURCE-TWICE", "sender_ip_addresses", what, "keep the site, or the addresses"
    if one.method == "client_submission" and not one.mailbox:
        what = f"{one.address}: client submission needs a mailbox, and there is none"
        yield "DEVICE-MAILBOX-NONE", "mailbox", what, "name the mailbox, or choose another method"
    supports = "supports" in one.fields or one.method in NOT_SMTP_HERE
    if not supports:
        way = "oauth" if one.oauth else "basic"
        what = f"{one.address}: supports is missing"
        yield "KEY-MISSING", "", what, f'say what it can do: supports: {{ tls: "1.2", authentication: [{way}] }}'
    if one.via and ("method" in one.fields or one.site or one.sender_ip_addresses or one.certificate):
        what = f"{one.address} sends through {one.via}, and says how it reaches Exchange itself"
        yield "DEVICE-VIA-TWICE", "via", what, "keep via, or its own method, site, addresses and certificate"
    if supports and one.oauth and "oauth" not in one.authentication and one.method != GRAPH:
        part = "application" if one.application else "oauth"
        what = f"{one.address}: {part} says whose token it gets, and supports.authentication does not have oauth"
        yield "DEVICE-OAUTH-UNSUPPORTED", part, what, f"add oauth to supports.authentication, or take {part} out"
