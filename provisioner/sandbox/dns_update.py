"""DNS UPDATE (RFC 2136) with TSIG (RFC 8945) for the zones of the tenant's accepted domains, as a primary takes it.

A zone is an accepted domain, and a name that a seed gives an SOA record: `_domainkey.contoso.com` is then delegated.
Prerequisites are checked as 3.2 says, changes are made as 3.4.2 says, all or none; a CNAME beside other data, and other
data beside a CNAME, is passed over in silence (3.4.2.2), which is what a client has to notice by reading.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

from provisioner.sandbox.dns_values import rdata

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

KEY_NAME = "sandbox-update"

Records = dict[str, dict[str, list[str]]]


def keyring(secret: str) -> dict[dns.name.Name, dns.tsig.Key]:
    """The one key that may write. `secret` is what the sandbox keeps in its folder."""
    name = dns.name.from_text(KEY_NAME)
    return {name: dns.tsig.Key(name, encoded(secret), "hmac-sha256")}


def encoded(secret: str) -> str:
    """The secret as settings write it: Base64."""
    return base64.b64encode(secret.encode()).decode()


def refusal(raw: bytes, error: Exception) -> bytes | None:
    """The answer to a message whose signature is not accepted: NOTAUTH, and a TSIG without MAC (RFC 8945, 5.2)."""
    try:
        message = dns.message.from_wire(raw, keyring=False)
    except dns.exception.DNSException:
        return None
    signed = message.tsig
    if signed is None:
        return None
    codes = {dns.tsig.BadSignature: dns.rcode.BADSIG, dns.tsig.BadTime: dns.rcode.BADTIME}
    code = next((c for kind, c in codes.items() if isinstance(error, kind)), dns.rcode.BADKEY)
    message.tsig = None  # so that the answer is not signed
    answer = dns.message.make_response(message)
    answer.set_rcode(dns.rcode.NOTAUTH)
    data, wire = signed[0].replace(mac=b"", error=code, other=b"").to_wire() or b"", bytearray(answer.to_wire())
    wire += signed.name.to_wire() or b""
    wire += struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(data)) + data
    wire[10:12] = struct.pack("!H", struct.unpack("!H", wire[10:12])[0] + 1)
    return bytes(wire)


def zones(tenant: Tenant) -> set[str]:
    """The names of the zones that can be written. A domain without any record is not in DNS (a seed writes null)."""
    accepted = {str(row.get("DomainName", "")).lower() for row in tenant.rows("AcceptedDomain")}
    served = {d for d in accepted if any(name == d or name.endswith(f".{d}") for name in tenant.dns)}
    return served | {name for name, records in tenant.dns.items() if records.get("SOA")}


def zone_above(tenant: Tenant, name: str) -> str:
    """The zone that a name is in; "" for none."""
    labels = name.lower().rstrip(".").split(".")
    known = zones(tenant)
    return next((z for n in range(len(labels)) if (z := ".".join(labels[n:])) in known), "")


def update(tenant: Tenant, message: dns.message.Message) -> dns.message.Message:
    """The answer to one UPDATE whose signature was verified, or that has none."""
    answer = dns.message.make_response(message)
    if not isinstance(message, dns.update.UpdateMessage) or len(message.zone) != 1:
        answer.set_rcode(dns.rcode.FORMERR)
        return answer
    zone = _text(message.zone[0].name)
    if message.zone[0].rdtype != dns.rdatatype.SOA:
        answer.set_rcode(dns.rcode.FORMERR)
    elif zone not in zones(tenant):
        answer.set_rcode(dns.rcode.NOTAUTH)
    elif not message.had_tsig:
        answer.set_rcode(dns.rcode.REFUSED)
    else:
        answer.set_rcode(_carry_out(tenant, zone, message))
    return answer


def _carry_out(tenant: Tenant, zone: str, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
    records: Records = {name: {k: list(v) for k, v in kinds.items()} for name, kinds in tenant.dns.items()}
    sections = (*message.prerequisite, *message.update)
    if any(zone_above(tenant, _text(rrset.name)) != zone for rrset in sections):
        return dns.rcode.NOTZONE
    unmet = _unmet(records, message.prerequisite)
    if unmet is not None:
        return unmet
    if any(rrset.rdtype in dns.rdatatype._metatypes and rrset.deleting is None for rrset in message.update):
        return dns.rcode.FORMERR
    for rrset in message.update:
        _change(records, zone, rrset)
    tenant.dns = {name: kinds for name, kinds in records.items() if kinds}
    tenant.changed()
    return dns.rcode.NOERROR


def _unmet(records: Records, prerequisites: Iterable[dns.rrset.RRset]) -> dns.rcode.Rcode | None:
    """The response code of the first prerequisite that is not met (3.2.5)."""
    whole: dict[tuple[str, str], set[str]] = {}
    for rrset in prerequisites:
        name, kind = _text(rrset.name), dns.rdatatype.to_text(rrset.rdtype)
        there = records.get(name, {})
        anything = rrset.rdtype == dns.rdatatype.ANY
        if rrset.deleting == dns.rdataclass.ANY:  # class ANY: it exists, whatever its value
            if anything and not there:
                return dns.rcode.NXDOMAIN
            if not anything and not there.get(kind):
                return dns.rcode.NXRRSET
        elif rrset.deleting == dns.rdataclass.NONE:
            if anything and there:
                return dns.rcode.YXDOMAIN
            if not anything and there.get(kind):
                return dns.rcode.YXRRSET
        else:
            whole.setdefault((name, kind), set()).update(_canonical(kind, r.to_text()) for r in rrset)
    for (name, kind), values in whole.items():
        if {_canonical(kind, text) for text in records.get(name, {}).get(kind, ())} != values:
            return dns.rcode.NXRRSET
    return None


def _change(records: Records, zone: str, rrset: dns.rrset.RRset) -> None:
    """One record set of the update section (3.4.2)."""
    name, kind = _text(rrset.name), dns.rdatatype.to_text(rrset.rdtype)
    there = records.setdefault(name, {})
    apex = name == zone
    if rrset.deleting == dns.rdataclass.ANY:
        for gone in list(there) if rrset.rdtype == dns.rdatatype.ANY else [kind]:
            if not (apex and gone in ("SOA", "NS")):
                there.pop(gone, None)
    elif rrset.deleting == dns.rdataclass.NONE:
        values = {_canonical(kind, r.to_text()) for r in rrset}
        kept = [text for text in there.get(kind, ()) if _canonical(kind, text) not in values]
        if kind == "SOA" or (apex and kind == "NS" and not kept):
            return
        _set(there, kind, kept)
    else:
        _add(there, kind, [_written(r) for r in rrset])


def _add(there: dict[str, list[str]], kind: str, values: list[str]) -> None:
    others = [k for k in there if k != kind]
    if (kind == "CNAME" and others) or (kind != "CNAME" and there.get("CNAME")):
        return  # in silence, as 3.4.2.2 says
    if kind == "CNAME":
        _set(there, kind, values[-1:])
        return
    known = {_canonical(kind, text) for text in there.get(kind, ())}
    _set(there, kind, [*there.get(kind, ()), *(v for v in values if _canonical(kind, v) not in known)])


def _set(there: dict[str, list[str]], kind: str, values: list[str]) -> None:
    if values:
        there[kind] = values
    else:
        there.pop(kind, None)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _written(data: dns.rdata.Rdata) -> str:
    """A value as a seed would write it: the strings of a TXT as one text, where that has no quotation mark in front."""
    strings = getattr(data, "strings", None)
    if strings is None:
        return data.to_text()
    text = b"".join(strings).decode("utf-8", "replace")
    return data.to_text() if text.startswith('"') or "\ufffd" in text else text


def _canonical(kind: str, text: str) -> str:
    """One value in one form: as the records of a seed may be written, and as a message has it."""
    data = rdata(kind, text)
    strings = getattr(data, "strings", None)
    return b"".join(strings).hex() if strings is not None else data.to_text().lower()


def soa(records: Mapping[str, list[str]], name: str) -> str:
    """The SOA of a zone: what a seed gives it, or one of the sandbox's."""
    own = records.get("SOA")
    return own[0] if own else f"ns1.{name}. hostmaster.{name}. 1 3600 600 86400 300"
