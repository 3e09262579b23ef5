"""A tenant of 60 mailboxes with what the service recorded of its senders; our own data, in the real shapes.

`TRUTH` says for each sender how it sends: what an inventory of this tenant must find.
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

DOMAIN = "contoso.com"
SITES = {"hq": "203.0.113.10", "plant": "203.0.113.20", "shop": "198.51.100.7"}
PEOPLE = [f"person{number:02d}@{DOMAIN}" for number in range(1, 37)]
SCANNERS = [f"scan{number:02d}@{DOMAIN}" for number in range(1, 21)]
FROZEN, IDLE, ERP, MONITOR = (f"{name}@{DOMAIN}" for name in ("frozen", "idle", "erp", "monitor"))
MAILBOXES = [*PEOPLE, *SCANNERS, FROZEN, IDLE, ERP, MONITOR]
LABELS, DOOR = f"labels@{DOMAIN}", f"door@{DOMAIN}"
ERP_APP = "5d1c0b2e-0000-4000-8000-0000000000e1"
OTHER_APP = "5d1c0b2e-0000-4000-8000-0000000000e2"


NEWS_APP, TICKETS_APP = "5d1c0b2e-0000-4000-8000-0000000000e3", "5d1c0b2e-0000-4000-8000-0000000000e4"
GRAPH_API = "00000003-0000-0000-c000-000000000000"


def site_of(scanner: str) -> str:
    """Scanners stand at the sites in turn."""
    return list(SITES.values())[SCANNERS.index(scanner) % len(SITES)]


def _trace(days_ago: float, sender: str, recipient: str, ip: str, **more: Any) -> Row:
    return {
        "_DaysAgo": days_ago,
        "SenderAddress": sender,
        "RecipientAddress": recipient,
        "FromIP": ip,
        "Subject": f"{sender} {days_ago}",
        **more,
    }


def _traces() -> list[Row]:
    basic = {"_Authentication": "Basic", "_Tls": "TLS1.2"}
    found = [
        _trace(days_ago, scanner, PEOPLE[0], site_of(scanner), **basic)
        for scanner in SCANNERS
        for days_ago in (2.5, 12.5, 40.5)
    ]
    found += [_trace(3.25, SCANNERS[0], "partner@fabrikam.com", site_of(SCANNERS[0]), **basic)]
    found += [_trace(n + 0.5, ERP, "customer@fabrikam.com", SITES["hq"], _Authentication="OAuth", _Tls="TLS1.3")
              for n in range(1, 9)]  # fmt: skip
    found += [_trace(n + 0.25, LABELS, "customer@fabrikam.com", SITES["plant"], _Connector="plant", _Tls="TLS1.2")
              for n in range(1, 6)]  # fmt: skip
    found += [_trace(n + 0.75, DOOR, PEOPLE[1], "198.51.100.99") for n in range(1, 4)]
    found += [_trace(6.0, DOOR, f"gone@{DOMAIN}", "198.51.100.99", Status="Failed")]
    # What is not a sender of ours: mail of people in Outlook, and mail from outside.
    found += [_trace(n + 0.1, PEOPLE[n], PEOPLE[n + 1], "") for n in range(20)]
    found += [_trace(n + 0.2, "news@fabrikam.com", PEOPLE[n], "192.0.2.200") for n in range(5)]
    return found


def _sign_ins() -> list[Row]:
    found = [
        {"_DaysAgo": days_ago, "userPrincipalName": scanner, "ipAddress": site_of(scanner)}
        for scanner in SCANNERS
        for days_ago in (2.5, 12.5)
    ]
    for number, row in enumerate(found):
        if number % 2:
            row["signInEventTypes"] = ["nonInteractiveUser"]
    failed = {"errorCode": 50126, "failureReason": "Error validating credentials due to invalid username or password."}
    found += [{"_DaysAgo": n + 0.3, "userPrincipalName": FROZEN, "ipAddress": SITES["shop"], "status": failed}
              for n in range(7)]  # fmt: skip
    found += [
        {"_DaysAgo": 1.5, "appId": app, "servicePrincipalName": name, "clientAppUsed": "", "ipAddress": ip,
         "signInEventTypes": ["servicePrincipal"]}
        for app, name, ip in ((ERP_APP, "ERP", SITES["hq"]), (OTHER_APP, "Backup", "192.0.2.77"))
    ]  # fmt: skip
    found += [
        {"_DaysAgo": 2.5, "appId": app, "servicePrincipalId": object_of(app), "servicePrincipalName": name,
         "clientAppUsed": "", "ipAddress": "198.51.100.50", "resourceId": GRAPH_API,
         "signInEventTypes": ["servicePrincipal"]}
        for app, name in ((NEWS_APP, "News"), (TICKETS_APP, "Tickets"), (OTHER_APP, "Backup"))
    ]  # fmt: skip
    return found


def object_of(app: str) -> str:
    """The object id of an enterprise application."""
    return app.replace("5d1c0b2e", "0b9ec700")


def _app(app: str, name: str, *permissions: str) -> Row:
    roles = {"https://graph.microsoft.com": list(permissions)}
    return {"displayName": name, "appId": app, "objectId": object_of(app), "appRoles": roles}


def seed() -> Row:
    """The tenant."""
    return {
        "sandbox": 1,
        "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
        "objects": {
            "AcceptedDomain": [{"DomainName": DOMAIN, "Default": True}],
            "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
            "InboundConnector": [
                {"Name": "plant", "ConnectorType": "OnPremises", "SenderIPAddresses": [SITES["plant"]]},
                {"Name": "old", "ConnectorType": "OnPremises", "SenderIPAddresses": ["192.0.2.10"]},
            ],
            "ServicePrincipal": [
                {"AppId": ERP_APP, "DisplayName": "ERP"},
                {"AppId": TICKETS_APP, "ObjectId": object_of(TICKETS_APP), "DisplayName": "Tickets"},
            ],
            "ManagementRoleAssignment": [
                {"Name": "tickets", "Role": "Application Mail.Send", "RoleAssignee": object_of(TICKETS_APP)},
            ],
            "MessageTrace": _traces(),
        },
        "graph": {"signIns": _sign_ins()},
        "apps": [
            _app(NEWS_APP, "News", "Mail.Send"),
            _app("5d1c0b2e-0000-4000-8000-0000000000e5", "Archive", "Mail.Send"),
            _app(OTHER_APP, "Backup", "User.Read.All"),
        ],
        "mailboxes": [
            *PEOPLE,
            *({"address": a, "smtp_client_authentication_disabled": False} for a in [*SCANNERS, FROZEN, IDLE, ERP]),
            MONITOR,
        ],
    }


TRUTH = {
    **dict.fromkeys(SCANNERS, "client_submission_basic"),
    ERP: "client_submission_oauth",
    LABELS: "smtp_relay",
    DOOR: "direct_send",
}
