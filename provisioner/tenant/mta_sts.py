"""Fetches MTA-STS policies over HTTPS (RFC 8461, 3.3), within the limits, through the profile's proxy and trust store.

Nothing of the user's goes along: no cookie, no login, no cache. Redirects are not followed. The host may be anybody's:
whatever it answers becomes a `Fetched`, and what is not an answer a failure with its reason, never a missing policy.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, policy_url
from provisioner.tenant import bodies, limits
from provisioner.tenant.network import TRUST_HINT, Network

if TYPE_CHECKING:
    import aiohttp

    from provisioner.settings import Profile

_CHUNK_BYTES = 2**14
_HEADERS = {"Accept": "text/plain", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}


class PolicyHosts:
    """Fetches policies. `address` is `host:port` instead of every policy host (`endpoints.mta_sts`).

    `known` is where the session's resolver looks: hosts that the run has asked DNS for already.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        known: dict[str, tuple[str, ...]],
        network: Network,
        address: str | None,
        timeout_s: float,
    ) -> None:
        self._session, self._known, self._network = session, known, network
        self._address, self._timeout_s = address, timeout_s
        self._gate = asyncio.Semaphore(limits.POLICIES_AT_ONCE)

    async def fetch(self, host: PolicyHost) -> Fetched:
        """What the host answers. Its certificate must be that of `mta-sts.DOMAIN`, wherever it is reached."""
        name, url = f"mta-sts.{host.domain}", policy_url(host.domain)
        self._known[name] = host.addresses
        if self._address is not None:
            url = url.replace(name, self._address, 1)
        async with self._gate:
            return await self._fetch(name, url)

    async def _fetch(self, name: str, url: str) -> Fetched:
        import aiohttp

        try:
            async with self._session.get(
                url,
                headers={**_HEADERS, "Host": name},
                server_hostname=name,
                proxy=self._network.proxy_for(url),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=limits.CONNECT_S),
            ) as answer:
                return await _read(answer)
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
            return Fetched(failure=f"the certificate of {name} is not trusted ({why})", hint=TRUST_HINT)
        except TimeoutError:
            return Fetched(failure=f"no answer within {self._timeout_s:.0f} s", hint=_reach(name))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Fetched(failure=_words(error), hint=_reach(name))


@asynccontextmanager
async def open_policy_hosts(profile: Profile) -> AsyncIterator[PolicyHosts]:
    """Raises InputError where the profile's `ca` is not one."""
    import aiohttp

    network = Network.of(profile)
    known: dict[str, tuple[str, ...]] = {}
    async with network.session("", _resolver(known), cookie_jar=aiohttp.DummyCookieJar()) as session:
        timeout_s = min(limits.POLICY_S, profile.timeouts.request_s)
        yield PolicyHosts(session, known, network, profile.endpoints.mta_sts, timeout_s)


def _resolver(known: Mapping[str, tuple[str, ...]]) -> aiohttp.abc.AbstractResolver:
    """Names of policy hosts by what the profile's name servers answered, others (a proxy) by the system's."""
    import aiohttp.abc

    class Known(aiohttp.ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[aiohttp.abc.ResolveResult]:
            if host not in known:
                return await super().resolve(host, port, family)
            return [
                {
                    "hostname": host,
                    "host": address,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for address in known[host]
            ]

    return Known()


async def _read(answer: aiohttp.ClientResponse) -> Fetched:
    kind, location = answer.headers.get("Content-Type", ""), answer.headers.get("Location", "")
    if answer.status != 200:
        return Fetched(answer.status, kind, location=location[:200])
    try:
        content = await bodies.collected(answer.content.iter_chunked(_CHUNK_BYTES), limits.POLICY_MOST_BYTES)
        content = bodies.decoded(content, answer.headers.get("Content-Encoding", ""), limits.POLICY_MOST_BYTES)
    except bodies.TooLarge:
        return Fetched(answer.status, kind, too_large=True)
    return Fetched(answer.status, kind, content.decode("utf-8", "replace"))


def _reach(name: str) -> str:
    return f"check that https://{name} can be reached from here (firewall, proxy), and ask again"


def _words(error: Exception) -> str:
    """Why it failed, without the class names and addresses that the libraries put around it."""
    inner = getattr(error, "os_error", None) or error
    text = str(getattr(inner, "strerror", None) or inner).strip()
    return text[:200] or type(error).__name__
