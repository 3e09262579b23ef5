"""Where each of Microsoft's clouds lives: sign-in, Graph, Exchange, and the hosts that mail has to do with.

Sources: Connect-ExchangeOnline's -ExchangeEnvironmentName and Microsoft Graph's "National cloud deployments". For
21Vianet Microsoft's own module has partner.outlook.cn, the Admin API's page outlook.office365.cn: the module's is used.
Mail hosts: Learn, "DNS records for Office 365 DoD", "DNS records for Office 365 GCC High", and the list of endpoints of
each cloud. That DoD submits to the host of GCC High is not confirmed by a page. Hosts for TLS 1.0 and 1.1: Learn, "Opt
in to the Exchange Online endpoint for legacy TLS clients using SMTP AUTH", which excludes GCC, GCC High and DoD. High
Volume Email: Exchange Team Blog, 1 April 2024, "to all WW customers"; no page names a host of it in another cloud.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cloud:
    """Base addresses without a slash at the end. Tokens are asked for `<exchange>/.default` and `<graph>/.default`.

    `smtp` is the host of client submission, `spf_include` what an SPF record includes for mail that Exchange sends,
    `mx` what the endpoints that take mail for a domain end in (the second kind came with inbound SMTP DANE, 2024).
    `legacy_smtp` is the host of client submission for TLS 1.0 and 1.1, `hve` that of High Volume Email; "" where the
    cloud has none (MC1243552 announces High Volume Email for worldwide alone).
    """

    authority: str
    graph: str
    exchange: str
    smtp: str = "smtp.office365.com"
    spf_include: str = "spf.protection.outlook.com"
    mx: tuple[str, ...] = (".mail.protection.outlook.com", ".mx.microsoft", ".mail.eo.outlook.com")
    legacy_smtp: str = ""
    hve: str = ""

    @property
    def mail_scope(self) -> str:
        """What an application asks a token for that signs in over SMTP."""
        return f"{self.exchange}/.default"

    @property
    def delegated_mail_scope(self) -> str:
        """What a person consents to at a device that signs in over SMTP as that person."""
        return f"{self.exchange}/SMTP.Send offline_access"


_GOVERNMENT = ("smtp.office365.us", "spf.protection.office365.us", (".mail.protection.office365.us",))


CLOUDS = {
    "worldwide": Cloud(
        "https://login.microsoftonline.com",
        "https://graph.microsoft.com",
        "https://outlook.office365.com",
        legacy_smtp="smtp-legacy.office365.com",
        hve="smtp.hve.mx.microsoft",
    ),
    "gcc": Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com", "https://outlook.office365.com"),
    "gcc_high": Cloud(
        "https://login.microsoftonline.us",
        "https://graph.microsoft.us",
        "https://outlook.office365.us",
        *_GOVERNMENT,
    ),
    "dod": Cloud(
        "https://login.microsoftonline.us",
        "https://dod-graph.microsoft.us",
        "https://outlook-dod.office365.us",
        *_GOVERNMENT,
    ),
    "china": Cloud(
        "https://login.chinacloudapi.cn",
        "https://microsoftgraph.chinacloudapi.cn",
        "https://partner.outlook.cn",
        "smtp.partner.outlook.cn",
        "spf.protection.partner.outlook.cn",
        (".mail.protection.partner.outlook.cn",),
        legacy_smtp="smtp-legacy.partner.outlook.cn",
    ),
}

MAIL_DOMAINS = (
    "outlook.com",
    "office365.com",
    "ms-acdc.office.com",
    "tm-4.office.com",
    "mx.microsoft",
    "office365.us",
    "partner.outlook.cn",
    "exchangelabs.com",
)
"""The domains in which hosts that speak for Exchange Online in mail are, in every cloud.

`ms-acdc.office.com` and `tm-4.office.com` are what smtp.office365.com leads to as an alias; Exim logs that name.
"""

_BY_HOST = {"office365.us": "gcc_high", "partner.outlook.cn": "china"}


def cloud_of_host(host: str) -> Cloud:
    """The cloud that a host of Exchange Online is in. GCC High and DoD share their hosts of mail."""
    named = (name for end, name in _BY_HOST.items() if host.lower().endswith(end))
    return CLOUDS[next(named, "worldwide")]


PERSONAL_HOSTS = ("smtp-mail.outlook.com", "smtp.outlook.com", "smtp.live.com")
"""Where consumer Outlook.com takes mail for sending; accounts of tenants are served there too.

Source: Microsoft Support, "POP, IMAP, and SMTP settings for Outlook.com".
"""

TAKES_NO_MAIL = frozenset({
    "smtp-hve.office365.com",  # High Volume Email, as its preview named it
    "outlook.office.com",
    *PERSONAL_HOSTS,
    *(host for cloud in CLOUDS.values() for host in (cloud.smtp, cloud.legacy_smtp, cloud.hve) if host),
    *(cloud.exchange.removeprefix("https://") for cloud in CLOUDS.values()),
})  # fmt: skip
"""Names that people take for an MX: they serve mailboxes and logins, and take no mail for a domain."""

SIGNED_MX_SUFFIX = ".mx.microsoft"
"""What MX hosts in signed zones of Microsoft end in, which inbound SMTP DANE takes (Learn, "How SMTP DANE works")."""

MX_SUFFIXES = tuple(dict.fromkeys(end for cloud in CLOUDS.values() for end in cloud.mx))
"""What Microsoft's endpoints for mail to a domain end in, in every cloud."""

_BY_INITIAL_SUFFIX = {".onmicrosoft.com": "worldwide", ".onmicrosoft.us": "gcc_high", ".partner.onmschina.cn": "china"}
INITIAL_SUFFIXES = tuple(_BY_INITIAL_SUFFIX)
"""What the initial domains of tenants end in, in every cloud. Nobody but Microsoft publishes anything below them."""

COEXISTENCE_SUFFIXES = tuple(f".mail{suffix}" for suffix in INITIAL_SUFFIXES)
"""What the domain between a hybrid organization and Exchange Online ends in: `contoso.mail.onmicrosoft.com`.

Its zone is Microsoft's, and has no CNAMEs of DKIM (cisagov/ScubaGear issue 1722): nobody can publish records in it.
"""


def cloud_of_mail(chosen: str, tenant: str) -> Cloud:
    """The cloud whose hosts a tenant's mail takes: the profile's, or where that says "worldwide", the tenant's.

    `tenant` is what a plan names: an initial domain tells its cloud, another domain or an id tells nothing.
    """
    told = next((name for end, name in _BY_INITIAL_SUFFIX.items() if tenant.lower().endswith(end)), chosen)
    return CLOUDS[told if chosen == "worldwide" else chosen]
