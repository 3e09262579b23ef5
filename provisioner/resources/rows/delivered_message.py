"""Graph `/users/{id}/messages`: the headers of one delivered message, by its Message-ID.

The results of SPF, DKIM and DMARC stand in `Authentication-Results`, the first of the headers of this name, which the
service itself wrote last (RFC 8601, 5; Learn, "Anti-spam message headers"). The permission is Mail.ReadBasic.All, which
RBAC for Applications can limit to one mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from provisioner.model import GraphRequest, Row

PERMISSION = "Mail.ReadBasic.All"
_RESULT = re.compile(r"(?:^|[;\s])(spf|dkim|dmarc|compauth)=([a-z]+)", re.IGNORECASE)


def request(recipient: str, message_id: str) -> GraphRequest:
    """The message in the recipient's mailbox."""
    wanted = quote("internetMessageId eq '{}'".format(message_id.replace("'", "''")), safe="'")
    path = f"/users/{quote(recipient, safe='@')}/messages?$filter={wanted}"
    return GraphRequest("GET", path, columns=frozenset({"internetMessageHeaders"}))


def results(rows: Iterable[Row]) -> Mapping[str, str]:
    """ "spf", "dkim", "dmarc" and "compauth" with what they came to; nothing where no header says it."""
    for row in rows:
        for header in row.get("internetMessageHeaders") or ():
            if isinstance(header, Mapping) and str(header.get("name", "")).lower() == "authentication-results":
                found = _RESULT.findall(str(header.get("value") or ""))
                return {name.lower(): word.lower() for name, word in reversed(found)}
    return {}
