"""Waiting: for DNS to have what Exchange wants, and for Exchange to see what DNS has."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.diagnostics import TenantError
from provisioner.engine.events import Waiting
from provisioner.engine.reading import send
from provisioner.engine.run import Run
from provisioner.model import Change, DnsQuery
from provisioner.tenant.together import together

PublishedAs = tuple[str, str, str]
"""Owner name, type and value of a DNS record."""


class Patience:
    """How long one change waits for what others do, from the first time that it has to."""

    def __init__(self, run: Run, change: Change) -> None:
        self._run, self._change = run, change
        self._began: float | None = None
        self._pause_s = 1.0
        self._least_s = 0.0

    def at_least(self, seconds: float) -> None:
        """Wait for this time whatever the run says: for what it did itself."""
        self._least_s = max(self._least_s, seconds)

    async def lasts(self, detail: str) -> bool:
        """Pause before the next look, and say so; False when the time is up or the run was interrupted."""
        now = self._run.clock.monotonic()
        self._began = now if self._began is None else self._began
        left = self._began + max(self._run.wait_s, self._least_s) - now
        if left <= 0 or self._run.stop.is_set():
            return False
        self._run.tell(Waiting(self._change, detail, now - self._began, left))
        async with self._run.aside():
            await self._run.pause(min(self._pause_s, left))
        self._pause_s = min(self._pause_s * 2, 30.0)
        return not self._run.stop.is_set()


async def until_published(run: Run, records: Sequence[PublishedAs], patience: Patience) -> str:
    """ "" once all records are published; otherwise what must be published, after the patience for it."""
    while True:
        async with run.aside():
            lacks = await together(_lacks(run, *record) for record in records)
        unmet = [words for words in lacks if words]
        if not unmet:
            return "interrupted; what it needs is published in DNS" if run.stop.is_set() else ""
        detail = "publish in DNS: " + "; ".join(unmet)
        if not await patience.lasts(detail):
            return detail


async def _lacks(run: Run, name: str, kind: str, value: str) -> str:
    """ "" where the record is published; otherwise the record, and what is published instead."""
    wanted = f"{name} {kind} {value}"
    try:
        found = (await send(run.ports, DnsQuery(name, kind))).rows
        if any(_same_record(str(row["value"]), value) for row in found):
            return ""
        if not found and kind == "CNAME":
            texts = (await send(run.ports, DnsQuery(name, "TXT"))).rows
            found, kind = texts, "a TXT record:"
    except TenantError as error:
        return f"{wanted} (DNS could not be asked: {error.summary})"
    others = ", ".join(str(row["value"]) for row in found)
    if not others:
        return wanted
    return f"{wanted} (now {kind} {others})" if kind != "CNAME" else f"{wanted} (now {others})"


def _same_record(found: str, wanted: str) -> bool:
    return found.rstrip(".").lower() == wanted.rstrip(".").lower()
