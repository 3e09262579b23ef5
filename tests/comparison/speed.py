"""`dns check` of 200 domains and checkdmarc's functions for SPF, DMARC and MX, through one name server in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.comparison.comparing import compare
from tests.comparison.running import checkdmarc, name_server, ours, say, theirs
from tests.comparison.zones import AROUND, Records
from tests.mail_dns.name_server import Zone

DOMAINS = 200
AT_LEAST = 10.0
FUNCTIONS = ("spf", "dmarc", "mx")
# With 0 ms the name server is on this machine and has each answer in memory: what is compared is the processor time of
# two Python programs. 10 ms is a quick name server in a network, and what the bound is for.
DELAYS_MS = (0.0, 10.0)
BOUND_FROM_MS = 10.0

_SPF = (
    "v=spf1 include:spf.protection.outlook.com -all",
    "v=spf1 include:spf.protection.outlook.com include:_a.bulk.example.net ~all",
    "v=spf1 mx a include:_b.bulk.example.net include:spf.protection.outlook.com -all",
    "v=spf1 include:spf.protection.outlook.com ip4:192.0.2.999 -all",
    "v=spf1 redirect=_spf.example.net",
)
_DMARC = (
    "v=DMARC1; p=reject; rua=mailto:d@{domain}",
    "v=DMARC1; p=none; rua=mailto:x@rep-wild.example.org",
    "v=DMARC1; p=quarantine; pct=50; rua=mailto:x@rep-none.example.org",
    "v=DMARC1; p=block; rua=mailto:d@{domain}",
)


def world(domains: int) -> tuple[list[str], Zone]:
    """So many domains of every mixture: what they publish, right and wrong, and what that leads to."""
    names = [f"d{number:03d}.example" for number in range(domains)]
    zone: Records = {name: list(records) for name, records in AROUND.items()}
    for number, name in enumerate(names):
        host = f"{name.replace('.', '-')}.mail.protection.outlook.com"
        zone[host] = [("A", "192.0.2.83")]
        zone[name] = [
            ("MX", (0, host)),
            ("TXT", _SPF[number % len(_SPF)]),
            ("A", "192.0.2.1"),
            ("TXT", f"MS=ms{number}"),
        ]
        zone[f"_dmarc.{name}"] = [("TXT", _DMARC[number % len(_DMARC)].format(domain=name))]
        zone[f"{name}._report._dmarc.rep-wild.example.org"] = [("TXT", "v=DMARC1;")]
        for selector in ("selector1", "selector2"):
            target = f"{selector}-{name.replace('.', '-')}._domainkey.contoso.a-v1.dkim.mail.microsoft"
            zone[f"{selector}._domainkey.{name}"] = [("CNAME", target)]
    return names, zone


def measure() -> int:
    """Print the times and the ratio for each delay of the name server. 1 where it is too small or a verdict differs."""
    names, zone = world(DOMAINS)
    wrong = False
    with tempfile.TemporaryDirectory() as place, checkdmarc(Path(place)) as python:
        ours(9, ["nothing.example"], Path(place))  # compiles what is imported
        for delay_ms in DELAYS_MS:
            wrong |= _one(python, names, zone, Path(place), delay_ms)
    return 1 if wrong else 0


def _one(python: str, names: list[str], zone: Zone, folder: Path, delay_ms: float) -> bool:
    with name_server(zone, folder, delay_ms) as server:
        mine, mine_s = ours(server.port, names, folder)
    with name_server(zone, folder, delay_ms) as other:
        found, theirs_s = theirs(python, other.port, names, FUNCTIONS)
    differing = _differing(mine, found)
    twice = [question for question, times in server.questions.items() if times > 1]
    ratio = theirs_s / mine_s
    say(f"{len(names)} domains, a name server that answers after {delay_ms:.0f} ms:")
    say(
        f"  dns check   {mine_s:6.2f} s, with its start; {sum(server.questions.values())} questions, {len(twice)} twice"
    )
    say(f"  checkdmarc  {theirs_s:6.2f} s, SPF, DMARC and MX alone; {sum(other.questions.values())} questions")
    say(f"  {ratio:.1f} times faster; {len(differing)} verdicts differ")
    for line in [*differing[:5], *twice[:5]]:
        say(f"    {line}")
    return bool(differing or twice or (delay_ms >= BOUND_FROM_MS and ratio < AT_LEAST))


def _differing(mine: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    statements = (s for name, said in found.items() for s in compare(name, mine[name], said))
    return [f"{s.zone}: {s.aspect}: {s.text}" for s in statements if s.unexplained]
