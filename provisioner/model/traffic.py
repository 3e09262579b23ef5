"""Mail that was observed, as far as a decision about it needs: what a plan is tried against. Plain data.

It comes from an inventory of senders (`provisioner.senders`). A change set keeps it with what it was planned from, so
that it is judged by the same mail when it is applied.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Traffic:
    """Mail of one sender that the service accepted, from one source and by one way.

    `sender` is the address that it is from, "" where only a sign-in is known. `authentication` is "basic", "oauth" or,
    for a sign-in of unknown kind, "any"; "" for mail that is handed to the MX endpoint. `mailbox` is who signs in.
    `hve`: at the endpoint of High Volume Email. `network` is the source as a canonical network, "" for not known.
    `connector` is the inbound connector that took it, "" for none, None where no source told. `recipients` are inside,
    outside, both or unknown. `seen` is when it was last seen (RFC 3339), `messages` how many, None for not counted.
    """

    sender: str
    mailbox: str = ""
    authentication: str = ""
    hve: bool = False
    network: str = ""
    connector: str | None = None
    tls: bool = True
    recipients: str = "unknown"
    messages: int | None = None
    seen: str = ""

    @property
    def name(self) -> str:
        """Who sends, for people."""
        return self.sender or self.mailbox

    @property
    def domain(self) -> str:
        """The domain that it is from."""
        return self.name.rpartition("@")[2]
