"""The connection filter: one policy, `Default`, with Get and Set. New is no longer documented.

Both lists hold single IPv4 addresses, CIDR blocks of /24 to /32 and ranges of 256 addresses at most (Set-Hosted-
ConnectionFilterPolicy, -IPAllowList and -IPBlockList), 1273 entries each (Learn, "Configure connection filtering").
A plain value is the whole list, and its entries are of one kind; `@{Add=…; Remove=…}` takes all kinds. The limits are
documented, the sentences of their refusals are ours. An entry is stored as it was sent.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import Delta, Replace, boolean, identity, string, switch, values
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
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

_LISTS = ("IPAllowList", "IPBlockList")
_MOST = 1273
_MOST_OF_A_RANGE = 256
_WIDEST = 24

_SET = (
    identity(),
    string("AdminDisplayName", max_length=255),
    string("ConfigurationXmlRaw", stored=False),
    boolean("EnableSafeList"),
    *(values(name) for name in _LISTS),
    switch("MakeDefault", stored=False),
)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    for name in _LISTS:
        _check(name, call.get(name))
    changes = stored_values(call, _SET, row)
    for name in _LISTS:
        if len(changes.get(name, ())) > _MOST:
            raise errors.invalid(f"{name} can't have more than {_MOST} entries.")
    set_row(call, NOUN, row, changes)
    return []


def _check(name: str, given: Replace | Delta | None) -> None:
    """Raise CmdletError for an entry that is none, and for a plain list of several kinds."""
    if given is None:
        return
    added = given.values if isinstance(given, Replace) else given.add
    kinds = {_kind(name, entry) for entry in added}
    if isinstance(given, Replace) and len(kinds) > 1:
        raise errors.invalid(f"The entries of {name} have to be of the same type.")


def _kind(name: str, entry: str) -> str:
    """What an entry is: "address", "block" or "range". Raises CmdletError."""
    first, dash, last = entry.partition("-")
    try:
        if dash:
            size = int(ipaddress.IPv4Address(last.strip())) - int(ipaddress.IPv4Address(first.strip())) + 1
            if 1 <= size <= _MOST_OF_A_RANGE:
                return "range"
        elif "/" not in entry:
            return "address" if ipaddress.IPv4Address(entry) else ""
        elif ipaddress.IPv4Network(entry, strict=False).prefixlen >= _WIDEST:
            return "block"
    except ValueError:
        pass
    raise errors.invalid(f"'{entry}' isn't valid for {name}. IPv4 addresses, /24 to /32 and ranges of 256 are.")


CMDLETS = (get_cmdlet(NOUN), Cmdlet("Set-HostedConnectionFilterPolicy", _SET, _set))
