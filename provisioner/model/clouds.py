"""Where each of Microsoft's clouds lives: sign-in, Graph and Exchange.

Sources: Connect-ExchangeOnline's -ExchangeEnvironmentName and Microsoft Graph's "National cloud deployments". For
21Vianet Microsoft's own module has partner.outlook.cn, the Admin API's page outlook.office365.cn: the module's is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cloud:
    """Base addresses without a slash at the end. Tokens are asked for `<exchange>/.default` and `<graph>/.default`."""

    authority: str
    graph: str
    exchange: str


CLOUDS = {
    "worldwide": Cloud(
        "https://login.microsoftonline.com", "https://graph.microsoft.com", "https://outlook.office365.com"
    ),
    "gcc": Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com", "https://outlook.office365.com"),
    "gcc_high": Cloud("https://login.microsoftonline.us", "https://graph.microsoft.us", "https://outlook.office365.us"),
    "dod": Cloud(
        "https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "https://outlook-dod.office365.us"
    ),
    "china": Cloud(
        "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", "https://partner.outlook.cn"
    ),
}
