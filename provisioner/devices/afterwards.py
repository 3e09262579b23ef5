"""What happens to a message after the 250: accepted is not delivered. Sentences for sheet, probe and explain. Pure.

Sources: Microsoft's comparison of the methods ("How to set up a multifunction device or application to send email");
Learn, "Outbound delivery pools" and "Sender Rewriting Scheme in Microsoft 365"; the NDR page of 5.7.133; RFC 9989, 4.4,
for the alignment of DMARC.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.model import Address, Desired
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY, Choice, Device

_ANONYMOUS = (SMTP_RELAY, DIRECT_SEND)
"""The methods by which nobody signs in: Exchange takes the sender for unauthenticated."""


def afterwards(device: Device, choice: Choice, desired: Desired) -> Iterator[str]:
    """What becomes of accepted mail of a device, a sentence each; nothing for ways that are not SMTP to Exchange."""
    if choice.method in _ANONYMOUS:
        yield "accepted is not delivered: Exchange filters it as mail from the internet, into Junk Email or quarantine"
        yield (
            "a group that takes mail of authenticated senders only (RequireSenderAuthenticationEnabled, the default) "
            "refuses it (5.7.133), and a moderated group or mailbox holds it until somebody approves"
        )
    elif choice.method in {CLIENT_SUBMISSION, HIGH_VOLUME_EMAIL}:
        yield "accepted is not delivered: a moderated group or mailbox holds it, and mail flow rules hold for it"
    if choice.method == SMTP_RELAY and device.recipients == "anyone":
        yield (
            "to the outside it leaves through the relay pool, whose addresses no SPF include covers, unless SPF or "
            "DKIM pass for its envelope sender; a domain without an A or MX record leaves through the high-risk pool"
        )
        yield "an envelope sender of a domain that is not the tenant's is rewritten (SRS): DMARC then rests on DKIM"
    if choice.method in {*_ANONYMOUS, CLIENT_SUBMISSION}:
        yield from (_alignment(domain, choice, desired) for domain in device.domains)


def _alignment(domain: str, choice: Choice, desired: Desired) -> str:
    """By what DMARC of a From domain passes. A signature counts for exactly its domain, unless DMARC is relaxed."""
    signing = desired.resources.get(Address("dkim", domain))
    signed = signing is not None and bool(signing.spec.enabled)
    dkim = "DKIM of this domain, which the plan enables" if signed else "DKIM, which the plan does not enable for it"
    if choice.method == DIRECT_SEND:
        return f"DMARC of {domain} passes by SPF alone: nobody signs mail that is sent direct for it"
    return f"DMARC of {domain} passes by SPF if the envelope sender is of the same domain, or by {dkim}"
