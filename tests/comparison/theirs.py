"""What checkdmarc says, in an environment of its own: `python theirs.py` reads a request from standard input.

The request is JSON: the port of the name server, the domains, and which functions. The answer is JSON too: by domain
what each function returned, and how many seconds all took. Imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import dns.resolver
from checkdmarc import dmarc, mta_sts, smtp_tls_reporting, spf, utils


def main() -> None:
    asked = json.load(sys.stdin)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], asked["port"]
    functions: dict[str, Callable[[str], Any]] = {
        "spf": lambda d: spf.check_spf(d, resolver=resolver),
        "dmarc": lambda d: dmarc.check_dmarc(d, resolver=resolver, ignore_unrelated_records=asked["lenient"]),
        "mx": lambda d: mx(d, resolver),
        "mta_sts": lambda d: record(mta_sts.query_mta_sts_record, mta_sts.parse_mta_sts_record, d, resolver),
        "tls_rpt": lambda d: record(
            smtp_tls_reporting.query_smtp_tls_reporting_record,
            smtp_tls_reporting.parse_smtp_tls_reporting_record,
            d,
            resolver,
        ),
    }
    began = time.perf_counter()
    found = {d: {name: functions[name](d) for name in asked["functions"]} for d in asked["domains"]}
    json.dump({"seconds": time.perf_counter() - began, "found": found}, sys.stdout, default=str)


def mx(domain: str, resolver: dns.resolver.Resolver) -> dict[str, Any]:
    """The MX records with their warnings, a null MX and aliases as `check_mx` tells them; without DNSSEC and TLS."""
    try:
        found = dict(utils.get_mx_record_set(domain, resolver=resolver))
    except utils.DNSException as error:
        return {"error": str(error), "hosts": [], "warnings": []}
    if found["null_mx"]:
        found["warnings"] = [*found["warnings"], f"{domain} has a null MX record (RFC 7505)"]
    for host in found["hosts"]:
        try:
            alias = utils.query_dns(host["hostname"], "CNAME", resolver=resolver)
        except dns.exception.DNSException:
            alias = []
        if alias:
            found["warnings"] = [*found["warnings"], f"{host['hostname']} is a CNAME alias for {alias[0]}"]
    return found


def record(query: Callable[..., Any], parse: Callable[..., Any], domain: str, resolver: Any) -> dict[str, Any]:
    """The TXT record of MTA-STS or TLS-RPT alone, without the policy on the web."""
    try:
        found = query(domain, resolver=resolver)
        parsed = parse(found["record"])
    except Exception as error:
        return {"valid": False, "error": f"{type(error).__name__}: {error}"}
    return {"valid": True, "record": found["record"], "warnings": [*found["warnings"], *parsed["warnings"]]}


main()
