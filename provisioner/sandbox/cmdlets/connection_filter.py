"""The connection filter: one policy, `Default`, Get only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.table import get_cmdlet
from provisioner.sandbox.tenant import Tenant


def _builtin(_: Tenant) -> Iterable[Mapping[str, Any]]:
    return ({"Name": "Default", "IsDefault": True},)


NOUN = Noun(
    "HostedConnectionFilterPolicy",
    {
        "AdminDisplayName": "",
        "IsDefault": False,
        "IPAllowList": [],
        "IPBlockList": [],
        "EnableSafeList": False,
        "DirectoryBasedEdgeBlockMode": "Default",
    },
    container="CN=Hosted Connection Filter,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Hosted-Connection-Filter-Policy",
    object_class=("top", "msExchHostedConnectionFilterPolicy"),
    builtin=_builtin,
)
CMDLETS = (get_cmdlet(NOUN),)
