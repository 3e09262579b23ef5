"""Quotas: how many requests an application and the tenant may make, and how many of them at once.

`settings.throttle` of a seed, or `POST /throttle` of the control front while the sandbox runs:

    {application: {requests_per_minute: 1200, concurrent_requests: 16}, tenant: {…}, window_s: 60}

Each service (`exchange`, over REST and remote PowerShell together, and `graph`) counts for itself. Requests are counted
in a window that slides; one of 60 seconds lets a minute's quota go at once, a short one spreads it. A request that is
refused counts too, so that a client which does not wait stays throttled (Learn, "Microsoft Graph throttling guidance":
all requests accrue against the usage limits, and usage is logged while a client is being throttled). Each item of a
`$batch` counts for itself (the same page). Retry-After is in whole seconds (RFC 9110, 10.2.3).
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provisioner.sandbox.clock import Clock

SERVICES = ("exchange", "graph")
_SCOPES = ("application", "tenant")
_QUOTAS = ("requests_per_minute", "concurrent_requests")
_WINDOW_S = 60.0
_BUSY_S = 2
"""Retry-After where too many requests run at once: nobody knows when one of them ends."""


class OverQuota(Exception):
    """A request beyond a quota. `quota` names it ("application requests_per_minute")."""

    def __init__(self, quota: str, retry_after_s: int) -> None:
        super().__init__(quota)
        self.quota, self.retry_after_s = quota, retry_after_s

    @property
    def text(self) -> str:
        """The service's sentence. Of a quota of requests no source has the wording: it is the sandbox's own."""
        if self.quota.endswith("concurrent_requests"):
            return "You have reached the maximum number of concurrent requests per tenant. Please wait and try again."
        return "Too many requests. Please wait and try again."


def checked(settings: Any) -> dict[str, Any]:
    """Quotas as they are written. Raises ValueError."""
    if not isinstance(settings, Mapping):
        raise ValueError("throttle must be a mapping")
    unknown = sorted(set(map(str, settings)) - {*_SCOPES, "window_s", "services"})
    if unknown:
        raise ValueError(
            f"throttle does not know {', '.join(unknown)}; it knows application, tenant, window_s, services"
        )
    for scope in _SCOPES:
        quotas = settings.get(scope, {})
        if not isinstance(quotas, Mapping) or set(quotas) - set(_QUOTAS):
            raise ValueError(f"throttle.{scope} holds {' and '.join(_QUOTAS)}")
        for name, value in quotas.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"throttle.{scope}.{name} must be a number above 0")
    window_s = settings.get("window_s", _WINDOW_S)
    if isinstance(window_s, bool) or not isinstance(window_s, int | float) or not 0 < window_s <= 86_400:
        raise ValueError("throttle.window_s must be a number of seconds above 0, a day at most")
    services = settings.get("services", SERVICES)
    if not isinstance(services, list | tuple) or set(services) - set(SERVICES):
        raise ValueError(f"throttle.services is a list of {' and '.join(SERVICES)}")
    return dict(settings)


class Throttle:
    """Who has asked how much lately. `settings` gives the quotas in force, which may change at any time."""

    def __init__(self, clock: Clock, settings: Callable[[], Mapping[str, Any]]) -> None:
        self._clock, self._settings = clock, settings
        self._asked: dict[tuple[str, str], deque[float]] = {}
        self._running: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        """What was asked so far counts no more."""
        self._asked.clear()

    def admit(self, service: str, application: str) -> None:
        """Count a request that runs within another one. Raises OverQuota where it is one too many."""
        _raise_longest(self._over_requests(service, application))

    @contextlib.contextmanager
    def running(self, service: str, application: str, *, counted: bool = True) -> Iterator[None]:
        """Count a request, unless its parts are, and have it run while the block does. Raises OverQuota."""
        requests = self._over_requests(service, application) if counted else []
        _raise_longest([*requests, *self._over_running(service, application)])
        keys = [key for _, key in _keys(service, application)]
        for key in keys:
            self._running[key] = self._running.get(key, 0) + 1
        try:
            yield
        finally:
            for key in keys:
                self._running[key] -= 1

    def _quotas(self, service: str) -> Mapping[str, Any]:
        quotas = self._settings()
        return quotas if service in quotas.get("services", SERVICES) else {}

    def _over_requests(self, service: str, application: str) -> list[OverQuota]:
        quotas, over = self._quotas(service), list[OverQuota]()
        now, window_s = self._clock.now().timestamp(), float(quotas.get("window_s", _WINDOW_S))
        for scope, key in _keys(service, application):
            per_minute = quotas.get(scope, {}).get("requests_per_minute")
            if per_minute is not None:
                wait_s = self._count(key, now, window_s, int(per_minute * window_s / 60))
                over += [OverQuota(f"{scope} requests_per_minute", max(1, math.ceil(wait_s)))] if wait_s > 0 else []
        return over

    def _over_running(self, service: str, application: str) -> list[OverQuota]:
        quotas = self._quotas(service)
        most = ((s, key, quotas.get(s, {}).get("concurrent_requests")) for s, key in _keys(service, application))
        full = (s for s, key, limit in most if limit is not None and self._running.get(key, 0) >= limit)
        return [OverQuota(f"{scope} concurrent_requests", _BUSY_S) for scope in full]

    def _count(self, key: tuple[str, str], now: float, window_s: float, most: int) -> float:
        """Count a request; seconds until one more is within the quota, 0 where this one is."""
        asked = self._asked.setdefault(key, deque())
        while asked and asked[0] <= now - window_s:
            asked.popleft()
        asked.append(now)
        if len(asked) <= most:
            return 0.0
        leaves = asked[len(asked) - max(1, most)] if most else now
        return max(leaves + window_s - now, 1e-3)


def _keys(service: str, application: str) -> tuple[tuple[str, tuple[str, str]], ...]:
    return (("application", (service, application)), ("tenant", (service, "")))


def _raise_longest(over: list[OverQuota]) -> None:
    if over:
        raise max(over, key=lambda one: one.retry_after_s)
