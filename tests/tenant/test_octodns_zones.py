"""The overlay of an update over what a provider of octoDNS has: what it writes, and what it refuses."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from octodns.provider.base import BaseProvider
from octodns.record import Record as OctoRecord

from provisioner.diagnostics import InputError, PermissionMissing, Refused, Unavailable, Unclear
from provisioner.model import DnsUpdate
from provisioner.settings import DnsProvider
from provisioner.tenant import octodns_zones, threads
from provisioner.tenant.octodns_zones import OctoDns, _is_installed, _Job, _made, _options, _redacting
from provisioner.tenant.rfc2136 import _rdata
from provisioner.tenant.zones import Place, Record

SPF = DnsUpdate("corp", "contoso.com", "TXT", ("v=spf1 mx -all",), ("v=spf1 -all",), "v=spf1")
CNAME = DnsUpdate("corp", "selector1._domainkey.contoso.com", "CNAME", ("target.example",))
HERE: dict[tuple[str, str], list[Any]] = {
    ("", "NS"): ["ns1.contoso.com.", "ns2.contoso.com."],
    ("", "MX"): [{"preference": 0, "exchange": "mx.contoso.com."}],
    ("", "TXT"): ["MS=ms1", "v=spf1 -all", "verify=a\\; b"],
    ("www", "A"): ["192.0.2.1"],
}
SERVED = ("MS=ms1", "v=spf1 -all", "verify=a; b")


class Memory(BaseProvider):  # type: ignore[misc] # octoDNS comes without types
    """A provider that keeps a zone, as those of an API do."""

    SUPPORTS_GEO = SUPPORTS_DYNAMIC = False
    SUPPORTS_ROOT_NS = True
    SUPPORTS = frozenset({"A", "CNAME", "MX", "NS", "TXT"})

    def __init__(self, zone: dict[tuple[str, str], list[Any]], **faults: Any) -> None:
        self.log = logging.getLogger("Memory")
        self.zone, self.faults = dict(zone), faults
        super().__init__("memory")

    def populate(self, zone: Any, target: bool = False, lenient: bool = False) -> bool:
        if "reading" in self.faults:
            raise self.faults["reading"]
        for (name, kind), values in self.zone.items():
            data = {"type": kind, "ttl": 600, "value": values[0], "values": values}
            if kind == "CNAME":
                del data["values"]
            zone.add_record(OctoRecord.new(zone, name, data, lenient=lenient), lenient=lenient)
        return bool(self.zone)

    def _extra_changes(self, existing: Any, desired: Any, changes: Any) -> list[Any]:
        return list(self.faults.get("extra", lambda _: [])(existing))

    def _apply(self, plan: Any) -> None:
        if "writing" in self.faults:
            raise self.faults["writing"]
        for change in plan.changes:
            at = (change.record.name, change.record._type)
            if change.new is None:
                del self.zone[at]
            else:
                values = getattr(change.new, "values", None) or [change.new.value]
                self.zone[at] = list(values)
                self.ttl = change.new.ttl


def place(owner: str = "contoso.com", **settings: Any) -> Place:
    told = {"kind": "octodns", "class": "octodns.provider.yaml.YamlProvider", **settings}
    return Place(owner, "contoso.com", DnsProvider(**told), "corp")


def carry_out(
    provider: Memory, update: DnsUpdate = SPF, served: Sequence[str] = SERVED, secrets: Sequence[str] = ()
) -> Sequence[str]:
    found = [Record(update.type, value, 600, _rdata(update.type, value)) for value in served]
    return _Job(update, place(update.name), found, secrets).carry_out(provider)


def test_one_value_changes_and_everything_else_stays() -> None:
    provider = Memory(HERE)
    assert carry_out(provider) == ()
    assert provider.zone == {**HERE, ("", "TXT"): ["MS=ms1", "v=spf1 mx -all", "verify=a\\; b"]}
    assert provider.ttl == 600  # that of the set
    assert carry_out(provider, CNAME, ()) == ()
    assert provider.zone["selector1._domainkey", "CNAME"] == ["target.example."]
    assert provider.ttl == 3600
    gone = DnsUpdate("corp", CNAME.name, "CNAME", (), ("target.example",))
    assert carry_out(provider, gone, ("target.example",)) == ()
    assert ("selector1._domainkey", "CNAME") not in provider.zone
    assert provider.zone["", "MX"] == HERE["", "MX"]


def test_what_is_there_already_is_not_written_again() -> None:
    provider = Memory({**HERE, ("", "TXT"): ["MS=ms1", "v=spf1 mx -all"]}, writing=AssertionError("written"))
    again = DnsUpdate("corp", "contoso.com", "TXT", ("v=spf1 mx -all",), (), "v=spf1")
    (words,) = carry_out(provider, again, ("MS=ms1",))
    assert "has the record already" in words


@pytest.mark.parametrize(
    ("zone", "update", "served", "words"),
    [
        ({}, SPF, SERVED, "as empty"),
        (
            {**HERE, ("", "TXT"): ["v=spf1 -all"]},
            SPF,
            SERVED,
            'answer with "MS=ms1", "verify=a; b", which the provider',
        ),
        ({**HERE, ("", "TXT"): [*HERE["", "TXT"], "v=spf1 a -all"]}, SPF, SERVED, '"v=spf1 a -all" was added'),
        ({**HERE, ("", "TXT"): ["MS=ms1"]}, SPF, ("MS=ms1",), '"v=spf1 -all" is no longer there'),
        ({**HERE, ("selector1._domainkey", "TXT"): ["x"]}, CNAME, (), "there are TXT records"),
        (
            {**HERE, ("", "TXT"): ["MS=ms1", "v=spf1 -all", 'a"b']},
            SPF,
            ("MS=ms1", "v=spf1 -all", 'a"b'),
            "otherwise than it",
        ),
    ],
)
def test_what_an_overlay_would_lose_is_refused(
    zone: dict[tuple[str, str], list[Any]], update: DnsUpdate, served: Sequence[str], words: str
) -> None:
    provider = Memory(zone, writing=AssertionError("written"))
    with pytest.raises(Refused, match=words):
        carry_out(provider, update, served)
    assert provider.zone == zone


def test_strings_that_octodns_would_join_are_refused() -> None:
    import dns.rdata

    cut = Record("TXT", "ab", 600, dns.rdata.from_text("IN", "TXT", '"a" "b"'))
    job = _Job(SPF, place(), [cut, Record("TXT", "v=spf1 -all", 600, _rdata("TXT", "v=spf1 -all"))], ())
    with pytest.raises(Refused, match='would write "ab" otherwise'):
        job.carry_out(Memory({**HERE, ("", "TXT"): ["ab", "v=spf1 -all"]}))
    long = Record("TXT", "x" * 300, 600, _rdata("TXT", "x" * 300))
    job = _Job(SPF, place(), [long, Record("TXT", "v=spf1 -all", 600, _rdata("TXT", "v=spf1 -all"))], ())
    assert job.carry_out(Memory({**HERE, ("", "TXT"): ["x" * 300, "v=spf1 -all"]})) == ()


def test_a_plan_with_anything_else_in_it_is_refused() -> None:
    from octodns.record import Delete

    def deletes_the_mx(existing: Any) -> list[Any]:
        return [Delete(r) for r in existing.records if r._type == "MX"]

    provider = Memory(HERE, extra=deletes_the_mx)
    with pytest.raises(Refused, match=r"would also change contoso\.com\. MX"):
        carry_out(provider)
    assert provider.zone == HERE


class Forbidden(Exception):
    """As requests has it: with the response."""

    class response:  # noqa: N801
        status_code = 403


def test_an_error_says_whether_anything_was_written_and_never_the_secret() -> None:
    with pytest.raises(Unavailable) as before:
        carry_out(Memory(HERE, reading=OSError("no route, token=s3cr3t/x")), secrets=("s3cr3t/x",))
    assert "token=(secret)" in str(before.value)
    with pytest.raises(Unclear) as after:
        carry_out(Memory(HERE, writing=OSError("cut off at /?t=s3cr3t%2Fx")), secrets=("s3cr3t/x",))
    assert "s3cr3t" not in str(after.value)
    with pytest.raises(PermissionMissing):
        carry_out(Memory(HERE, writing=Forbidden()))


def test_a_provider_that_takes_too_long_to_read_does_not_write_when_nobody_waits_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, waits, left = Memory(HERE), threading.Event(), threading.Event()

    def read_slowly(existing: Any) -> list[Any]:
        waits.wait(60)
        return []

    def made(*_: object) -> Memory:
        return provider

    def carried_out(self: _Job, it: Any) -> Sequence[str]:
        try:
            return carry_out_(self, it)
        finally:
            left.set()

    carry_out_ = _Job.carry_out
    provider.faults["extra"] = read_slowly
    monkeypatch.setattr(octodns_zones, "_LONGEST_S", 0.05)
    monkeypatch.setattr(threads, "_CUT_S", 0.05)
    monkeypatch.setattr(octodns_zones, "_made", made)
    monkeypatch.setattr(_Job, "carry_out", carried_out)
    found = [Record("TXT", value, 600, _rdata("TXT", value)) for value in SERVED]
    with pytest.raises(Unavailable, match="did not end"):
        asyncio.run(OctoDns().write(SPF, place(), found))
    waits.set()
    assert left.wait(60)
    assert provider.zone == HERE


def test_what_is_logged_meanwhile_has_no_secret_in_it(caplog: pytest.LogCaptureFixture) -> None:
    with _redacting(("s3cr3t",)):
        logging.getLogger("Some").warning("sent %s", "key=s3cr3t")
    logging.getLogger("Some").warning("later")
    assert [record.getMessage() for record in caplog.records] == ["sent key=(secret)", "later"]


def test_a_provider_is_a_class_of_an_installed_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "octodns_evil").mkdir()
    (tmp_path / "octodns_evil" / "__init__.py").write_text("raise SystemExit(99)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert not _is_installed("octodns_evil")
    assert not _is_installed("os")
    assert _is_installed("octodns_bind")
    for name, words in (
        ("octodns_evil.Provider", "no installed package"),
        ("octodns_bind.Nothing", "it is not a provider"),
        ("octodns.zone.Zone", "it is not a provider"),
        ("octodns.provider.nothing.X", "cannot be imported"),
    ):
        with pytest.raises(InputError, match=words):
            _made(place(**{"class": name}), {}, ())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of YamlProvider, about a default
def test_a_provider_that_writes_whole_files_is_asked_for_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("octodns.provider.yaml.YamlProvider", "octodns_bind.ZoneFileProvider"):
        named: dict[str, Any] = {"class": name, "options": {"directory": str(tmp_path)}}
        with pytest.raises(InputError, match="writes the whole zone as a file"):
            _made(place(**named), *_options(place(**named).provider))
        accepted = place(**named, whole_file=True)
        provider = _made(accepted, *_options(accepted.provider))
    # What replaces its file without having read it is refused all the same.
    (tmp_path / "contoso.com.").write_text("$ORIGIN contoso.com.\n@ 600 IN MX 0 mx.contoso.com.\n")
    with pytest.raises(Refused, match="as empty"):
        _Job(SPF, accepted, [], ()).carry_out(provider)
    monkeypatch.setenv("KEY", "s3cr3t")
    wrong = place(options={"unknown_key": "env:KEY"})
    with pytest.raises(InputError, match="is not made") as told:
        _made(wrong, *_options(wrong.provider))
    assert "s3cr3t" not in str(told.value)
