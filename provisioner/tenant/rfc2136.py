"""Writing to zones by DNS UPDATE (RFC 2136) with TSIG (RFC 8945), through dnspython.

The primary that the settings name is read right before each update, and the update holds what was read as its
prerequisite (RFC 2136, 2.4): where another person has changed the set meanwhile, the server does nothing. Values
are added and deleted one by one, so that the others of a set stay. A server may ignore an update and say that all went
well (3.4.2.2: a CNAME beside other data), so that its answer is never taken for success: the zone is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, InputError, PermissionMissing, Refused, Unavailable, Unclear
from provisioner.model import DnsUpdate
from provisioner.model.name_server import NameServer, parse_server
from provisioner.tenant import dns_messages
from provisioner.tenant.credentials import secret_value
from provisioner.tenant.zones import LONGEST_STRING, Place, Record, words

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdata
    import dns.tsig


class Rfc2136:
    """Writes to zones whose primary takes DNS UPDATE."""

    async def check(self, place: Place) -> None:
        """Raises InputError for a key that cannot be used."""
        _key(place)

    async def write(self, update: DnsUpdate, place: Place, found: Sequence[Record]) -> Sequence[str]:
        """One update, with the set as it was read just before as its prerequisite."""
        server = parse_server(place.provider.server or "")
        answer = await self._sent(server, _message(update, place, found, _key(place)), update)
        _judge(answer, update, place)
        return ()

    async def _sent(self, server: NameServer, message: dns.message.Message, update: DnsUpdate) -> dns.message.Message:
        """Raises PermissionMissing for a key that the server does not take, Unclear where no answer came."""
        import dns.exception
        import dns.tsig

        try:
            return await dns_messages.exchange(message, server)
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime) as error:
            fix = "correct key_name, algorithm and secret of the DNS provider, and the clock of this machine"
            raise PermissionMissing(
                f"{server} does not accept the key: {words(error)}", str(update), hint=fix
            ) from None
        except ConnectionRefusedError as error:
            raise Unavailable(f"{server} does not answer: {words(error)}", str(update)) from None
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise Unclear(f"{server} gave no clear answer: {words(error)}", str(update)) from None


def _key(place: Place) -> dns.tsig.Key | None:
    """The TSIG key, made from the reference in the moment of sending. Raises InputError for one that is no Base64."""
    import binascii

    import dns.tsig

    provider = place.provider
    if provider.secret is None:
        return None
    try:
        return dns.tsig.Key(provider.key_name, secret_value(provider.secret), provider.algorithm)
    except (binascii.Error, ValueError):
        what = f"the secret of the DNS provider {place.named} is not Base64"
        raise InputError([Diagnostic("DNS-KEY", what, "write the key as the server's configuration has it")]) from None


def _message(update: DnsUpdate, place: Place, found: Sequence[Record], key: dns.tsig.Key | None) -> dns.message.Message:
    """The update: the set as it was read as prerequisite, then values out and in (RFC 2136, 2.4.1 to 2.4.5, 2.5)."""
    import dns.rdataset
    import dns.update

    message = dns.update.UpdateMessage(place.zone)
    there = [record for record in found if record.type == update.type]
    if there:
        message.present(_absolute(place.owner), *(record.data for record in there))
    elif update.type == "CNAME":
        message.absent(_absolute(place.owner))  # no name at all: a CNAME beside anything else would be ignored
    else:
        message.absent(_absolute(place.owner), update.type)
        message.absent(_absolute(place.owner), "CNAME")
    # A CNAME that is added takes the place of the one that is there (3.4.2.2). Knot, after its deletion in the same
    # message, takes the name in a signed zone for one with other data, and ignores the new one.
    replaced = update.type == "CNAME" and update.add
    for record in there:
        if record.value in update.remove and not replaced:
            message.delete(_absolute(place.owner), record.data)
    # All records of a set have one TTL (RFC 2181, 5.2): a value takes that of the set that it comes to.
    ttl_s = min((record.ttl_s for record in there), default=update.ttl_s)
    for value in map(str, update.add):
        parts = next((parts for parts in update.strings if "".join(parts) == value), ())
        message.add(_absolute(place.owner), ttl_s, _rdata(update.type, value, parts))
    if key is not None:
        message.use_tsig(key)
    return message


def _absolute(name: str) -> dns.name.Name:
    import dns.name

    return dns.name.from_text(name)


def _rdata(kind: str, value: str, parts: Sequence[str] = ()) -> dns.rdata.Rdata:
    """A value as DNS has it. `parts` are the strings of a TXT value that is not to be split after 255 bytes."""
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    if kind == "CNAME":
        return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.CNAME, f"{value.removesuffix('.')}.")
    pieces = [part.encode("utf-8", "surrogateescape") for part in parts] or _pieces(value)
    text = " ".join('"' + "".join(f"\\{byte:03d}" for byte in piece) + '"' for piece in pieces)
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, text)


def _pieces(value: str) -> list[bytes]:
    raw = value.encode("utf-8", "surrogateescape")
    return [raw[at : at + LONGEST_STRING] for at in range(0, len(raw), LONGEST_STRING)] or [b""]


def _judge(answer: dns.message.Message, update: DnsUpdate, place: Place) -> None:
    """Raises what a response code means (RFC 2136, 2.2)."""
    import dns.rcode

    code = answer.rcode()
    word = dns.rcode.to_text(code)
    if code == dns.rcode.NOERROR:
        return
    if code in (dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET):
        what = f"{place.owner} {update.type} was changed while it was being written ({word}): nothing was written"
        raise Refused(what, str(update), hint="plan again")
    if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
        key = place.provider.key_name or "(none is set)"
        fix = f"allow the key {key} to update {place.owner} on the server, and see that the zone is not frozen there"
        raise PermissionMissing(
            f"{place.provider.server} refuses the update of {place.zone} ({word})", str(update), hint=fix
        )
    if code == dns.rcode.SERVFAIL:
        raise Unclear(f"{place.provider.server} failed at the update ({word})", str(update))
    raise Refused(f"{place.provider.server} does not accept the update ({word})", str(update))
