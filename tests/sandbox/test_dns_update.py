"""DNS UPDATE of the sandbox as RFC 2136 and RFC 8945 have it, by dnspython's client side."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.tsig
import dns.update
import pytest

from provisioner.sandbox.dns_update import KEY_NAME, encoded, keyring, refusal, update
from provisioner.sandbox.server import apply_seed
from provisioner.sandbox.tenant import Tenant

SECRET = "of this test"
ZONE = {
    "contoso.com": {"TXT": ["MS=ms1", "v=spf1 -all"], "MX": ["0 mx.example."], "NS": ["ns1.example."]},
    "www.contoso.com": {"A": ["192.0.2.1"]},
    "alias.contoso.com": {"CNAME": ["www.contoso.com."]},
}


@pytest.fixture
def tenant() -> Tenant:
    found = Tenant()
    objects = {"AcceptedDomain": [{"DomainName": "contoso.com"}]}
    apply_seed(found, {"sandbox": 1, "objects": objects, "dns": ZONE})
    return found


def sent(tenant: Tenant, message: dns.update.UpdateMessage, *, signed: bool = True) -> str:
    if signed:
        message.use_tsig(dns.tsig.Key(KEY_NAME, encoded(SECRET), "hmac-sha256"))
    query = dns.message.from_wire(message.to_wire(), keyring=keyring(SECRET))
    return dns.rcode.to_text(update(tenant, query).rcode())


def message(zone: str = "contoso.com") -> dns.update.UpdateMessage:
    return dns.update.UpdateMessage(zone)


def test_values_are_added_and_removed_one_by_one(tenant: Tenant) -> None:
    change = message()
    change.present("contoso.com.", "TXT", "MS=ms1")
    assert sent(tenant, change) == "NXRRSET"  # the whole set, not one value of it
    change = message()
    change.present("contoso.com.", *(rdata(text) for text in ("MS=ms1", "v=spf1 -all")))
    change.delete("contoso.com.", "TXT", '"v=spf1 -all"')
    change.add("contoso.com.", 300, "TXT", '"v=spf1 mx -all"')
    assert sent(tenant, change) == "NOERROR"
    assert tenant.dns["contoso.com"]["TXT"] == ["MS=ms1", "v=spf1 mx -all"]
    assert tenant.dns["contoso.com"]["MX"] == ["0 mx.example."]


def rdata(text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text("IN", "TXT", f'"{text}"')


def test_prerequisites_stop_all_of_an_update(tenant: Tenant) -> None:
    before = {name: {k: list(v) for k, v in kinds.items()} for name, kinds in tenant.dns.items()}
    for name, prerequisite, code in (
        ("www.contoso.com.", ("absent", ()), "YXDOMAIN"),
        ("none.contoso.com.", ("present", ()), "NXDOMAIN"),
        ("www.contoso.com.", ("absent", ("A",)), "YXRRSET"),
        ("www.contoso.com.", ("present", ("TXT",)), "NXRRSET"),
    ):
        change = message()
        getattr(change, prerequisite[0])(name, *prerequisite[1])
        change.add("new.contoso.com.", 300, "A", "192.0.2.9")
        assert sent(tenant, change) == code
    assert tenant.dns == before


def test_a_cname_beside_other_data_is_passed_over_in_silence(tenant: Tenant) -> None:
    change = message()
    change.add("www.contoso.com.", 300, "CNAME", "x.example.")
    change.add("alias.contoso.com.", 300, "TXT", '"y"')
    assert sent(tenant, change) == "NOERROR"
    assert tenant.dns["www.contoso.com"] == ZONE["www.contoso.com"]
    assert tenant.dns["alias.contoso.com"] == ZONE["alias.contoso.com"]


def test_who_may_write_and_where(tenant: Tenant) -> None:
    change = message()
    change.add("new.contoso.com.", 300, "A", "192.0.2.9")
    assert sent(tenant, change, signed=False) == "REFUSED"
    assert sent(tenant, message("fabrikam.com")) == "NOTAUTH"
    outside = message()
    outside.add("fabrikam.com.", 300, "A", "192.0.2.9")
    assert sent(tenant, outside) == "NOTZONE"
    wrong = message()
    wrong.use_tsig(dns.tsig.Key(KEY_NAME, encoded("another secret"), "hmac-sha256"))
    wire = wrong.to_wire()
    with pytest.raises(dns.tsig.BadSignature) as error:
        dns.message.from_wire(wire, keyring=keyring(SECRET))
    answer = refusal(wire, error.value)
    assert answer is not None
    with pytest.raises(dns.tsig.PeerBadSignature):
        dns.message.from_wire(answer, keyring=wrong.keyring, request_mac=wrong.mac)


def test_the_apex_keeps_its_soa_and_ns(tenant: Tenant) -> None:
    change = message()
    change.delete("contoso.com.")
    assert sent(tenant, change) == "NOERROR"
    assert tenant.dns["contoso.com"] == {"NS": ["ns1.example."]}
