"""`-v` and `-vv`: every request as it is answered, on standard error. Secrets stand in parameters as references."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from provisioner.changes.changeset import request_document
from provisioner.cli.session import Session
from provisioner.diagnostics import TenantError
from provisioner.model import Answer, Cmdlet, DnsQuery, GraphRequest, Request
from provisioner.render.escape import visible
from provisioner.tenant.ports import Ports


class Watched:
    """Stands before the three ports and tells what passes."""

    def __init__(self, ports: Ports, session: Session) -> None:
        self._ports, self._session = ports, session

    @property
    def transport(self) -> str:
        return self._ports.exchange.transport

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return await self._told(cmdlet, lambda: self._ports.exchange.run(cmdlet))

    async def send(self, request: GraphRequest) -> Answer:
        return await self._told(request, lambda: self._ports.directory.send(request))

    async def query(self, query: DnsQuery) -> Answer:
        return await self._told(query, lambda: self._ports.resolver.query(query))

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
        lines = [f"{request}: {words}, {time.monotonic() - began:.2f} s"]
        if self._session.verbose > 1:
            if isinstance(request, Cmdlet) and request.parameters:
                lines.append(f"  {json.dumps(request_document(request)['parameters'], ensure_ascii=False)}")
            lines += [f"  request {id_}" for id_ in ids if id_]
        for line in lines:
            self._session.note(visible(line))


def watched(ports: Ports, session: Session) -> Ports:
    """The ports, watched where `-v` was given."""
    if not session.verbose:
        return ports
    watcher = Watched(ports, session)
    return Ports(watcher, watcher, watcher)
