"""What becomes of a message that was taken, over SMTP or through Microsoft Graph: where it ends up, and its trace.

Decisions and rows; who may send is decided before (submission_rules.py, mail_rules.py, graph_send.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message
from typing import TYPE_CHECKING

from provisioner.sandbox import flow_rules, submission_rules
from provisioner.sandbox.mail_directory import accepted, domain_of, owner_of, unknown_here
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.message_traces import Taken, record
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.undecided import of_message

if TYPE_CHECKING:
    from provisioner.sandbox.mail_store import MailStore


def folder_of(tenant: Tenant, recipient: str, inside: str, size_bytes: int) -> str:
    """Where a message ends up: `inside`, external, or bounced, where nobody has the address or takes the size."""
    if accepted(tenant, domain_of(recipient)) is None:
        return "external"
    owner = owner_of(tenant, recipient)
    limit = submission_rules.size_limit((owner or {}).get("MaxReceiveSize"))
    return "bounced" if unknown_here(tenant, recipient) or size_bytes > limit else inside


def kept_by_rules(
    tenant: Tenant,
    sender: str,
    author: str,
    recipients: Iterable[str],
    folders: dict[str, str],
    source: Source | None = None,
) -> Mapping[str, str]:
    """Put mail elsewhere that transport rules keep from its recipients; the notice about each that comes back."""
    reasons = {}
    for recipient in recipients:
        message = flow_rules.Message(sender, author, recipient, source)
        level = flow_rules.scl(tenant, message)
        if level is not None and folders[recipient] in ("inbox", "junk"):
            folders[recipient] = _filtered(level, folders[recipient])
        what, notice = flow_rules.fate(tenant, message)
        if what:
            folders[recipient] = flow_rules.FOLDERS[what]
            reasons[recipient] = notice
    return reasons


def _filtered(level: int, folder: str) -> str:
    """Where filtering puts a message by the spam confidence level of a rule; 0 to 4 leave it where it is."""
    if level >= flow_rules.LOWEST_OF_SPAM:
        return "junk"
    return "inbox" if level < 0 else folder


def undecided(
    tenant: Tenant, sender: str, author: str, recipients: Iterable[str], source: Source | None = None, login: str = ""
) -> list[str]:
    """What no source says about a message: the sandbox decides it in one way, and says that it did.

    `login` is the mailbox that signed in over SMTP, "" for none.
    """
    messages = (flow_rules.Message(sender, author, recipient, source) for recipient in recipients)
    return list(dict.fromkeys(what for message in messages for what in of_message(tenant, message, login)))


def keep(
    tenant: Tenant,
    store: MailStore,
    taken: Taken,
    content: bytes,
    message: Message,
    route: str,
    undecided: Iterable[str] = (),
) -> None:
    """Keep a message, and its trace; it is there from `taken.due` on."""
    record(tenant, taken)
    store.add({
        "time": (taken.due or tenant.clock.now()).isoformat(),
        "route": route,
        "source": taken.from_ip,
        "mail_from": taken.sender,
        "recipients": dict(taken.folders),
        "undecided": list(undecided),
        "subject": taken.subject,
        "from": str(message.get("From", "")),
        "content": content.decode("utf-8", "replace"),
    })  # fmt: skip
