"""Following a message that was accepted: an accepted message is not a delivered one.

The message trace says what became of it, minutes later; the mailbox has the results of SPF, DKIM and DMARC in its
headers, where the application may read them, and else SPF is evaluated by DNS for the address that the service saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provisioner import engine
from provisioner.model import Answer, Request, Unknown, request_key
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.mail_records import asking, spf_result
from provisioner.resources.rows import delivered_message, message_trace
from provisioner.resources.rows.message_trace import DELIVERED, EXPANDED, JUNK, PENDING, Fate
from provisioner.tenant.connect import check_tenant

_FIRST_S, _LONGEST_S = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of a message. `unread` says why not everything could be read, `results` what the checks came to.

    `source` says where the results are from: "header" or "dns", "" where there are none.
    """

    message_id: str
    fates: Sequence[Fate] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    unread: Sequence[str] = ()

    @property
    def arrived(self) -> bool:
        """Whether every recipient has it, outside of junk and quarantine."""
        return bool(self.fates) and all(fate.state in {DELIVERED, EXPANDED} for fate in self.fates)


async def follow(context: Context, tenant: str, message_id: str, spf_domain: str, limit_s: float) -> Trace:
    """Follow a message until nothing of it is pending, `limit_s` seconds at most.

    `spf_domain` is the domain of MAIL FROM where SPF is evaluated for the address that it came from, else "".
    """
    async with signed_in(context) as opened:
        check_tenant(opened.identity, tenant)
        found = await _settled(context, opened, message_id, limit_s)
        if isinstance(found, Unknown):
            return Trace(message_id, unread=[f"the message trace: {found.reason}"])
        trace = Trace(message_id, [await _detailed(opened, fate) for fate in found])
        return await _checked(context, opened, trace, spf_domain)


async def _settled(context: Context, opened: Tenant, message_id: str, limit_s: float) -> Sequence[Fate] | Unknown:
    """Its fates as soon as none is pending. The trace shows a message after minutes, so that the pauses grow."""
    clock, pause_s = context.clock, _FIRST_S
    end = clock.monotonic() + limit_s
    context.note(f"Waiting up to {limit_s:.0f} s for the message trace to show {message_id}")
    while True:
        answer = await _asked(opened, message_trace.request(message_id))
        if isinstance(answer, Unknown):
            return answer
        found = message_trace.fates(answer.rows)
        left = end - clock.monotonic()
        if left <= 0 or (found and all(fate.state != PENDING for fate in found)):
            return found
        await clock.sleep(min(pause_s, left))
        pause_s = min(2 * pause_s, _LONGEST_S)


async def _asked(opened: Tenant, request: Request) -> Answer | Unknown:
    return (await engine.ask([request], opened.ports))[request_key(request)]


async def _detailed(opened: Tenant, fate: Fate) -> Fate:
    """The fate with its events; by its status alone where they cannot be read."""
    if fate.state == PENDING:
        return fate
    answer = await _asked(opened, message_trace.detail_request(fate))
    return message_trace.detailed(fate, answer.rows) if isinstance(answer, Answer) else fate


async def _checked(context: Context, opened: Tenant, trace: Trace, spf_domain: str) -> Trace:
    """With the results of SPF, DKIM and DMARC, as far as the headers can be read; else with SPF by DNS."""
    unread = []
    for fate in trace.fates:
        if fate.state not in {DELIVERED, JUNK} or fate.external:
            continue
        answer = await _asked(opened, delivered_message.request(fate.recipient, trace.message_id))
        results = delivered_message.results(answer.rows) if isinstance(answer, Answer) else {}
        if results:
            return dataclasses.replace(trace, results=results, source="header")
        why = answer.reason if isinstance(answer, Unknown) else "it has no Authentication-Results"
        unread = [
            f"the headers of the message, which have the results of DKIM and DMARC: {why}; grant "
            f"{delivered_message.PERMISSION}, limited to {fate.recipient} by RBAC for Applications, "
            "or look in the mailbox"
        ]
    ip = next((fate.from_ip for fate in trace.fates if fate.from_ip), "")
    if not (ip and spf_domain):
        return dataclasses.replace(trace, unread=unread)
    spf = await spf_result(asking(context), spf_domain, ip)
    return dataclasses.replace(trace, results={"spf": spf.result}, source="dns", unread=unread)
