"""A server that lies, or says what it likes, and a tenant full of hostile names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.redteam.attacks.base import ESCAPES, LINES, Made, wrote
from tests.redteam.world import World

# --- a server ---------------------------------------------------------------------------------------------------------


def servers() -> Made:
    def answer(status: int, body: Any = None, **more: Any) -> tuple[Mapping[str, Any], ...]:
        do = {"status": status, **({} if body is None else {"body": body}), **more}
        return tuple({"front": front, "times": 40, "do": do} for front in ("exchange", "graph"))

    says = {"error": {"code": LINES, "message": LINES, "details": [{"message": LINES}]}}
    for title, faults in {
        "nothing": answer(200, ""),
        "an empty object": answer(200, {}),
        "no rows": answer(200, {"value": None}),
        "a row without a key": answer(200, {"value": [{}]}),
        "rows that are texts": answer(200, {"value": ["x", LINES]}),
        "rows that are a number": answer(200, {"value": 5}),
        "a list": answer(200, []),
        "a number": answer(200, "5"),
        "a page that is an object": answer(200, {"value": [], "@odata.nextLink": {"a": 1}}),
        "a page elsewhere": answer(200, {"value": [], "@odata.nextLink": "https://evil.example/x"}),
        "a page of a file": answer(200, {"value": [], "@odata.nextLink": "file:///etc/passwd"}),
        "a page that acts on a terminal": answer(200, {"value": [], "@odata.nextLink": LINES}),
        "details that are texts": answer(400, {"error": {"details": ["text"], "message": "m"}}),
        "an error that is a text": answer(400, {"error": LINES}),
        "an error that acts on a terminal": answer(400, says),
        "a refusal that acts on a terminal": answer(403, says),
        "an outage that acts on a terminal": answer(503, says),
        "a conflict that acts on a terminal": answer(409, says),
        "a text that acts on a terminal": answer(500, LINES),
        "an inner error that is a text": answer(400, {"error": {"innererror": "x", "message": "m"}}),
        "nesting without end": answer(200, '{"value":' + "[" * 100_000),
        "JSON that breaks off": (
            {"front": "exchange", "times": 40, "do": {"truncate": 40}},
            {"front": "graph", "times": 40, "do": {"truncate": 40}},
        ),
        "a page for people": (
            {"front": "exchange", "times": 40, "do": {"html": True}},
            {"front": "graph", "times": 40, "do": {"html": True}},
        ),
        "a redirect elsewhere": answer(302, "", headers={"location": "https://evil.example/"}),
        "a redirect to a file": answer(307, "", headers={"location": "file:///etc/passwd"}),
        "a redirect to itself": answer(308, "", headers={"location": "/"}),
        "a challenge that is not text": answer(
            401, says, headers={"www-authenticate": 'Bearer claims="//////", error="x"'}
        ),
        "a wait without end": answer(429, says, headers={"retry-after": "999999999"}),
        "a wait that is none": answer(429, says, headers={"retry-after": "-1, x"}),
        "no connection": (
            {"front": "exchange", "times": 40, "do": {"close": True}},
            {"front": "graph", "times": 40, "do": {"close": True}},
        ),
        "sign-in that acts on a terminal": (
            {
                "front": "entra",
                "times": 40,
                "do": {"status": 400, "body": {"error": LINES, "error_description": LINES}},
            },
        ),
        "sign-in without sense": ({"front": "entra", "times": 40, "do": {"status": 200, "body": []}},),
        "sign-in with a token that is none": (
            {"front": "entra", "times": 40, "do": {"status": 200, "body": {"access_token": 5, "expires_in": "x"}}},
        ),
        "sign-in for people": ({"front": "entra", "times": 40, "do": {"html": True}},),
    }.items():
        yield f"answers with {title}", wrote, {"faults": faults}
    yield "objects whose names act on a terminal", _hostile_objects


def _hostile_objects(w: World) -> None:
    rows = [
        {
            "Name": name,
            "ConnectorType": "OnPremises",
            "SenderIPAddresses": ["203.0.113.9"],
            "Comment": LINES,
            "SenderDomains": ["smtp:*;1"],
            "Enabled": True,
        }
        for name in (ESCAPES, f"::error::{ESCAPES}")
    ]
    w.shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"InboundConnector": rows}})
    w.tainted = True


# --- what a domain publishes ------------------------------------------------------------------------------------------


def domains() -> Made:
    """A domain whose records and whose MTA-STS policy are hostile."""
    for name, (owner, kind) in {
        "an SPF record": ("contoso.com", "v=spf1 include:{} -all"),
        "a DMARC record": ("_dmarc.contoso.com", "v=DMARC1; p=none; rua=mailto:{}"),
        "a TLS-RPT record": ("_smtp._tls.contoso.com", "v=TLSRPTv1; rua=mailto:{}"),
        "an MTA-STS record": ("_mta-sts.contoso.com", "v=STSv1; id={}"),
    }.items():
        yield f"{name} that acts on a terminal", _publishing(owner, kind.format(LINES))
    text = {"headers": {"content-type": "text/plain"}, "status": 200}
    for name, do in {
        "lines that act on a terminal": {**text, "body": f"version: STSv1\nmode: {LINES}\nmx: {ESCAPES}\n"},
        "hosts that act on a terminal": {**text, "body": f"version: STSv1\nmode: enforce\nmx: {ESCAPES}\nmax_age: 1\n"},
        "a type that acts on a terminal": {**text, "headers": {"content-type": ESCAPES.replace("\u202e", "")}},
        "a redirect elsewhere": {"status": 302, "headers": {"location": "https://evil.example/"}},
        "a redirect to a file": {"status": 301, "headers": {"location": "file:///etc/passwd"}},
        "a body without end": {"flood": 1 << 24},
        "a bomb": {"inflate": 1 << 28},
        "an answer that drips": {"drip": 1.0},
        "a page for people": {"html": True},
        "no connection": {"close": True},
        "a wait without end": {"status": 429, "headers": {"retry-after": "999999999"}},
    }.items():
        faults = ({"front": "mta_sts", "times": 40, "do": do},)
        yield (
            f"a policy host that answers with {name}",
            _publishing("_mta-sts.contoso.com", "v=STSv1; id=1"),
            {"faults": faults},
        )


def _publishing(owner: str, text: str) -> Callable[[World], None]:
    def make(w: World) -> None:
        w.shop.tenant.control("POST", "/dns", {"name": owner, "type": "TXT", "values": [text]})
        w.tainted = True

    return make
