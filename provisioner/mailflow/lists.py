"""What the tenant's block lists mean for an attempt to send: connection filter, Tenant Allow/Block List. Pure.

Both are evidence, asked for where a device's mail meets them; what was not asked for decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from provisioner.mailflow.attempt import Attempt, Decision, Refusal, refused
from provisioner.mailflow.picture import Evidence
from provisioner.model import Answer, Cmdlet, Row, request_key
from provisioner.model.picture import AddressFilter, Picture
from provisioner.resources.rows import allow_block_list, connection_filter
from provisioner.resources.rows.connection_filter import ConnectionFilter

T = TypeVar("T")


def of_address(picture: Picture, attempt: Attempt, path: str, evidence: Evidence) -> Iterator[Decision]:
    """The refusal of mail from an address on the IP Block List; nothing where it passes.

    Where the plan declares the connection filter, the picture holds it as it is or will be; else it is evidence.

    All incoming messages of the address are rejected (Learn, "Configure connection filtering"). Whether that holds for
    mail that a connector relays to other organizations is not documented.
    """
    by = tuple(a for a, _ in picture.every(AddressFilter))
    lists, doubt = told(evidence, connection_filter.REQUEST, connection_filter.decode)
    if by:
        refused_networks = (n for _, f in picture.every(AddressFilter) for n in f.refused)
        lists, doubt = ConnectionFilter(blocked=tuple(connection_filter.networks(refused_networks))), ""
    if doubt:
        missing = f"the connection filter ({doubt})"
        yield Decision(None, path, missing=(missing,), possible=("ip_blocked",))
    if lists is None or not lists.blocked:
        return
    if not attempt.network:
        missing = "whether IPBlockList holds the address that the mail comes from"
        yield Decision(None, path, missing=(missing,), possible=("ip_blocked",))
    elif not lists.blocks(attempt.network):
        return
    elif attempt.external:
        what = f"IPBlockList of the connection filter holds {_shown(attempt.network)}"
        missing = "whether IPBlockList holds for mail that is relayed to other organizations"
        yield Decision(None, path, by, "ip_blocked", "", what, (missing,))
    else:
        what = f"the connection filter refuses mail from {_shown(attempt.network)} (IPBlockList)"
        fix = "remove the address from IPBlockList of the connection filter policy"
        yield refused(path, [Refusal("ip_blocked", "550 5.7.513", what, by, fix)])


def of_sender(attempt: Attempt, path: str, evidence: Evidence) -> Iterator[Decision]:
    """Mail of a blocked sender to recipients of the tenant: it is accepted and put into quarantine.

    The list is of incoming mail; "internal messages sent within the organization" count too (Learn, "Manage allows and
    blocks in the Tenant Allow/Block List").
    """
    if attempt.external:
        return
    senders, doubt = told(evidence, allow_block_list.REQUEST, allow_block_list.decode)
    if doubt:
        missing = f"the Tenant Allow/Block List ({doubt})"
        yield Decision(None, path, missing=(missing,), possible=("sender_blocked",))
    entry = senders.entry_for(attempt.sender) if senders else ""
    if entry:
        what = f"mail from {attempt.sender} is quarantined: the Tenant Allow/Block List blocks {entry}"
        yield refused(path, [Refusal("sender_blocked", "", what, hint="remove the block entry for the sender")])


def told(evidence: Evidence, request: Cmdlet, decode: Callable[[Sequence[Row]], T | None]) -> tuple[T | None, str]:
    """What an answer holds, and why that is not known; neither where nobody asked."""
    answer: Any = evidence.get(request_key(request))
    if answer is None:
        return None, ""
    if not isinstance(answer, Answer):
        return None, answer.reason
    try:
        found = decode(answer.rows)
    except ValueError as error:
        return None, str(error)
    return found, "" if found is not None else "the answer does not hold its lists"


def _shown(network: str) -> str:
    return network.removesuffix("/32")
