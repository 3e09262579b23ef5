"""From a profile to open ports, and whose tenant is behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Malformed, SignInRefused
from provisioner.model import GraphRequest
from provisioner.model.clouds import CLOUDS, Cloud, cloud_of_mail
from provisioner.tenant.dns import DnsResolver
from provisioner.tenant.limiter import Limiter, OnSlowdown
from provisioner.tenant.network import Network
from provisioner.tenant.ports import Exchange, Ports
from provisioner.tenant.publishing import ZonePublisher
from provisioner.tenant.retry import OnWait, Retry

if TYPE_CHECKING:
    from provisioner.settings import Profile
    from provisioner.tenant.credentials import Tokens


@dataclass(frozen=True, slots=True)
class TenantIdentity:
    """Whom the credential belongs to: the tenant's id, its `….onmicrosoft.com` name, all its verified domains."""

    tenant_id: str
    initial_domain: str
    verified_domains: frozenset[str]

    def is_named(self, name: str) -> bool:
        """Whether a plan that names its tenant so means this one."""
        return name.lower() in {self.tenant_id.lower(), self.initial_domain.lower(), *self.verified_domains}


@asynccontextmanager
async def connect(
    profile: Profile,
    *,
    on_wait: OnWait = lambda *_: None,
    on_slowdown: OnSlowdown = lambda _: None,
    clock: Clock = SYSTEM,
    run: str = "",
) -> AsyncIterator[Ports]:
    """The ports of a profile, signed in when first used, closed at the end. Raises InputError for a profile amiss.

    `run` is the run that the requests belong to (`correlation`). What passes the ports shares one limiter for each
    service, whose slowdowns are told.
    """
    from provisioner.tenant.credentials import Tokens, make_credential
    from provisioner.tenant.graph import open_directory

    retry = Retry(profile.timeouts.retry_s, on_wait, clock)
    cloud = cloud_of(profile)
    resources = CLOUDS[profile.cloud]
    own_authority = profile.endpoints.authority is not None
    network = Network.of(profile)
    async with AsyncExitStack() as stack:
        credential = make_credential(profile, cloud.authority, own_authority, network)
        tokens = Tokens(credential, profile.timeouts.request_s)
        stack.push_async_callback(tokens.close)
        limiters = _Limiters(profile, clock, on_slowdown)
        exchange = await stack.enter_async_context(
            _exchange(profile, tokens, cloud.exchange, retry, limiters.exchange(), network, run)
        )
        timeout_s = profile.timeouts.request_s
        directory = await stack.enter_async_context(
            open_directory(credential, cloud.graph, resources.graph, network, retry, limiters.graph, timeout_s, run)
        )
        resolver = DnsResolver(profile.endpoints.dns_servers, clock=clock)
        publisher = ZonePublisher(profile.dns, resolver, cloud_of_mail(profile.cloud, profile.tenant or "").spf_include)
        yield Ports(exchange, directory, resolver, publisher)


_GRAPH_AT_ONCE = 8
"""More requests at once make httpx slower, not faster."""


@dataclass(frozen=True, slots=True)
class _Limiters:
    """Makes the limiters of a profile: what is under way at once is bounded by its `concurrency`."""

    profile: Profile
    clock: Clock
    on_slowdown: OnSlowdown

    def exchange(self) -> Limiter:
        """Of remote PowerShell a pipeline counts, whose statements the host runs one after the other."""
        if self.profile.exchange == "psrp":
            return Limiter("Exchange", self.profile.psrp.runspaces, self.clock, self.on_slowdown, batches=True)
        ceiling = max(self.profile.concurrency.reads, self.profile.concurrency.writes)
        return Limiter("Exchange", ceiling, self.clock, self.on_slowdown)

    def graph(self, name: str) -> Limiter:
        ceiling = min(_GRAPH_AT_ONCE, self.profile.concurrency.reads)
        return Limiter(name, ceiling, self.clock, self.on_slowdown)


@asynccontextmanager
async def _exchange(
    profile: Profile, tokens: Tokens, base: str, retry: Retry, limiter: Limiter, network: Network, run: str
) -> AsyncIterator[Exchange]:
    """Exchange over the transport that the profile names."""
    if profile.exchange == "psrp":
        from provisioner.tenant.exchange_psrp import open_psrp

        async with open_psrp(profile, retry, limiter, network) as psrp:
            yield psrp
        return
    import aiohttp

    from provisioner.tenant.exchange_rest import RestExchange, trace_config

    options: dict[str, Any] = {
        "trace_configs": [trace_config()],
        # The affinity cookie keeps a listing on one backend; addresses without a name have cookies too.
        "cookie_jar": aiohttp.CookieJar(unsafe=True),
        "max_line_size": 65536,
        "max_field_size": 65536,
    }
    async with network.session(base, **options) as session:
        resource = CLOUDS[profile.cloud].exchange
        timeout_s = profile.timeouts.request_s
        yield RestExchange(session, tokens, base, resource, retry, limiter, timeout_s, run=run)


def cloud_of(profile: Profile) -> Cloud:
    """The cloud's addresses, with those of the profile in their place."""
    preset, own = CLOUDS[profile.cloud], profile.endpoints
    return dataclasses.replace(
        preset,
        authority=own.authority or preset.authority,
        graph=own.graph or preset.graph,
        exchange=own.exchange or preset.exchange,
    )


def hosts_of(profile: Profile) -> dict[str, str]:
    """The host that each kind of request goes to, by the name of its class."""
    cloud = cloud_of(profile)
    exchange = profile.psrp.endpoint if profile.exchange == "psrp" else cloud.exchange
    addresses = {"Cmdlet": exchange or "", "GraphRequest": cloud.graph}
    return {kind: urlsplit(address).hostname or "" for kind, address in addresses.items()}


async def identify(ports: Ports) -> TenantIdentity:
    """Whose tenant it is (Graph, GET /organization). Raises SignInRefused, PermissionMissing and the like."""
    answer = await ports.directory.send(GraphRequest("GET", "/organization?$select=id,verifiedDomains"))
    if len(answer.rows) != 1:
        raise Malformed(f"{len(answer.rows)} organizations in the answer, where one is expected", "GET /organization")
    row = answer.rows[0]
    listed = row.get("verifiedDomains")
    domains = [d for d in listed if isinstance(d, dict)] if isinstance(listed, list) else []
    names = frozenset(str(d.get("name", "")).lower() for d in domains)
    initial = next((str(d["name"]) for d in domains if d.get("isInitial") and d.get("name")), "")
    if not initial:
        raise Malformed("the organization names no initial domain, which every tenant has", "GET /organization")
    return TenantIdentity(str(row.get("id", "")), initial, names)


def check_tenant(identity: TenantIdentity, plan_tenant: str) -> None:
    """Raise SignInRefused when the credential belongs to another tenant than the plan."""
    if not identity.is_named(plan_tenant):
        raise SignInRefused(
            f"the plan is for {plan_tenant}, this profile signs in to {identity.initial_domain} ({identity.tenant_id})",
            "sign-in",
            hint="use the profile of the plan's tenant, or correct tenant in the plan",
        )
