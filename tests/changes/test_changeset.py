"""ChangeSet <-> JSON, the digest, and what becomes of files that are no change sets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from provisioner.changes import changeset, planning, verification
from provisioner.diagnostics import ChangeSetStale, InputError, Location
from provisioner.model import (
    Absent,
    Address,
    ChangeSet,
    Desired,
    Observed,
    Present,
    Resource,
    Unknown,
)
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

HOSTILE = "a]\"|`\n<script>‮$(rm) 'q' ü"


def example() -> ChangeSet:
    """One change of each kind, a finding, a check, and something unreadable."""
    specs = {
        Address("inbound_connector", HOSTILE): InboundConnector(
            HOSTILE, type="on_premises", sender_ip_addresses=frozenset({"10.0.0.1/32", "192.0.2.0/24"}), comment="x"
        ),
        Address("inbound_connector", "emptied"): InboundConnector("emptied", sender_ip_addresses=frozenset()),
        Address("dkim", "contoso.com"): Dkim("contoso.com", enabled=True, key_size=2048),
        Address("smtp_auth", "erp@contoso.com"): SmtpAuth("erp@contoso.com", "enabled"),
        Address("smtp_auth", "dark@contoso.com"): SmtpAuth("dark@contoso.com", "enabled"),
        Address("domain", "contoso.com"): Domain("contoso.com", verified=True),
    }
    at = Location("plan.yaml", 3, 5)
    plan = Desired(
        "contoso.onmicrosoft.com",
        "us/prod",
        {a: Resource(a, s, at) for a, s in specs.items()},
        digest="sha256:0",
        files=("plan.yaml",),
    )
    gone = InboundConnector("gone", owner="us/prod", comment="", type="partner", sender_domains=frozenset({"x.com"}))
    emptied = InboundConnector("emptied", sender_ip_addresses=frozenset({"192.0.2.9/32"}), comment="")
    seen = Observed(
        {
            Address("inbound_connector", HOSTILE): Absent(),
            Address("inbound_connector", "emptied"): Present(emptied),
            Address("dkim", "contoso.com"): Absent(),
            Address("smtp_auth", "erp@contoso.com"): Present(SmtpAuth("erp@contoso.com", "inherit")),
            Address("smtp_auth", "dark@contoso.com"): Unknown("half an answer", "malformed"),
            Address("domain", "contoso.com"): Present(Domain("contoso.com", verified=False)),
        },
        {Address("inbound_connector", "gone"): gone},
        requests=5,
    )
    return planning.plan(plan, seen, TYPES, tenant_id="1234", created="2026-11-23T10:00:00Z", transport="rest")


def test_a_change_set_survives_json_whole() -> None:
    before = example()
    document = json.loads(json.dumps(changeset.to_document(before)))
    after = verification.derive(document, TYPES, "x")
    assert after == before
    assert changeset.to_document(after) == changeset.to_document(before)


def test_each_change_keeps_the_whole_object_as_it_was_read() -> None:
    """The written fields are not enough to derive the steps again: a stored spelling, a CNAME's target."""
    document = changeset.to_document(example())
    facts = {c["address"]: c["provisioner"]["observed"] for c in document["resource_changes"]}
    assert facts['dkim["contoso.com"]'] is None, "a creation has nothing to start from"
    observed = {address: fields or {} for address, fields in facts.items()}
    assert observed['inbound_connector["emptied"]']["comment"] == "", "the plan does not write it"
    assert observed['smtp_auth["erp@contoso.com"]']["smtp_auth"] == "inherit"
    assert observed['inbound_connector["gone"]']["sender_domains"] == ["x.com"]


def test_a_change_set_of_format_1_is_refused_with_advice() -> None:
    document = changeset.to_document(example())
    document["provisioner"]["format"] = 1
    with pytest.raises(InputError, match="is a change set of format 1; this version reads format 2"):
        changeset.verify(document, "old.json")


def test_the_document_has_what_terraforms_readers_need() -> None:
    document = changeset.to_document(example())
    assert document["format_version"] == "1.2"
    assert isinstance(document["checks"], list)
    actions = {c["address"]: c["change"]["actions"] for c in document["resource_changes"]}
    assert actions['inbound_connector["gone"]'] == ["delete"]
    assert actions['dkim["contoso.com"]'] == ["create"]
    assert not any("dark" in a for a in actions), "what could not be read is never a change"
    assert document["errored"] is True
    assert document["applyable"] is False
    for item in document["resource_changes"]:
        created, deleted = item["change"]["actions"] == ["create"], item["change"]["actions"] == ["delete"]
        assert (item["change"]["before"] is None) is created
        assert (item["change"]["after"] is None) is deleted


def test_the_digest_does_not_depend_on_the_transport_and_on_everything_else() -> None:
    document = changeset.to_document(example())
    assert (
        changeset.digest({**document, "provisioner": {**document["provisioner"], "transport": "psrp"}})
        == (document["provisioner"]["digest"])
    )
    assert changeset.digest({**document, "timestamp": "2026-11-23T10:00:01Z"}) != document["provisioner"]["digest"]


def test_a_saved_file_is_private_and_loads_back(tmp_path: Path) -> None:
    path = tmp_path / "change.json"
    document = changeset.to_document(example())
    changeset.save(document, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert changeset.load(path) == document
    assert list(tmp_path.iterdir()) == [path]


def test_an_edited_file_is_refused_as_stale(tmp_path: Path) -> None:
    path = tmp_path / "change.json"
    changeset.save(changeset.to_document(example()), path)
    path.write_text(path.read_text().replace("192.0.2.0/24", "192.0.3.0/24"))
    with pytest.raises(ChangeSetStale, match="was changed after it was made"):
        changeset.load(path)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"format_version": "1.2", "resource_cha', "CHANGESET-SYNTAX"),
        (b"", "CHANGESET-SYNTAX"),
        (b"\xff\xfe{}", "CHANGESET-SYNTAX"),
        (b"[" * 100_000, "CHANGESET-SYNTAX"),
        (b"[1, 2]", "CHANGESET-FOREIGN"),
        (b'{"format_version": "1.2", "resource_changes": []}', "CHANGESET-FOREIGN"),
        (b'{"provisioner": {"format": 99, "digest": "x"}}', "CHANGESET-VERSION"),
    ],
)
def test_what_is_no_change_set_is_said_to_be_none(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "change.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        changeset.load(path)
    assert [d.id for d in caught.value.diagnostics] == [code]


def test_a_missing_file_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        changeset.load(tmp_path / "nowhere.json")


def test_a_true_digest_over_an_unknown_shape_is_still_input_and_no_crash() -> None:
    document = changeset.to_document(example())
    document["resource_changes"][0]["type"] = "transport_rule"
    document["provisioner"]["digest"] = changeset.digest(document)
    changeset.verify(document, "x")
    with pytest.raises(InputError, match=r"resource_changes\[0\].type: there is no resource type"):
        verification.derive(document, TYPES, "x")
