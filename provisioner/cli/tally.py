"""How many requests a run made, how many were sent again and why, and how long it waited for that."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.diagnostics import TenantError, Throttled
from provisioner.engine import Event, Responded, Retrying, SlowedDown


@dataclass(slots=True)
class Tally:
    """An observer. `retries` counts waits before a request is sent again, `throttled` those the service asked for.

    `slowdowns` counts how often a service made the whole run slower.
    """

    requests: int = 0
    failed: int = 0
    retries: int = 0
    throttled: int = 0
    waited_s: float = 0.0
    slowdowns: int = 0

    def observe(self, event: Event) -> None:
        match event:
            case Responded(_, answer, _):
                self.requests += 1
                self.failed += isinstance(answer, TenantError)
            case Retrying(_, seconds, error):
                self.retries += 1
                self.throttled += isinstance(error, Throttled)
                self.waited_s += seconds
            case SlowedDown():
                self.slowdowns += 1

    def __str__(self) -> str:
        again = f", {self.retries} retries ({self.throttled} throttled), {self.waited_s:.0f} s waited"
        return f"{self.requests} requests, {self.failed} failed{again if self.retries else ''}"
