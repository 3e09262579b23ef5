"""What the service writes into `Authentication-Results` of a message that it puts into a mailbox.

The words are Microsoft's (Learn, "Anti-spam message headers", Authentication-results message header fields). Mail that
was signed in for within the tenant is not judged: `dkim=none … dmarc=none action=none` (seen in every such message).
DKIM signatures are not verified here: a message that has none is `dkim=none`, another one `dkim=neutral`.
"""

from __future__ import annotations

from provisioner.sandbox import mail_rules
from provisioner.sandbox.mail_directory import domain_of
from provisioner.sandbox.tenant import Tenant


def of_tenant(author: str) -> str:
    """Of a message that a mailbox of the tenant submitted; `author` is the address in From."""
    return f"dkim=none (message not signed) header.d=none;dmarc=none action=none header.from={domain_of(author)};"


def of_internet(tenant: Tenant, ip: str, sender: str, author: str, *, signed: bool) -> str:
    """Of a message that came to the MX host from an address, known by a connector or not."""
    envelope, from_ = domain_of(sender), domain_of(author or sender)
    spf = mail_rules.spf(tenant, envelope, ip)
    dkim = "neutral" if signed else "none (message not signed)"
    policy = mail_rules.dmarc_policy(tenant, from_)
    dmarc = "none" if not policy else "pass" if spf == "pass" and from_ == envelope else "fail"
    action = {"reject": "oreject", "quarantine": "quarantine"}.get(policy, "none") if dmarc == "fail" else "none"
    return (
        f"spf={spf} (sender IP is {ip}) smtp.mailfrom={envelope}; dkim={dkim} header.d=none;"
        f"dmarc={dmarc} action={action} header.from={from_};"
    )
