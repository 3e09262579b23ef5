"""DNS through dnspython, bounded in time and size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from provisioner.diagnostics import Malformed, Unavailable
from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.model import Answer, DnsQuery
from provisioner.tenant.retry import Retry

if TYPE_CHECKING:
    import dns.asyncresolver

_LIFETIME_S = 8.0
_TRY_S = 3.0
_MOST_RECORDS = 1000


class DnsResolver:
    """The Resolver port. `servers` are `ip` or `ip:port`; the system's are used where none is given."""

    def __init__(self, servers: Sequence[str], retry: Retry) -> None:
        self._servers, self._retry = tuple(servers), retry
        self._made: dns.asyncresolver.Resolver | None = None

    async def query(self, query: DnsQuery) -> Answer:
        """The records of that very name and type. Raises Unavailable when no server answers properly."""
        return await self._retry.call(query, partial(self._once, query))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        """As `query`, but telling apart what SPF has to: rows, none, no such name, or a failure with its reason."""
        import dns.exception
        import dns.resolver

        try:
            found = await self._resolver().resolve(query.name, query.type, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return DnsAnswer(Status.NO_NAME)
        except (dns.exception.DNSException, OSError) as error:
            return DnsAnswer(Status.FAILED, reason=type(error).__name__)
        records = list(found.rrset or ())
        if not records:
            return DnsAnswer(Status.NO_ROWS)
        if len(records) > _MOST_RECORDS:
            return DnsAnswer(Status.FAILED, reason=f"{len(records)} records")
        pieces = tuple(_pieces(r) for r in records) if query.type == "TXT" else ()
        return DnsAnswer(Status.ROWS, tuple(map(_text, records)), pieces)

    async def _once(self, query: DnsQuery) -> Answer:
        import dns.exception
        import dns.resolver

        resolver = self._resolver()
        try:
            found = await resolver.resolve(query.name, query.type, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return Answer()
        except (dns.resolver.NoNameservers, dns.exception.Timeout, OSError) as error:
            raise Unavailable(f"no name server gives an answer: {type(error).__name__}", str(query)) from error
        except dns.exception.DNSException as error:
            raise Malformed(f"the answer is not proper DNS: {type(error).__name__}", str(query)) from error
        records = list(found.rrset or ())
        if len(records) > _MOST_RECORDS:
            raise Malformed(f"{len(records)} records in one answer", str(query))
        return Answer(tuple({"value": _text(record)} for record in records))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver
        import dns.nameserver

        if self._made is None:
            self._made = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                self._made.nameservers = [dns.nameserver.Do53Nameserver(*_address(s)) for s in self._servers]
            self._made.timeout, self._made.lifetime = _TRY_S, _LIFETIME_S
        return self._made


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() and host.count(":") != 1 else (server, 53)


def _pieces(record: object) -> tuple[str, ...]:
    """The single strings of a TXT record."""
    return tuple(s.decode("utf-8", "replace") for s in getattr(record, "strings", ()))


def _text(record: object) -> str:
    """A record's text: strings of a TXT joined, names without the trailing dot (the root alone is ".")."""
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    text = str(record)
    return text if text.endswith(" .") else text.removesuffix(".")
