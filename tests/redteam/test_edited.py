"""Edited change sets with a digest that fits, against a tenant that they were planned for: none is applied.

300 that contradict themselves are neither shown nor applied. 60 that are consistent are another plan: they are refused
by the digest of the reviewed one, and by its plan. The tenant's log of requests shows no write.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import click
import pytest

from tests.cli.shop import SEED, Shop, open_shop
from tests.generated import SHARE, whole
from tests.redteam.edits import Edited, Json, consistent, contradicting

CONTRADICTING, CONSISTENT = 300, 60
SWITCHED = "smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n"
HEADER = "owner: mail/prod\n"
PLANS: Mapping[str, tuple[str, Sequence[str]]] = {
    "connectors": (
        """allow: [{ rule: IP-PRIVATE, resource: inbound_connector/lab, reason: CHG-1, until: 2099-01-31 }]
protect: [inbound_connector/kept]
ignore: [inbound_connector/ours]
absent: [inbound_connector/gone]
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [81.2.69.160], comment: HQ }
  lab: { type: on_premises, sender_ip_addresses: [10.0.0.1], require_tls: false }
  depot: { sender_ip_addresses: [81.2.69.142, 81.2.69.143] }
""",
        (),
    ),
    "devices": (
        """sites: { leeds: { egress_ip_addresses: [81.2.69.144] } }
devices:
  scan: { from: scan@contoso.com, recipients: anyone, site: leeds, supports: { tls: "1.2", authentication: [] } }
  erp:
    from: erp@contoso.com
    recipients: anyone
    mailbox: erp@contoso.com
    supports: { tls: "1.2", authentication: [basic] }
smtp_auth: { organization: disabled }
absent: [inbound_connector/left]
""",
        ("--allow", "BLAST-RADIUS"),
    ),
    "switches": (
        """smtp_auth: { exclusive: true, organization: enabled, mailboxes: { erp@contoso.com: enabled } }
organization: { reject_direct_send: true }
send_as: { erp@contoso.com: [a@contoso.com] }
protect: [inbound_connector/*]
""",
        ("--allow", "SMTP-TENANT-WIDE"),
    ),
    "outbound": (
        """domains: { contoso.com: { type: authoritative } }
dkim: { contoso.com: { enabled: true, key_size: 2048 } }
outbound_connectors:
  partner: { type: partner, recipient_domains: [partner.example], smart_hosts: [mx.partner.example] }
protect: [inbound_connector/*]
""",
        (),
    ),
    "a part": (
        """smtp_auth: { mailboxes: { erp@contoso.com: enabled, fax@contoso.com: disabled } }
inbound_connectors: { depot: { comment: Depot }, left: {} }
""",
        ("--target", "smtp_auth/erp@contoso.com", "--target", "inbound_connector/*"),
    ),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SEED) as here:
        address = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": ["81.2.69.142"]}
        for name, comment in (("depot", "x"), ("gone", ""), ("kept", ""), ("left", ""), ("others", "by hand")):
            mark = "" if name == "others" else " [provisioner: mail/prod]"
            here.tenant.cmdlet("New-InboundConnector", Name=name, Comment=f"{comment}{mark}".strip(), **address)
        here.tenant.cmdlet("Set-CASMailbox", Identity="b@contoso.com", SmtpClientAuthenticationDisabled=False)
        yield here


@pytest.fixture(scope="module")
def bases(shop: Shop) -> Mapping[str, Json]:
    """A real change set of each plan, and one that undoes a run."""
    made = {}
    undone = shop.write(SWITCHED, "rollback.yaml")
    assert shop.on_tenant("apply", undone, "--auto-approve").returncode == 0
    assert shop.on_tenant("rollback", "last", "-o", "rollback.json").returncode == 0
    for name, (body, options) in PLANS.items():
        done = shop.on_tenant("plan", shop.write(HEADER + body, f"{name}.yaml"), "-o", f"{name}.json", *options)
        assert done.returncode == 0, done.stderr
    for name in ("rollback", *PLANS):
        made[name] = json.loads((shop.folder / f"{name}.json").read_text())
        assert made[name]["applyable"], "as it was made it could be applied"
    return made


def some(edited: Iterator[tuple[Edited, Json]], most: int) -> Iterator[tuple[Edited, Json]]:
    """So many; in the normal suite a share of them, other ones with each seed."""
    return itertools.islice(edited, most if whole() else max(2, round(most * SHARE)))


def drawing() -> random.Random:
    return random.Random(11 if whole() else random.random())


def written(shop: Shop, document: Json) -> str:
    (shop.folder / "edited.json").write_text(json.dumps(document))
    return "edited.json"


def test_one_that_contradicts_itself_is_neither_shown_nor_applied(shop: Shop, bases: Mapping[str, Json]) -> None:
    since, counts = shop.tenant.seen(), Counter[str]()
    for edited, document in some(contradicting(bases, drawing()), CONTRADICTING):
        name, digest = written(shop, document), ("--expect-digest", document["provisioner"]["digest"])
        for arguments in (("show", name), ("apply", name, *digest, "--auto-approve")):
            done = shop.on_tenant(*arguments)
            assert done.returncode in {3, 7}, (edited, arguments, done.stderr)
            assert "fault of provisioner" not in done.stderr
            assert done.stdout == ""
        counts[edited.kind] += 1
    assert shop.tenant.seen() == since, "the tenant was asked"
    assert counts.total() == CONTRADICTING or not whole()
    click.echo(f"\n{counts.total()} change sets that contradict themselves were refused: {dict(counts)}")


def test_one_that_is_another_plan_is_refused_by_digest_and_by_plan(shop: Shop, bases: Mapping[str, Json]) -> None:
    before, since, counts = shop.tenant.control("GET", "/dump")["objects"], shop.tenant.seen(), Counter[str]()
    for edited, document in some(consistent(bases, drawing()), CONSISTENT):
        name, options = written(shop, document), PLANS.get(edited.base, ("", ()))[1]
        reviewed = bases[edited.base]["provisioner"]["digest"]
        assert shop.on_tenant("show", name).returncode == 0, edited
        by_digest = shop.on_tenant("apply", name, "--expect-digest", reviewed, "--auto-approve")
        by_plan = shop.on_tenant("apply", name, "--plan", f"{edited.base}.yaml", *options, CI="true")
        untied = shop.on_tenant("apply", name, CI="true")
        codes = (by_digest.returncode, by_plan.returncode, untied.returncode)
        assert codes == (7, 7, 3), (edited, by_plan.stdout, by_plan.stderr)
        counts[edited.kind] += 1
    assert shop.tenant.writes(since=since) == []
    assert shop.tenant.control("GET", "/dump")["objects"] == before
    assert counts.total() == CONSISTENT or not whole()
    click.echo(f"\n{counts.total()} consistent change sets were refused by digest and by plan: {dict(counts)}")
