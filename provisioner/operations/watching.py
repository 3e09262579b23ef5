"""`-v` and `-vv`: every request as it is answered, on standard error. Secrets stand in parameters as references."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from provisioner.changes.changeset import request_document
from provisioner.diagnostics import TenantError, Unavailable
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.model import Answer, Cmdlet, DnsQuery, GraphRequest, Request
from provisioner.operations.context import Context
from provisioner.render.escape import visible
from provisioner.tenant.ports import Ports, Resolver


class Watched:
    """Stands before Exchange and the directory and reports what passes."""

    def __init__(self, ports: Ports, context: Context) -> None:
        self._ports, self._context = ports, context

    @property
    def transport(self) -> str:
        return self._ports.exchange.transport

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return await self._told(cmdlet, lambda: self._ports.exchange.run(cmdlet))

    async def send(self, request: GraphRequest) -> Answer:
        return await self._told(request, lambda: self._ports.directory.send(request))

    async def _told(self, request: Request, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        began = time.monotonic()
        try:
            answer = await ask()
        except TenantError as error:
            self._say(request, f"{error.kind}: {error}", began, ())
            raise
        pages = f" in {answer.requests} pages" if answer.requests > 1 else ""
        self._say(request, f"{len(answer.rows)} rows{pages}", began, answer.request_ids)
        return answer

    def _say(self, request: Request, words: str, began: float, ids: tuple[str, ...]) -> None:
        _report(self._context, request, words, began, ids)


class Watching:
    """The same before a resolver."""

    def __init__(self, resolver: Resolver, context: Context) -> None:
        self._resolver, self._context = resolver, context

    async def query(self, query: DnsQuery) -> Answer:
        found = await self.look_up(query)
        if found.failed:
            raise Unavailable(found.reason, str(query))
        return Answer(tuple({"value": value} for value in found.values))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        began = time.monotonic()
        answer = await self._resolver.look_up(query)
        words = answer.reason if answer.failed else f"{len(answer.values)} records"
        _report(self._context, query, words, began, ())
        return answer


def _report(context: Context, request: Request, words: str, began: float, ids: tuple[str, ...]) -> None:
    lines = [f"{request}: {words}, {time.monotonic() - began:.2f} s"]
    if context.verbose > 1:
        if isinstance(request, Cmdlet) and request.parameters:
            lines.append(f"  {json.dumps(request_document(request)['parameters'], ensure_ascii=False)}")
        lines += [f"  request {id_}" for id_ in ids if id_]
    for line in lines:
        context.note(visible(line))


def watched(ports: Ports, context: Context) -> Ports:
    """The ports, watched where `-v` was given."""
    if not context.verbose:
        return ports
    watcher = Watched(ports, context)
    return Ports(watcher, watcher, Watching(ports.resolver, context))
