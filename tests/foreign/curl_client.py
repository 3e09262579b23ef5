"""curl in the way in which CIPP asks the Exchange admin API (KelvinTegelaar/CIPP-API, New-ExoRequest.ps1).

The same URL, headers and body: a token by client secret, `X-AnchorMailbox` with the system mailbox of the tenant's
initial domain, `parameter-based-routing`, `Prefer` with spaces around its equals sign.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.foreign.tenant import MAILBOX, program, run

_SYSTEM_MAILBOX = "UPN:SystemMailbox{{8cc370d3-822a-4ab8-a926-bb94bd0641a9}}@{}"


def curl(environment: Mapping[str, str], folder: Path) -> list[str]:
    """Token, initial domain from Graph, a cmdlet with rows over pages, one that writes, one that is refused."""
    found = [program("curl"), "--silent", "--show-error"]
    tenant = environment["AZURE_TENANT_ID"]

    def asked(url: str, *options: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(run([*found, *options, url], environment, folder) or "{}")
        return answer

    def token(scope: str) -> str:
        form = {
            "client_id": environment["AZURE_CLIENT_ID"], "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": f"{scope}/.default", "grant_type": "client_credentials",
        }  # fmt: skip
        fields = [part for name, value in form.items() for part in ("--data-urlencode", f"{name}={value}")]
        answer = asked(f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token", *fields)
        return f"Authorization: Bearer {answer['access_token']}"

    graph = token("https://graph.microsoft.com")
    domains = asked("https://graph.microsoft.com/beta/domains?$top=999", "--header", graph)["value"]
    (initial,) = [row["id"] for row in domains if row["isInitial"]]
    exchange = token("https://outlook.office365.com")

    def cmdlet(name: str, anchor: str = "", **parameters: Any) -> dict[str, Any]:
        body = json.dumps({"CmdletInput": {"CmdletName": name, "Parameters": parameters}})
        headers = [
            exchange, "Prefer: odata.maxpagesize = 1000", "parameter-based-routing: True",
            f"X-AnchorMailbox: {anchor or _SYSTEM_MAILBOX.format(initial)}",
            "Content-Type: application/json; charset=utf-8",
        ]  # fmt: skip
        options = [part for header in headers for part in ("--header", header)]
        url = f"https://outlook.office365.com/adminapi/beta/{tenant}/InvokeCommand?"
        return asked(url, "--request", "POST", "--data", body, *options)

    here = environment["SANDBOX_HTTPS"].removeprefix("https://")
    direct = ["--noproxy", "*", "--connect-to", f"graph.microsoft.com:443:{here}"]
    assert asked("https://graph.microsoft.com/v1.0/users?$top=3", *direct, "--header", graph)["value"]
    assert len(cmdlet("Get-Mailbox", ResultSize="Unlimited")["value"]) >= 27
    cmdlet("Set-CASMailbox", MAILBOX, Identity=MAILBOX, SmtpClientAuthenticationDisabled=False)
    (row,) = cmdlet("Get-CASMailbox", MAILBOX, Identity=MAILBOX)["value"]
    assert row["SmtpClientAuthenticationDisabled"] is False
    refused = cmdlet("Get-Mailbox", Identity="nobody@contoso.com")
    assert "couldn't be found" in json.dumps(refused), refused
    release = run([*found, "--version"], environment, folder).split()[1]
    return [f"curl {release} as CIPP calls: token, rows, a write and an error of InvokeCommand; --connect-to"]


CLIENTS = {"curl": curl}
