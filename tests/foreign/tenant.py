"""The tenant that the clients meet, and how a client reports. They all sign in as the application `APPLICATION`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOMAIN = "contoso.com"
MAILBOX, PASSWORD = "erp@contoso.com", "correct horse 7"
ADMINISTRATOR = "admin@contoso.com"
CUSTOMER = "customer@fabrikam.example"
PUBLIC_APP = "b1b5c2d4-0000-4000-8000-000000000009"
SEED: Mapping[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [{"DomainName": DOMAIN, "Default": True}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": False}],
        "InboundConnector": [{"Name": "hq", "ConnectorType": "OnPremises", "SenderIPAddresses": ["192.0.2.5"]}],
    },
    "graph": {
        "securityDefaults": {"isEnabled": False},
        "groups": [{"displayName": "Printers", "mail": "printers@contoso.com", "mailEnabled": True}],
    },
    "apps": [
        {"displayName": "tool", "appId": PUBLIC_APP, "publicClient": True},
        {
            "displayName": "inventory",
            "appRoles": {
                "https://graph.microsoft.com": [
                    "User.Read.All",
                    "Group.Read.All",
                    "Application.Read.All",
                    "Domain.Read.All",
                    "Mail.Send",
                    "Organization.Read.All",
                ],
                "https://outlook.office365.com": ["Exchange.ManageAsApp"],
            },
            "directoryRoles": ["Exchange Administrator"],
        },
    ],
    "mailboxes": [
        {"address": MAILBOX, "password": PASSWORD},
        {"address": ADMINISTRATOR, "password": PASSWORD, "directory_roles": ["Exchange Administrator"]},
        {"count": 25, "domain": DOMAIN, "prefix": "staff"},
    ],
    "settings": {"signed_in_user": ADMINISTRATOR, "smtp_source_addresses": {"127.0.0.1": "192.0.2.5"}},
}


APPLICATION = "inventory"


class Missing(Exception):
    """The client is not on this machine. The text says what is missing."""


def program(name: str) -> str:
    """The path of an installed program. Raises Missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path, given: str = "") -> str:
    """What a client printed. Raises AssertionError with its last words unless it ended with 0."""
    done = subprocess.run(
        list(command),
        env={**os.environ, **environment},
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {(done.stderr + done.stdout).strip()[-1500:]}"
    return done.stdout


def address(environment: Mapping[str, str], front: str) -> tuple[str, int]:
    """Host and port of a front, from the environment."""
    host, _, port = environment[f"SANDBOX_{front}"].rpartition(":")
    return host, int(port)
