"""Authentication policies: Get only, as far as the verdict over SMTP AUTH needs them."""

from __future__ import annotations

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.table import get_cmdlet

_PROTOCOLS = (
    "ActiveSync", "Autodiscover", "Imap", "Mapi", "OfflineAddressBook", "OutlookService", "Pop", "ReportingWebServices",
    "Rest", "Rpc", "Smtp", "WebServices", "Powershell",
)  # fmt: skip

NOUN = Noun(
    "AuthenticationPolicy",
    {f"AllowBasicAuth{protocol}": False for protocol in _PROTOCOLS},
    container="CN=Auth Policies,CN=Configuration",
    category="ms-Exch-Auth-Policy",
    object_class=("top", "msExchAuthPolicy"),
    leaks=True,
)
CMDLETS = (get_cmdlet(NOUN),)
