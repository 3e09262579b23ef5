"""ChangeSet <-> JSON, the digest, and what becomes of files that are not change sets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.changes import changeset, planning, verification
from provisioner.diagnostics import ChangeSetStale, InputError, Location
from provisioner.model import (
    Absent,
    Address,
    Await,
    ChangeSet,
    Cmdlet,
    Delta,
    Desired,
    DnsUpdate,
    Drift,
    Observed,
    Pending,
    Present,
    Record,
    Ref,
    Resource,
    Secret,
    Send,
    Unknown,
)
from provisioner.model.traffic import Traffic
from provisioner.render import text
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth
from tests.changes.whole import change_set

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
    gone = InboundConnector(
        "gone", owner="us/prod", owner_key="gone", comment="", type="partner", sender_domains=frozenset({"x.com"})
    )
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


def test_observed_mail_is_kept_with_the_change_set() -> None:
    before = example()
    assert before.basis is not None
    mail = (Traffic("mfp@contoso.com", network="203.0.113.10/32", connector="hq", recipients="outside"),)
    plan = dataclasses.replace(before.basis.desired, traffic=mail)
    document = changeset.to_document(planning.plan(plan, before.basis.observed, TYPES))
    basis, without = document["provisioner"]["basis"], changeset.to_document(before)["provisioner"]["basis"]
    assert basis is not None
    assert [kept["network"] for kept in basis["traffic"]] == ["203.0.113.10/32"]
    assert without is not None
    assert "traffic" not in without


def test_each_change_keeps_the_whole_object_as_it_was_read() -> None:
    """The written fields are not enough to derive the steps again: a stored spelling, a CNAME's target."""
    document = changeset.to_document(example())
    facts = {c["address"]: c["provisioner"]["observed"] for c in document["resource_changes"]}
    assert facts['dkim["contoso.com"]'] is None, "a creation has nothing to start from"
    observed = {address: fields or {} for address, fields in facts.items()}
    assert observed['inbound_connector["emptied"]']["comment"] == "", "the plan does not write it"
    assert observed['smtp_auth["erp@contoso.com"]']["smtp_auth"] == "inherit"
    assert observed['inbound_connector["gone"]']["sender_domains"] == ["x.com"]


def test_a_text_does_not_show_the_digest() -> None:
    document, short = changeset.to_document(example()), changeset.undigested(example())
    assert text.render(short) == text.render(document)
    short["provisioner"]["digest"] = changeset.digest(short)
    assert short == document


def test_what_could_not_be_read_is_listed_by_name() -> None:
    keys = ("c.com", "a.com", "b.com")
    found = ChangeSet(
        "contoso.onmicrosoft.com",
        "id",
        "",
        (),
        unknown={Address("dkim", key): Unknown("throttled") for key in keys},
        unlisted={name: Unknown("no role", "permission") for name in ("send_as", "dkim")},
    )
    ours = changeset.to_document(found)["provisioner"]
    assert [item["address"] for item in ours["unreadable"]] == [f'dkim["{key}"]' for key in sorted(keys)]
    assert ours["unlisted"] == [
        {"type": name, "reason": "no role", "kind": "permission"} for name in ("dkim", "send_as")
    ]


def test_a_creation_marks_the_values_that_the_plan_does_not_write() -> None:
    fields = {
        c["address"]: {f["name"]: f.get("default") for f in c["provisioner"]["fields"]}
        for c in changeset.to_document(example())["resource_changes"]
    }
    created = fields[str(Address("inbound_connector", HOSTILE))]
    assert (created["require_tls"], created["sender_domains"]) == (True, True)
    assert (created["type"], created["comment"]) == (None, None)
    updated = fields['inbound_connector["emptied"]']
    assert updated == {"sender_ip_addresses": None}
    assert set(fields['inbound_connector["gone"]'].values()) == {None}


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


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a document, leaves and inner nodes."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def test_every_value_of_the_document_decides_the_digest() -> None:
    """What is approved, or given to --expect-digest, is all that apply acts on."""
    document: Any = changeset.to_document(example())
    free, whole = {("provisioner", "digest"), ("provisioner", "transport")}, ("provisioner",)
    places = set(_places(document))
    assert free < places
    assert len(places) > 400
    for *way, last in places - free - {whole}:
        inner = document
        for key in way:
            inner = inner[key]
        kept, inner[last] = inner[last], "edited"
        assert changeset.digest(document) != document["provisioner"]["digest"], (*way, last)
        inner[last] = kept
    assert changeset.digest(document) == document["provisioner"]["digest"]
    assert changeset.digest({**document, "more": None}) != document["provisioner"]["digest"]


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
    document["resource_changes"][0]["type"] = "sharing_policy"
    document["provisioner"]["digest"] = changeset.digest(document)
    changeset.verify(document, "x")
    with pytest.raises(InputError, match=r"resource_changes\[0\].type: there is no resource type"):
        verification.derive(document, TYPES, "x")


# --- the whole document ----------------------------------------------------------------------------------------------


def test_the_document_of_everything_is_as_it_was_reviewed(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    """Its names are a format that saved files, reviewers' tools and policies rely on."""
    document: Any = changeset.to_document(change_set(tmp_path))
    document["provisioner"] |= {"version": "0", "digest": "", "plan": {**document["provisioner"]["plan"], "digest": ""}}
    golden("changes/document.json", json.dumps(document, indent=1).replace(f"{tmp_path}/", "") + "\n")


def test_the_document_of_everything_gives_the_same_change_set(tmp_path: Path) -> None:
    found = change_set(tmp_path)
    document = json.loads(json.dumps(changeset.to_document(found)))
    assert verification.derive(document, TYPES, "x") == found


def test_a_change_set_without_drift_does_not_speak_of_any() -> None:
    assert "resource_drift" not in changeset.to_document(example())


def test_the_digest_is_over_sorted_json_without_blanks_in_utf_8() -> None:
    document = {"b": [1, "ü\ud800"], "a": {}, "provisioner": {"tenant": "x", "digest": "?", "transport": "rest"}}
    text = '{"a":{},"b":[1,"ü\ud800"],"provisioner":{"tenant":"x"}}'
    expected = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert changeset.digest(document) == f"sha256:{expected}"


@pytest.mark.parametrize("added", ['{"resource_changes": [], ', '{"provisioner": {"digest": "sha256:0"}, '])
def test_a_key_that_stands_twice_is_an_edit(tmp_path: Path, added: str) -> None:
    """What was read has the digest that was reviewed, and another reader may take the other value."""
    file = tmp_path / "changes.json"
    file.write_text(json.dumps(changeset.to_document(example())).replace("{", added, 1), encoding="utf-8")
    with pytest.raises(ChangeSetStale, match="twice"):
        changeset.load(file)


def test_requests_and_parameters_have_their_form() -> None:
    cmdlet = Cmdlet("Set-X", {"A": Delta(("a",), ("r",)), "B": Ref(1, "P"), "C": Secret("env:X"), "D": ("x",), "E": 5})
    assert changeset.request_document(cmdlet) == {
        "cmdlet": "Set-X",
        "parameters": {
            "A": {"$delta": {"add": ["a"], "remove": ["r"]}},
            "B": {"$ref": {"step": 1, "property": "P"}},
            "C": {"$secret": "env:X"},
            "D": ["x"],
            "E": 5,
        },
    }
    step = Send(cmdlet, waits_on=("throttled",), blocked_on=("forbidden",))
    assert changeset.step_document(step) == {
        "send": changeset.request_document(cmdlet),
        "waits_on": ["throttled"],
        "blocked_on": ["forbidden"],
    }
    waiting = Await((Record("s._domainkey.x.com", "CNAME", Ref(0, "Selector1CNAME")),))
    target = {"$ref": {"step": 0, "property": "Selector1CNAME"}}
    assert changeset.step_document(waiting) == {
        "await": [{"name": "s._domainkey.x.com", "type": "CNAME", "value": target}]
    }


def test_a_field_that_a_type_does_not_have_is_refused() -> None:
    kind = next(t for t in TYPES if t.name == "smtp_auth")
    assert changeset.read_spec(kind, None) is None
    assert changeset.read_spec(kind, {"identity": "a@x.com"}) == SmtpAuth("a@x.com", None)
    for fields, told in (
        ({"identity": "a@x.com", "colour": "red"}, "smtp_auth: has no field colour"),
        ({"identity": 5}, "smtp_auth: identity: "),
        ({"identity": "a@x.com", "smtp_auth": [{}]}, "smtp_auth: smtp_auth: "),
        ({}, "smtp_auth: identity: "),
    ):
        with pytest.raises(InputError, match=told):
            changeset.read_spec(kind, fields)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_whole_on_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr("os.fsync", lambda handle: written.append(Path(f"/proc/self/fd/{handle}").read_bytes()))
    path = tmp_path / "change.json"
    changeset.save(changeset.to_document(ChangeSet("contoso.onmicrosoft.com", "id", "", ())), path)
    assert path.stat().st_size < 8192, "what is larger than the buffer is written without being flushed"
    assert written == [path.read_bytes()]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="taken cannot be written: Is a directory"):
        changeset.save(changeset.to_document(example()), tmp_path / "taken")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        changeset.save(changeset.to_document(example()), tmp_path / "nowhere" / "x.json")


def test_a_file_of_more_than_256_mebibytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(256 * 2**20 + 1)  # a hole: it takes no space
    with pytest.raises(InputError, match="is larger than 256 MiB"):
        changeset.load(path)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "change.json"
    changeset.save(changeset.to_document(example()), path)
    size = path.stat().st_size
    monkeypatch.setattr(changeset, "_LARGEST_BYTES", size)
    assert changeset.load(path) == changeset.to_document(example())
    monkeypatch.setattr(changeset, "_LARGEST_BYTES", size - 1)
    with pytest.raises(InputError, match="is larger than"):
        changeset.load(path)


@pytest.mark.parametrize(
    ("content", "json_"), [(b" \n{}", True), (b"", False), (b"provisioner: 1", False), (b" " * 4096 + b"{", False)]
)
def test_a_change_set_is_told_from_a_plan_by_its_first_character(tmp_path: Path, content: bytes, json_: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert changeset.is_changeset(path) is json_
    assert not changeset.is_changeset(tmp_path / "missing")
    assert not changeset.is_changeset(tmp_path)


def test_the_order_in_which_objects_were_read_does_not_matter() -> None:
    """What is derived from a file has the objects of its changes first, and must be the same document."""
    keys = ("erp@contoso.com", "fax@contoso.com", "mfp@contoso.com")
    absent = [(Address("smtp_auth", key), Absent(f"there is no mailbox {key}", "create it")) for key in keys]
    found = example()
    assert found.basis is not None
    for order in (absent, absent[::-1]):
        basis = dataclasses.replace(found.basis, observed=Observed(dict(order)))
        document = changeset.to_document(dataclasses.replace(found, basis=basis))
        saved: Any = document["provisioner"]
        assert saved["basis"]["lacking"] == [
            {"address": str(a), "reason": o.reason, "fix": o.fix, "known": None} for a, o in absent
        ]


def test_an_update_of_dns_stands_in_the_journal_as_it_is_sent() -> None:
    pending = Pending('dkim["contoso.com"]', "Selector1CNAME")
    update = DnsUpdate("zone", "contoso.com", "TXT", ("v=spf1 -all",), ("v=spf1 ~all",), "v=spf1", 300)
    document = {
        "update": "contoso.com TXT",
        "provider": "zone",
        "add": ["v=spf1 -all"],
        "remove": ["v=spf1 ~all"],
        "ttl_s": 300,
    }
    assert changeset.write_document(update) == document
    in_parts = dataclasses.replace(update, add=(pending,), strings=(("v=spf1 ", "-all"),))
    assert changeset.write_document(in_parts) == {
        **document,
        "add": [{"$pending": {"address": pending.address, "property": "Selector1CNAME"}}],
        "strings": [["v=spf1 ", "-all"]],
    }
    cmdlet = Cmdlet("Set-X", {"Identity": "x"})
    assert changeset.write_document(cmdlet) == {"cmdlet": "Set-X", "parameters": {"Identity": "x"}}


def test_the_fields_of_drift_are_in_order() -> None:
    names = [f"field_{letter}" for letter in "hgfedcba"]
    drift = Drift(Address("dkim", "contoso.com"), dict.fromkeys(names, 1), {**dict.fromkeys(names, 2), "same": 1}, "r")
    assert changeset._resource_drift(drift)["provisioner"] == {"run": "r", "fields": sorted(names)}
