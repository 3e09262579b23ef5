"""One attempt to send, and the decision about it. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from provisioner.model import Address


@dataclass(frozen=True, slots=True)
class Attempt:
    """One message as it reaches Exchange.

    `sender` is MAIL FROM and From, "" for the null sender. `external`: the recipient's domain is not of the tenant.
    `network` is where it comes from (a canonical network, all of whose addresses are meant), "" where it is not known.
    `certificate` is the name in the client certificate. `authentication` is "basic" or "oauth" with the `mailbox` that
    signs in, "" for a message that is handed to the MX endpoint. `application`: the token is of an application and not
    of a person; None is not known, nor is `client_id` where it is "". `hve`: the account signs in to the endpoint of
    High Volume Email. `recipients` are those of this message, `sent_before` those of the mailbox in the 24 hours before
    it. `recipient_domain` is that of a recipient of the tenant, "" where it is not known. `legacy_tls`: who signs in
    supports nothing newer than TLS 1.1.
    """

    sender: str
    external: bool
    network: str = ""
    certificate: str = ""
    tls: bool = True
    authentication: str = ""
    mailbox: str = ""
    application: bool | None = None
    hve: bool = False
    client_id: str = ""
    recipients: int = 1
    sent_before: int = 0
    recipient_domain: str = ""
    legacy_tls: bool = False

    @property
    def domain(self) -> str:
        """The domain of MAIL FROM."""
        return self.sender.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which Exchange refuses an attempt.

    `reason` is a stable word (the switch for a sign-in), `code` the reply that the service gives, "" where none is
    published. `by` are the objects that refuse, `hint` is what to do about it.
    """

    reason: str
    code: str
    sentence: str
    by: tuple[Address, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is not known, the reasons for which Exchange may refuse because of it, and how it can be known."""

    missing: str
    reasons: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed` is None where it cannot be told, with what is `missing`, or the objects of which one wins.

    `path` is the sending path, `by` the objects that decide; `reason`, `code`, `sentence` and `hint` are those of the
    refusal. A refusal that is not certain has a reason too. `others` are the reasons that refuse as well (which of
    several the service names first is not published), `possible` those that may. `warning` is what no setting shows.
    `doubts` say about a sign-in what lacks for each of them, and how to know it.
    """

    allowed: bool | None
    path: str
    by: tuple[Address, ...] = ()
    reason: str = ""
    code: str = ""
    sentence: str = ""
    missing: tuple[str, ...] = ()
    hint: str = ""
    others: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()
    warning: str = ""
    doubts: tuple[Doubt, ...] = field(default=(), compare=False, repr=False)

    @property
    def certain(self) -> frozenset[str]:
        """The reasons for which the attempt is certainly refused."""
        return frozenset({self.reason, *self.others} if self.allowed is False else ())

    @property
    def doubtful(self) -> frozenset[str]:
        """The reasons for which it may be refused."""
        return frozenset({self.reason, *self.possible} - {"", *self.certain})


def refused(path: str, refusals: Sequence[Refusal], missing: Sequence[str] = ()) -> Decision:
    """The decision that one or more reasons lead to: the first is told, the others are named."""
    first, *more = refusals
    others = tuple(dict.fromkeys(r.reason for r in more if r.reason != first.reason))
    return Decision(False, path, first.by, first.reason, first.code, first.sentence, tuple(missing), first.hint, others)
