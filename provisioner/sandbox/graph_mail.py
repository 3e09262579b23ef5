"""Headers of messages in Graph: GET /users/{id}/messages?$filter=internetMessageId eq '…'.

Learn, "List messages" (Mail.ReadBasic.All is the least application permission) and "message resource type":
`internetMessageHeaders` come only where $select names them. What the SMTP ports took is there from its trace on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from provisioner.sandbox import message_traces
from provisioner.sandbox.graph_calls import Call, GraphError, Reply, Row, bad_request, context_of
from provisioner.sandbox.mail_directory import addresses, owner_of
from provisioner.sandbox.tenant import Tenant

_READ_MAIL = ("Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite")
_FILTER = re.compile(r"internetMessageId eq '((?:[^']|'')*)'")
_FOLDERS = ("inbox", "junk")


def messages_answer(tenant: Tenant, call: Call) -> Reply:
    """The messages of a mailbox with an internet message id. Raises GraphError."""
    call.need(_READ_MAIL)
    owner = owner_of(tenant, call.path[1])
    if owner is None:
        raise GraphError(404, "ErrorInvalidUser", f"The requested user '{call.path[1]}' is invalid.")
    asked = _FILTER.fullmatch(call.params.get("$filter", ""))
    if asked is None:
        raise bad_request("The sandbox finds messages by internetMessageId alone.", "ErrorInvalidUrlQueryFilter")
    wanted, names = asked[1].replace("''", "'"), addresses(owner)
    rows = [
        _shown(row, call.params.get("$select", ""))
        for row in message_traces.kept(tenant)
        if row["MessageId"] == wanted and row["RecipientAddress"] in names and row.get("_Folder") in _FOLDERS
    ]
    return Reply(200, {"@odata.context": context_of(call, "messages"), "value": rows})


def _shown(row: Mapping[str, Any], select: str) -> Row:
    whole: Row = {
        "internetMessageId": row["MessageId"],
        "subject": row["Subject"],
        "internetMessageHeaders": [
            {"name": "Authentication-Results", "value": row.get("_Results", "")},
            {"name": "Message-ID", "value": row["MessageId"]},
        ],
    }
    wanted = select.split(",") if select else ["internetMessageId", "subject"]
    return {"id": f"AAMk{row['MessageTraceId']}", **{name: whole[name] for name in wanted if name in whole}}
