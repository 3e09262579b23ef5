"""One call of Microsoft Graph without its transport: who may, what comes back, and how it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


class GraphError(Exception):
    """One refusal in Graph's shape: HTTP status, error code, message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        inner: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})
        self._inner = dict(inner or {})

    def body(self, request_ids: Mapping[str, str]) -> Row:
        inner = {**request_ids, **self._inner}
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


def throttled(retry_after_s: int) -> GraphError:
    """A request beyond a quota, as the sample of Learn, "Microsoft Graph throttling guidance"."""
    inner = {"code": "429", "message": "Please retry after", "status": "429"}
    headers = {"Retry-After": str(retry_after_s)}
    return GraphError(429, "TooManyRequests", "Please retry again later.", headers, inner)


def not_found(name: str) -> GraphError:
    text = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", text)


def with_id(rows: Sequence[Row], key: str) -> Row:
    """The row of an id. Raises GraphError."""
    for row in rows:
        if str(row.get("id", "")).lower() == key.lower():
            return row
    raise not_found(key)


def bad_request(message: str, code: str = "Request_BadRequest") -> GraphError:
    return GraphError(400, code, message)


NOT_MODELLED = "x-ms-sandbox-not-modelled"
"""The header that marks an answer as the sandbox's lack. The answer is the service's for what it does not have."""


def no_segment(name: str) -> GraphError:
    """The refusal of a path that there is not, or that the sandbox lacks: both look alike to a client."""
    error = bad_request(f"Resource not found for the segment '{name}'.", "BadRequest")
    error.headers[NOT_MODELLED] = f"the path segment {name}".encode("ascii", "replace").decode()
    return error


def not_allowed(call: Call) -> GraphError:
    """The refusal of a method. The service takes many writes that the sandbox does not model: it is marked so."""
    error = GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
    about = f"{call.method} of {'/'.join(call.path[:1] + call.path[2:])}"
    error.headers[NOT_MODELLED] = about.encode("ascii", "replace").decode()
    return error


@dataclass(frozen=True, slots=True)
class Call:
    """One request without its transport. `path` is split at slashes, empty segments dropped; `base` ends in the version
    (`/v1.0` or `/beta`); `user` is the object id of the user who signed in, "" for an application by itself."""

    method: str
    path: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    base: str
    roles: frozenset[str]
    application: str = ""
    user: str = ""

    @property
    def beta(self) -> bool:
        """Whether the beta version is asked."""
        return self.base.endswith("/beta")

    def need(self, roles: Sequence[str]) -> None:
        """Raise the 403 unless the token holds one of `roles`.

        Graph's body does not say which permission is missing; a header of the sandbox's own does, for debugging.
        """
        if self.roles.isdisjoint(roles):
            text = "Insufficient privileges to complete the operation."
            raise GraphError(403, "Authorization_RequestDenied", text, {"x-ms-sandbox-needs": " | ".join(roles)})


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and JSON body (None: no body)."""

    status: int
    body: Any = None


def context_of(call: Call, name: str, *, entity: bool = False) -> str:
    expanded = re.sub(r"\((?:\$?select=)?([^()]*)\)|(?<=\w)$", r"(\1)", call.params.get("$expand", ""))
    columns = ",".join(part for part in (call.params.get("$select"), expanded) if part)
    columns = f"({columns})" if columns else ""
    return f"{call.base}/$metadata#{name}{columns}{'/$entity' if entity else ''}"
