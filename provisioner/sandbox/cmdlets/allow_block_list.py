"""The Tenant Allow/Block List: Get only.

Columns and parameters: the page of Get-TenantAllowBlockListItems (office-docs-powershell); `ListType` is mandatory. The
entries of a seed have `Value`, `Action` (Allow, Block) and `ListType` (Sender, Url, FileHash, IP).
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, shuffled
from provisioner.sandbox.cmdlets.parameters import choice, string, switch
from provisioner.sandbox.cmdlets.table import Cmdlet

NOUN = Noun(
    "TenantAllowBlockListItems",
    {
        "Value": "",
        "Action": "Block",
        "ListType": "Sender",
        "ListSubType": "Tenant",
        "ExpirationDate": None,
        "LastModifiedDateTime": "2026-11-01T08:00:00.0000000Z",
        "LastUsedDate": None,
        "ModifiedBy": "",
        "Notes": "",
        "SubmissionID": "",
        "SysManaged": False,
    },
    container="CN=Tenant Allow Block List,CN=Configuration",
    key="Value",
)

_TYPES = ("BulkSender", "FileHash", "IP", "Recipient", "Sender", "Url")


def _get(call: Call) -> Rows:
    rows = [row for row in call.tenant.visible(NOUN.name) if row.get("ListType") == call.get("ListType")]
    for action in ("Allow", "Block"):
        if call.get(action):
            rows = [row for row in rows if row.get("Action") == action]
    wanted = call.get("Entry")
    if wanted:
        rows = [row for row in rows if str(row.get("Value")).lower() == str(wanted).lower()]
    return shuffled(call.tenant, rows)


CMDLETS = (
    Cmdlet(
        f"Get-{NOUN.name}",
        (
            choice("ListType", "Microsoft.Exchange.Management.AllowBlockList.ListType", *_TYPES, required=True),
            switch("Allow"),
            switch("Block"),
            string("Entry"),
        ),
        _get,
    ),
)
