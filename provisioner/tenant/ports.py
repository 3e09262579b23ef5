"""The ports that the engine speaks through, one for each kind of request. Adapters stand beside this file.

Every adapter raises only the exceptions of `provisioner.diagnostics`, retries by itself what may be retried (one
policy, `tenant/retry.py`), follows pages to the end and never gives a short list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from provisioner.diagnostics import Unavailable
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost
from provisioner.model import Answer, Cmdlet, DnsQuery, DnsUpdate, GraphRequest, ZoneQuery


class Exchange(Protocol):
    """Runs Exchange cmdlets, over whichever transport."""

    @property
    def transport(self) -> str:
        """`rest` or `psrp`."""

    async def run(self, cmdlet: Cmdlet) -> Answer:
        """Run one cmdlet. Its parameters hold values and secrets only; the caller has resolved the references."""


class Directory(Protocol):
    """Sends Microsoft Graph requests; a GET of a collection answers with the rows of all its pages."""

    async def send(self, request: GraphRequest) -> Answer:
        """Send one request."""


class Resolver(Protocol):
    """Asks DNS."""

    async def query(self, query: DnsQuery) -> Answer:
        """Ask one question; rows are `{"value": text}`. No such name or type is an answer without rows."""

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        """As `query`, but tells no such name from no such type, and gives a failure as an answer."""


class Policies(Protocol):
    """Fetches MTA-STS policies."""

    async def fetch(self, host: PolicyHost) -> Fetched:
        """What a policy host answers; a failure is an answer with its reason."""


class Publisher(Protocol):
    """Reads zones at their authoritative servers, and writes single values to them."""

    async def read(self, query: ZoneQuery) -> Answer:
        """The records at a name, as the zone's servers have them."""

    async def check(self, update: DnsUpdate) -> None:
        """Raise InputError where the settings, a secret or a missing extra keep an update from being written."""

    async def update(self, update: DnsUpdate) -> Answer:
        """Write values, unless another person has changed the set since it was read in this call.

        Success is what the server says; only reading back tells whether it did it.
        """


class NoPublisher:
    """Stands where a run publishes nothing."""

    async def read(self, query: ZoneQuery) -> Answer:
        raise Unavailable("no DNS provider is connected", str(query))

    async def check(self, update: DnsUpdate) -> None:
        raise Unavailable("no DNS provider is connected", str(update))

    async def update(self, update: DnsUpdate) -> Answer:
        raise Unavailable("no DNS provider is connected", str(update))


@dataclass(frozen=True, slots=True)
class Ports:
    """What one run of the engine speaks through."""

    exchange: Exchange
    directory: Directory
    resolver: Resolver
    publisher: Publisher = field(default_factory=NoPublisher)
