"""The HTTP API of PowerDNS in the shapes that it documents (doc.powerdns.com, "Built-in Webserver and HTTP API").

It stands before a Knot of the tests, whose zones are what it shows and changes. Zones are read with GET, changed with
PATCH, whose `rrsets` replace or delete whole sets; an error is a JSON object with `error`.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dns.query
import dns.tsig
import dns.update

from tests.knot import KEY_NAME, SECRET, Knot

API_KEY = "an-api-key-of-this-test"
SERVER = {
    "type": "Server",
    "id": "localhost",
    "daemon_type": "authoritative",
    "version": "4.9.2",
    "url": "/api/v1/servers/localhost",
    "config_url": "/api/v1/servers/localhost/config{/config_setting}",
    "zones_url": "/api/v1/servers/localhost/zones{/zone}",
}


@dataclass
class PowerDns:
    """`status` is what it answers to a change instead of doing it; `before` is called before one is done."""

    knot: Knot
    port: int = 0
    status: int = 0
    before: Any = None
    empty: bool = False
    changes: list[dict[str, Any]] = field(default_factory=list)

    def options(self) -> dict[str, Any]:
        """Those of octodns_powerdns.PowerDnsProvider."""
        return {"host": "127.0.0.1", "port": self.port, "api_key": "env:PDNS_KEY"}

    def zone(self, name: str) -> dict[str, Any]:
        sets: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        for owner, kind, ttl, value in sorted(self.knot.records(name.removesuffix("."))):
            sets[owner, kind, ttl].append(value)
        rrsets = [
            {
                "name": owner,
                "type": kind,
                "ttl": ttl,
                "comments": [],
                "records": [{"content": v, "disabled": False} for v in values],
            }
            for (owner, kind, ttl), values in sets.items()
        ]
        return {"id": name, "name": name, "kind": "Native", "serial": 1, "rrsets": [] if self.empty else rrsets}

    def change(self, name: str, body: dict[str, Any]) -> int:
        self.changes.append(body)
        if self.before is not None:
            self.before()
        if self.status:
            return self.status
        update = dns.update.UpdateMessage(name)
        for rrset in body["rrsets"]:
            update.delete(rrset["name"], rrset["type"])
            if rrset["changetype"] == "REPLACE":
                update.add(rrset["name"], rrset["ttl"], rrset["type"], *(r["content"] for r in rrset["records"]))
        update.use_tsig(dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256"))
        dns.query.tcp(update, "127.0.0.1", port=self.knot.port)
        return 204


@contextmanager
def api(knot: Knot) -> Iterator[PowerDns]:
    """The API on a free port of loopback."""
    power = PowerDns(knot)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

        def answer(self, status: int, body: Any = None) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            if self.headers["X-API-Key"] != API_KEY:
                self.answer(401, {"error": "Unauthorized"})
            elif "/zones/" in self.path:
                self.answer(200, power.zone(self.path.rpartition("/")[2]))
            else:
                self.answer(200, SERVER)

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = power.change(self.path.rpartition("/")[2], body)
            self.answer(status, {"error": f"refused, key {API_KEY}"} if status >= 400 else None)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    power.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield power
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
