"""Saved change sets that somebody edited, with a digest that fits: `show` and `apply` refuse them, and nothing is sent.

The digest is a plain SHA-256, so whoever can edit the file can make it fit. What protects is that the whole document is
derived again from what it was planned from (provisioner/changes/verification.py).
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner import rules
from provisioner.changes import changeset, planning, verification
from provisioner.cli.main import main
from provisioner.diagnostics import ChangeSetStale, InputError
from provisioner.model import Absent, Address, Answer, Observation, Observed, Present, request_key
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.organization import Organization
from provisioner.resources.smtp_auth import SmtpAuth
from tests.cli.shop import Shop, open_shop
from tests.generated import whole

Json = dict[str, Any]

PLAN = """
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: mail/prod
allow:
  - { rule: IP-PRIVATE, resource: inbound_connector/lab, reason: CHG-1, until: 2027-01-31 }
  - { rule: DEVICE-NO-METHOD, reason: CHG-3, until: 2027-01-31 }
domains: { contoso.com: { verified: true } }
organization: { reject_direct_send: true }
smtp_auth:
  exclusive: true
  organization: enabled
  mailboxes: { erp@contoso.com: enabled, fax@contoso.com: disabled }
send_as: { erp@contoso.com: [invoices@contoso.com] }
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [81.2.69.160], comment: HQ }
  lab: { type: on_premises, sender_ip_addresses: [10.0.0.1], require_tls: false }
  depot: { sender_ip_addresses: [] }
absent: [inbound_connector/gone]
dkim: { contoso.com: { enabled: true, key_size: 1024 } }
sites: { leeds: { egress_ip_addresses: [81.2.69.144] } }
devices:
  scan: { from: scan@contoso.com, recipients: anyone, site: leeds, supports: { tls: "1.2", authentication: [] } }
  bell: { from: bell@contoso.com, recipients: organization, supports: { tls: none, authentication: [] } }
  fax:
    from: fax2@contoso.com
    recipients: anyone
    mailbox: fax2@contoso.com
    supports: { tls: "1.2", authentication: [oauth] }
"""

OURS = InboundConnector(
    "left", type="on_premises", enabled=True, comment="", owner="mail/prod", owner_key="left", source="default"
)

SEEN: dict[Address, Any] = {
    Address("organization", "settings"): Organization("settings", False),
    Address("smtp_auth", "organization"): SmtpAuth("organization", "disabled"),
    Address("smtp_auth", "erp@contoso.com"): SmtpAuth("erp@contoso.com", "inherit", "erp@contoso.com"),
    Address("smtp_auth", "fax@contoso.com"): SmtpAuth("fax@contoso.com", "disabled", "fax@contoso.com"),
    Address("smtp_auth", "fax2@contoso.com"): SmtpAuth("fax2@contoso.com", "enabled", "fax2@contoso.com"),
    Address("domain", "contoso.com"): Domain("contoso.com", verified=True, accepted=True),
    Address("mailbox", "fax2@contoso.com"): Mailbox("fax2@contoso.com", True, True),
    Address("dkim", "contoso.com"): Dkim("contoso.com", False, 2048, "relaxed", "relaxed", "s1.example", "s2.example"),
    Address("inbound_connector", "depot"): InboundConnector(
        "depot",
        type="on_premises",
        enabled=True,
        sender_ip_addresses=frozenset({"81.2.69.142/32"}),
        comment="",
        owner="mail/prod",
        source="default",
        spellings=frozenset({"SenderIPAddresses=81.2.69.142/32"}),
    ),
    Address("inbound_connector", "gone"): InboundConnector("gone", comment="", owner="", source="default"),
}

UNDECLARED: dict[Address, Any] = {
    Address("inbound_connector", "left"): OURS,
    Address("inbound_connector", "others"): InboundConnector("others", comment="", owner="", source="default"),
    Address("smtp_auth", "old@contoso.com"): SmtpAuth("old@contoso.com", "enabled", "old@contoso.com"),
    Address("smtp_auth", "quiet@contoso.com"): SmtpAuth("quiet@contoso.com", "inherit", "quiet@contoso.com"),
}


def observation(address: Address) -> Observation:
    return Present(SEEN[address]) if address in SEEN else Absent()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """A document with changes of every kind, preconditions, guards, a waiver, devices and undeclared objects."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(PLAN)
    desired, _ = document.load(path, TYPES, today=dt.date(2026, 11, 25))
    evidence = {request_key(q): Answer(({"RejectDirectSend": False, "Other": 1},)) for q in rules.questions(desired)}
    seen = Observed(
        {a: observation(a) for a in (*desired.resources, *desired.absent)}, UNDECLARED, requests=9, evidence=evidence
    )
    found = planning.plan(desired, seen, TYPES, tenant_id="1234", created="2026-11-25T10:00:00Z", transport="rest")
    made: Json = json.loads(json.dumps(changeset.to_document(found)))
    return made


def change_of(made: Json, address: str) -> Json:
    found: Json = next(c for c in made["resource_changes"] if c["address"] == address)
    return found


HQ, DEPOT, LEFT = 'inbound_connector["hq"]', 'inbound_connector["depot"]', 'inbound_connector["left"]'
ERP = 'smtp_auth["erp@contoso.com"]'
SWITCH = {"send": {"cmdlet": "Set-TransportConfig", "parameters": {"SmtpClientAuthenticationDisabled": False}}}
GRAPH = {"send": {"method": "POST", "path": "/directoryRoles/1/members/$ref", "body": {"@odata.id": "x"}}}
TIED = ("--expect-digest", "0" * 64)
WAITS: Json = {"waits_on": [], "blocked_on": []}


def step(cmdlet: str, **parameters: Any) -> Json:
    return {"send": {"cmdlet": cmdlet, "parameters": parameters}, **WAITS}


def ours(made: Json, address: str) -> Json:
    found: Json = change_of(made, address)["provisioner"]
    return found


def sent(made: Json, address: str) -> Json:
    found: Json = ours(made, address)["steps"][0]["send"]["parameters"]
    return found


def guard(made: Json, rule: str) -> Json:
    found: Json = next(f for f in made["provisioner"]["findings"] if f["rule"] == rule)
    return found


def declared(made: Json, address: str) -> Json:
    found: Json = next(d for d in made["provisioner"]["basis"]["declared"] if d["address"] == address)
    return found


def looked(made: Json, address: str) -> Json:
    found: Json = next(d for d in made["provisioner"]["basis"]["observed"] if d["address"] == address)
    return found


Forgery = Callable[[Json], Any]

FORGERIES: dict[str, tuple[Forgery, str]] = {
    # What is sent.
    "a step first": (lambda d: ours(d, HQ)["steps"].insert(0, {**SWITCH, **WAITS}), f"{HQ}: provisioner.steps"),
    "a step last": (
        lambda d: ours(d, HQ)["steps"].append(step("Remove-InboundConnector", Identity="others", Confirm=False)),
        f"{HQ}: provisioner.steps",
    ),
    "a mailbox removed": (
        lambda d: ours(d, ERP)["steps"].append(step("Remove-Mailbox", Identity="erp@contoso.com", Confirm=False)),
        f"{ERP}: provisioner.steps",
    ),
    "a transport rule": (
        lambda d: ours(d, HQ)["steps"].append(step("New-TransportRule", Name="x", BlindCopyTo="x@evil.example")),
        f"{HQ}: provisioner.steps",
    ),
    "a Graph write": (lambda d: ours(d, HQ)["steps"].append({**GRAPH, **WAITS}), f"{HQ}: provisioner.steps"),
    "no steps": (lambda d: ours(d, HQ)["steps"].clear(), f"{HQ}: provisioner.steps"),
    "a wider address": (
        lambda d: sent(d, HQ).update(SenderIPAddresses=["81.2.69.0/24"]),
        f"{HQ}: provisioner.steps",
    ),
    "one parameter more": (lambda d: sent(d, HQ).update(TreatMessagesAsInternal=True), f"{HQ}: provisioner.steps"),
    "a default that is not shown": (lambda d: sent(d, HQ).update(RequireTls=False), f"{HQ}: provisioner.steps"),
    "a switch the other way": (
        lambda d: sent(d, ERP).update(SmtpClientAuthenticationDisabled=True),
        f"{ERP}: provisioner.steps",
    ),
    "another object": (lambda d: sent(d, ERP).update(Identity="boss@contoso.com"), f"{ERP}: provisioner.steps"),
    "another connector": (lambda d: sent(d, LEFT).update(Identity="others"), f"{LEFT}: provisioner.steps"),
    "a secret in a step": (
        lambda d: sent(d, HQ).update(Comment={"$secret": "file:/home/user/.ssh/id_rsa"}),
        f"{HQ}: provisioner.steps",
    ),
    "a secret of the environment": (
        lambda d: sent(d, HQ).update(Name={"$secret": "env:CLIENT_SECRET"}),
        f"{HQ}: provisioner.steps",
    ),
    "an answer of another step": (
        lambda d: sent(d, HQ).update(Comment={"$ref": {"step": 0, "property": "Guid"}}),
        f"{HQ}: provisioner.steps",
    ),
    "a refusal taken for waiting": (
        lambda d: ours(d, HQ)["steps"][0].update(waits_on=[""]),
        f"{HQ}: provisioner.steps",
    ),
    "a warning taken for nothing": (
        lambda d: ours(d, HQ)["steps"][0].update(blocked_on=[]),
        f"{HQ}: provisioner.steps",
    ),
    "1 for true": (lambda d: sent(d, HQ).update(RequireTls=1), f"{HQ}: provisioner.steps"),
    "the way back": (
        lambda d: ours(d, HQ)["inverse"].append(step("Remove-Mailbox", Identity="x")),
        f"{HQ}: provisioner.inverse",
    ),
    "no waiting for DNS": (
        lambda d: ours(d, 'dkim["contoso.com"]')["steps"].pop(0),
        'dkim["contoso.com"]: provisioner.steps',
    ),
    "a step of a no-op": (
        lambda d: ours(d, 'smtp_auth["fax@contoso.com"]')["steps"].append({**SWITCH, **WAITS}),
        'smtp_auth["fax@contoso.com"]: provisioner.steps',
    ),
    # What is shown.
    "fields": (
        lambda d: ours(d, HQ)["fields"][2].update(after=["198.51.100.20/32"]),
        f"{HQ}: provisioner.fields",
    ),
    "a field left out": (lambda d: ours(d, HQ)["fields"].pop(), f"{HQ}: provisioner.fields"),
    "no fields": (lambda d: ours(d, HQ)["fields"].clear(), f"{HQ}: provisioner.fields"),
    "a default shown as written": (
        lambda d: [f.pop("default", None) for f in ours(d, HQ)["fields"]],
        f"{HQ}: provisioner.fields",
    ),
    "before": (lambda d: change_of(d, ERP)["change"]["before"].update(smtp_auth="disabled"), f"{ERP}: change.before"),
    "after": (lambda d: change_of(d, ERP)["change"]["after"].update(smtp_auth="inherit"), f"{ERP}: change.after"),
    "after with a secret": (
        lambda d: change_of(d, HQ)["change"]["after"].update(comment={"$secret": "env:X"}),
        f"{HQ}: change.after",
    ),
    "a delete shown as an update": (
        lambda d: change_of(d, LEFT)["change"].update(actions=["update"]),
        f"{LEFT}: change.actions",
    ),
    "an update shown as a no-op": (
        lambda d: change_of(d, ERP)["change"].update(actions=["no-op"]),
        f"{ERP}: change.actions",
    ),
    "reason": (lambda d: ours(d, LEFT).update(reason="routine"), f"{LEFT}: provisioner.reason"),
    "consequences": (
        lambda d: ours(d, HQ).update(consequences=["neutral"]),
        f"{HQ}: provisioner.consequences",
    ),
    "no consequences": (lambda d: ours(d, LEFT).update(consequences=[]), f"{LEFT}: provisioner.consequences"),
    "address": (lambda d: change_of(d, LEFT).update(address=HQ), f"{LEFT}: address"),
    "name": (lambda d: change_of(d, LEFT).update(name="harmless"), f"{LEFT}: name"),
    "something unheard of": (lambda d: ours(d, HQ).update(extra=[{**SWITCH, **WAITS}]), f"{HQ}: provisioner.extra"),
    # When.
    "needs": (
        lambda d: ours(d, 'smtp_auth["organization"]').update(needs=[HQ]),
        'smtp_auth["organization"]: provisioner.needs',
    ),
    "no needs": (lambda d: ours(d, 'dkim["contoso.com"]').update(needs=[]), 'dkim["contoso.com"]: provisioner.needs'),
    "order": (lambda d: d["resource_changes"].reverse(), "the order of the changes"),
    # What is there at all.
    "a change taken out": (
        lambda d: d["resource_changes"].remove(change_of(d, 'smtp_auth["old@contoso.com"]')),
        "not as derived",
    ),
    "a change twice": (lambda d: d["resource_changes"].append(change_of(d, HQ)), "the order of the changes"),
    "a change that nobody planned": (
        lambda d: d["resource_changes"].append(
            {
                **change_of(d, LEFT),
                "address": 'inbound_connector["others"]',
                "index": "others",
                "provisioner": {
                    **ours(d, LEFT),
                    "observed": {"name": "others", "comment": "", "owner": "", "source": "default"},
                    "steps": [step("Remove-InboundConnector", Identity="others", Confirm=False)],
                },
            }
        ),
        'inbound_connector["others"]: no such change is derived',
    ),
    # Guards.
    "no findings": (lambda d: d["provisioner"].update(findings=[]), "$.provisioner.findings"),
    "one guard less": (
        lambda d: d["provisioner"]["findings"].remove(guard(d, "DEVICE-LOSES-WAY")),
        "$.provisioner.findings",
    ),
    "one warning less": (
        lambda d: d["provisioner"]["findings"].remove(guard(d, "CREATE-ONLY")),
        "$.provisioner.findings",
    ),
    "a guard that blocks nothing": (
        lambda d: guard(d, "SMTP-TENANT-WIDE").update(blocks=""),
        "$.provisioner.findings",
    ),
    "a guard that is waived": (
        lambda d: guard(d, "SMTP-TENANT-WIDE").update(waived="CHG-2"),
        "$.provisioner.findings",
    ),
    "a guard as a note": (lambda d: guard(d, "SMTP-TENANT-WIDE").update(severity="info"), "$.provisioner.findings"),
    "a guard about nothing": (
        lambda d: guard(d, "SMTP-TENANT-WIDE").update(summary="nothing to see"),
        "$.provisioner.findings",
    ),
    "a guard by another name": (
        lambda d: guard(d, "SMTP-TENANT-WIDE").update(rule="SPF-NOTE"),
        "$.provisioner.findings",
    ),
    "another reason for a waiver": (
        lambda d: guard(d, "IP-PRIVATE").update(waived="approved by the CISO"),
        "$.provisioner.findings",
    ),
    "no checks": (lambda d: d.update(checks=[]), "$.checks"),
    "a check that passes": (lambda d: d["checks"][0].update(status="fail"), "$.checks"),
    "complete": (lambda d: d.update(complete=False), "$.complete"),
    "applyable": (lambda d: d.update(applyable=True), "$.applyable"),
    "errored": (lambda d: d.update(errored=True), "$.errored"),
    "fewer writes": (lambda d: d["provisioner"]["requests"].update(write=1), "$.provisioner.requests"),
    "something unheard of at the top": (lambda d: d.update(steps=[{**SWITCH, **WAITS}]), "$.steps"),
    # What it was planned from, edited without the rest.
    "observed": (
        lambda d: ours(d, DEPOT)["observed"].update(sender_ip_addresses=["81.2.69.143/32"]),
        f"{DEPOT}: change.before",
    ),
    "observed by another spelling": (
        lambda d: ours(d, DEPOT)["observed"].update(spellings=["SenderIPAddresses=81.2.69.142/31"]),
        f"{DEPOT}: ",
    ),
    "observed as owned": (
        lambda d: looked(d, 'inbound_connector["others"]')["spec"].update(owner="mail/prod", owner_key="others"),
        'inbound_connector["others"]: the change is missing',
    ),
    "observed by another name": (
        lambda d: ours(d, DEPOT)["observed"].update(name="others"),
        "names another object",
    ),
    "declared by another name": (lambda d: declared(d, HQ)["spec"].update(name="others"), "names another object"),
    "declared with another value": (lambda d: declared(d, HQ)["spec"].update(comment="x"), f"{HQ}: change.after"),
    "an observed default": (
        lambda d: ours(d, 'dkim["contoso.com"]')["observed"].update(selector1_cname="s1.evil.example"),
        'dkim["contoso.com"]: provisioner.steps',
    ),
    "devices forgotten": (
        lambda d: [
            d["provisioner"]["basis"].update(devices={}, choices={}),
            *(r.update(devices=[]) for r in d["provisioner"]["basis"]["declared"]),
        ],
        "$.provisioner.findings",
    ),
    "a waiver of the guard only": (
        lambda d: d["provisioner"]["basis"]["allowed"].append(
            {"rule": "SMTP-TENANT-WIDE", "pattern": "*", "until": None, "reason": "x", "location": None}
        ),
        "$.provisioner.findings",
    ),
    "protection taken away": (lambda d: d["provisioner"]["basis"].update(protect=["*"]), f"{LEFT}: no such change"),
    "not exclusive": (
        lambda d: d["provisioner"]["basis"].update(exclusive=[]),
        'smtp_auth["old@contoso.com"]: no such change',
    ),
    "a narrower scope": (
        lambda d: d["provisioner"]["basis"].update(targets=["dkim/*"]),
        f"{LEFT}: no such change",
    ),
}

SHAPES: dict[str, tuple[Forgery, str]] = {
    "changes that are a number": (lambda d: d.update(resource_changes=5), "$.resource_changes"),
    "a change without a change": (lambda d: change_of(d, HQ).pop("provisioner"), "].provisioner"),
    "an unknown type": (lambda d: change_of(d, HQ).update(type="sharing_policy"), "].type: there is no resource type"),
    "an observed secret": (
        lambda d: ours(d, DEPOT)["observed"].update(comment={"$secret": "env:X"}),
        "].provisioner.observed.comment",
    ),
    "a declared secret": (
        lambda d: declared(d, HQ)["spec"].update(comment={"$secret": "file:/etc/passwd"}),
        "].spec.comment",
    ),
    "no basis": (lambda d: d["provisioner"].pop("basis"), "$.provisioner.basis"),
    "a basis of null": (lambda d: d["provisioner"].update(basis=None), "$.provisioner.basis"),
    "an address that is none": (
        lambda d: d["provisioner"]["basis"]["declared"][0].update(address="x"),
        "$.provisioner.basis.declared[0]",
    ),
    "a network that is none": (
        lambda d: declared(d, HQ)["spec"].update(sender_ip_addresses=["anywhere"]),
        "$.provisioner.basis: cannot be planned from",
    ),
    "a right that is shown for another": (
        lambda d: declared(d, 'send_as["erp@contoso.com as invoices@contoso.com"]')["spec"].update(trustee="x@evil.ex"),
        "$.provisioner.basis: cannot be planned from",
    ),
    "a time that is a number": (lambda d: d.update(timestamp=5), "$.timestamp"),
}


def forged(real: Json, forgery: Forgery, folder: Path) -> Path:
    """The document with the forgery and a digest that fits, as a file."""
    made = copy.deepcopy(real)
    forgery(made)
    made["provisioner"]["digest"] = changeset.digest(made)
    path = folder / "changes.json"
    path.write_text(json.dumps(made))
    return path


def test_the_real_one_is_shown_and_derived(real: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = forged(real, lambda _: None, tmp_path)
    assert main(["show", str(path)]) == 0
    assert HQ in capsys.readouterr().out
    assert changeset.to_document(verification.load(path, TYPES)[1]) == real
    actions = {c["change"]["actions"][0] for c in real["resource_changes"]}
    assert actions == {"create", "update", "delete", "no-op"}


@pytest.mark.one_of("name", cases=20)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_neither_shown_nor_applied(
    real: Json, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forgery, part = FORGERIES[name]
    path = forged(real, forgery, tmp_path)
    for arguments in (["show", str(path)], ["show", str(path), "--format", "json"], ["apply", *TIED, str(path)]):
        assert main(arguments) == 7, name
        out, err = capsys.readouterr()
        if part != "not as derived":
            assert part in err, name
        assert "SmtpClientAuthenticationDisabled" not in out


@pytest.mark.one_of("name", cases=10)
@pytest.mark.parametrize("name", SHAPES)
def test_a_malformed_part_is_named_by_its_path(
    real: Json, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forgery, part = SHAPES[name]
    path = forged(real, forgery, tmp_path)
    for arguments in (["show", str(path)], ["apply", *TIED, str(path)]):
        assert main(arguments) == 3, name
        err = capsys.readouterr().err
        assert part in err, name
        assert "fault of provisioner" not in err


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document; of a long list the first two."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*above, key)
        yield from places(child, (*above, key))


def put_at(made: Json, path: tuple[Any, ...], value: Any) -> None:
    """Put a value at a place, or take out what is there (`...`), with a digest that fits."""
    holder: Any = made
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    ours = made.get("provisioner")
    if isinstance(ours, dict) and path != ("provisioner", "digest"):
        ours["digest"] = changeset.digest(made)


def test_whatever_is_put_anywhere_is_refused_in_words_or_follows_from_the_rest(real: Json) -> None:
    """Every part of a real document, replaced by a value of another kind or taken out: no other exception comes."""
    accepted = set()
    values = (None, 5, "x", {"$secret": "env:X"}, ...)
    for path in places(real):
        free = path == ("provisioner", "transport")
        some = random.sample(values, random.random() < 0.25)  # of every fourth place, one
        for value in values if free or whole() else some:
            made = copy.deepcopy(real)
            put_at(made, path, value)
            if made == real:
                continue  # null in the place of null
            with contextlib.suppress(InputError, ChangeSetStale):
                changeset.verify(made, "x")
                verification.derive(made, TYPES, "x")
                accepted.add(path)
    assert ("provisioner", "transport") in accepted
    of_changes = {p for p in accepted if p[0] == "resource_changes"}
    assert {p[2:4] for p in of_changes} <= {("provisioner", "observed")}, "all but what was read is derived"


# --- with the program and a tenant -----------------------------------------------------------------------------------

LIVE = """owner: team/prod
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [81.2.69.160], comment: HQ }
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


LIVE_FORGERIES: dict[str, Forgery] = {
    "a step first": FORGERIES["a step first"][0],
    "a secret": FORGERIES["a secret in a step"][0],
    "a wider address": FORGERIES["a wider address"][0],
}


def test_nothing_of_a_forged_file_reaches_the_tenant(shop: Shop) -> None:
    """Also with --auto-approve, and the tenant is not even asked; the file as it was made is then applied."""
    plan = shop.write(LIVE)
    assert shop.on_tenant("plan", plan, "-o", "changes.json").returncode == 0
    true = json.loads((shop.folder / "changes.json").read_text())
    before, asked = shop.tenant.control("GET", "/dump")["objects"], shop.tenant.seen()
    for name, forgery in LIVE_FORGERIES.items():
        forged(true, forgery, shop.folder)
        done = shop.on_tenant("apply", *shop.reviewed("changes.json"), "--auto-approve")
        assert done.returncode == 7, (name, done.stderr)
        assert HQ in done.stderr
    assert shop.tenant.control("GET", "/dump")["objects"] == before
    assert shop.tenant.seen() == asked, "nothing was asked of the tenant"
    forged(true, lambda _: None, shop.folder)
    done = shop.on_tenant("apply", *shop.reviewed("changes.json"))
    assert done.returncode == 0, done.stderr
    assert [r["Name"] for r in shop.tenant.rows("InboundConnector")] == ["hq"]
