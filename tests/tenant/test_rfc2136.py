"""An update as it goes to a primary: its prerequisites, its values, its signature, and what an answer means."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
import pytest

from provisioner.diagnostics import PermissionMissing, Refused, Unclear
from provisioner.model import DnsUpdate
from provisioner.model.requests import request_key
from provisioner.settings import DnsProvider
from provisioner.tenant.rfc2136 import _judge, _message, _rdata
from provisioner.tenant.zones import Place, Record, check_unchanged

KEY = dns.tsig.Key("key", base64.b64encode(b"secret").decode(), "hmac-sha256")
PLACE = Place("contoso.com", "contoso.com", DnsProvider(server="192.0.2.53", key_name="key"), "corp")
SPF = DnsUpdate("corp", "contoso.com", "TXT", ("v=spf1 mx -all",), ("v=spf1 -all",), "v=spf1")
THERE = {"MS=ms1": 1800, "v=spf1 -all": 1800}


def records(kind: str, values: Mapping[str, int]) -> list[Record]:
    return [Record(kind, value, ttl_s, _rdata(kind, value)) for value, ttl_s in values.items()]


def section(message: dns.message.Message, name: str) -> set[tuple[str, str, str]]:
    """Class that counts (IN, NONE, ANY), type and value of each record, as a server reads them."""
    received = dns.message.from_wire(message.to_wire(), keyring={KEY.name: KEY})
    found = set()
    for rrset in getattr(received, name):
        kind, deleting = dns.rdatatype.to_text(rrset.rdtype), rrset.deleting
        word = "IN" if deleting is None else dns.rdataclass.to_text(deleting)
        found |= {(word, kind, rdata.to_text()) for rdata in rrset} or {(word, kind, "")}
    return found


def test_the_whole_set_is_the_prerequisite_and_one_value_changes() -> None:
    message = _message(SPF, PLACE, records("TXT", THERE), KEY)
    assert section(message, "prerequisite") == {
        ("IN", "TXT", '"MS=ms1"'),
        ("IN", "TXT", '"v=spf1 -all"'),
    }
    assert section(message, "update") == {
        ("NONE", "TXT", '"v=spf1 -all"'),
        ("IN", "TXT", '"v=spf1 mx -all"'),
    }
    assert isinstance(message, dns.update.UpdateMessage)
    assert [rrset.ttl for rrset in message.update if rrset.deleting is None] == [1800]  # that of the set
    wire = message.to_wire()
    assert dns.message.from_wire(wire, keyring={KEY.name: KEY}).had_tsig


def test_a_name_without_records_must_still_have_none() -> None:
    first = DnsUpdate("corp", "contoso.com", "TXT", ("v=spf1 ~all",))
    assert section(_message(first, PLACE, [], KEY), "prerequisite") == {
        ("NONE", "TXT", ""),
        ("NONE", "CNAME", ""),
    }
    stricter = DnsUpdate("", "x", "TXT", (), ("v=a",), "v=", keep=("v=b",))
    check_unchanged(stricter, PLACE, [("TXT", "v=a"), ("TXT", "v=b")])
    other = DnsUpdate("corp", "contoso.com", "CNAME", ("target.example",), ("old.example",))
    swap = section(_message(other, PLACE, records("CNAME", {"old.example": 60}), KEY), "update")
    assert swap == {("IN", "CNAME", "target.example.")}  # a CNAME that is added takes the place of the other
    alias = DnsUpdate("corp", "contoso.com", "CNAME", ("target.example",))
    message = _message(alias, PLACE, [], KEY)
    assert section(message, "prerequisite") == {("NONE", "ANY", "")}
    assert section(message, "update") == {("IN", "CNAME", "target.example.")}


@pytest.mark.parametrize(
    ("update", "there", "words"),
    [
        (SPF, {"MS=ms1": 300}, '"v=spf1 -all" is no longer there'),
        (SPF, {**THERE, "v=spf1 mx ~all": 300}, '"v=spf1 mx ~all" was added'),
        (DnsUpdate("", "x", "TXT", (), ("v=a",), "v=", keep=("v=b",)), {"v=a": 300}, '"v=b" is no longer there'),
        (DnsUpdate("", "x", "CNAME", ("a.example",)), {}, ""),
    ],
)
def test_what_was_changed_since_the_plan_stops_before_anything_is_sent(
    update: DnsUpdate, there: dict[str, int], words: str
) -> None:
    found = [("TXT", value) for value in there]
    if not words:
        found, words = [("TXT", "v=DKIM1")], "no CNAME can stand beside them"
    with pytest.raises(Refused, match=words):
        check_unchanged(update, PLACE, found)
    check_unchanged(SPF, PLACE, [("TXT", value) for value in (*THERE, "another=1")])  # others may come and go


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (dns.rcode.NXRRSET, Refused),
        (dns.rcode.YXDOMAIN, Refused),
        (dns.rcode.REFUSED, PermissionMissing),
        (dns.rcode.NOTAUTH, PermissionMissing),
        (dns.rcode.SERVFAIL, Unclear),
        (dns.rcode.NOTIMP, Refused),
    ],
)
def test_what_an_answer_means(code: dns.rcode.Rcode, error: type[Exception]) -> None:
    answer = dns.update.UpdateMessage("contoso.com")
    answer.set_rcode(code)
    with pytest.raises(error):
        _judge(answer, SPF, PLACE)


def test_a_text_that_a_rollback_brings_back_keeps_its_strings() -> None:
    back = DnsUpdate("corp", "contoso.com", "TXT", ("v=spf1 -all",), (), "v=spf1", strings=(("v=spf1 ", "-all"),))
    assert section(_message(back, PLACE, [], KEY), "update") == {("IN", "TXT", '"v=spf1 " "-all"')}
    assert (
        Record("TXT", "v=spf1 -all", 60, _rdata("TXT", "v=spf1 -all", ("v=spf1 ", "-all"))).strings == back.strings[0]
    )
    assert Record("TXT", "x" * 300, 60, _rdata("TXT", "x" * 300)).strings == ()
    assert "strings" not in request_key(SPF)  # of saved change sets


def test_a_long_text_is_cut_into_strings() -> None:
    data = _rdata("TXT", "x" * 300 + "\udcff")
    assert [len(part) for part in data.strings] == [255, 46]  # type: ignore[attr-defined]
