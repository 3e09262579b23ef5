"""The list of rules: id, severity, what they stop, one sentence. docs/rules/ has a page for each."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its stable id. `blocks` as in `Finding.blocks`; a rule that blocks nothing is only shown."""

    id: str
    severity: Severity
    blocks: str
    sentence: str

    @property
    def waivable(self) -> bool:
        """A precondition is a fact of the tenant, a contradiction one of the plan: they are mended, not waived."""
        return self.blocks != "precondition" and self.id != "ABSENT-DECLARED"


_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

RULES = {
    rule.id: rule
    for rule in (
        Rule("ABSENT-DECLARED", _ERROR, "input", "One object is declared and listed under absent."),
        Rule("BLAST-RADIUS", _ERROR, "apply", "More than 30 % of a type's objects would be deleted or updated."),
        Rule("CERTIFICATE-UNUSED", _INFO, "", "A certificate is named, but nothing makes the connector use it."),
        Rule("CONNECTOR-SAME-SCOPE", _INFO, "", "Two connectors take mail from the same senders and sources."),
        Rule("CREATE-ONLY", _WARNING, "", "A field differs that only creation can set."),
        Rule("DEVICE-LOSES-WAY", _ERROR, "apply", "A change takes away the way in which a device sends."),
        Rule("DEVICE-NO-METHOD", _ERROR, "input", "No way of sending will do for a device."),
        Rule("DEVICE-RISK", _WARNING, "", "The way in which a device sends has a weakness."),
        Rule("DIRECT-SEND-REJECTED", _WARNING, "", "A device sends direct, which the tenant rejects."),
        Rule("DIRECT-SEND-UNKNOWN", _INFO, "", "Whether the tenant rejects direct send could not be read."),
        Rule("DKIM-KEY-1024", _WARNING, "", "A DKIM key of 1024 bits is weak."),
        Rule("HYBRID-CONNECTOR", _ERROR, "apply", "The Hybrid Configuration Wizard made and keeps this connector."),
        Rule("IP-DOCUMENTATION", _WARNING, "", "An address is reserved for documentation (RFC 5737)."),
        Rule("IP-PRIVATE", _ERROR, "apply", "An address can never be the source of mail from the internet."),
        Rule("IP-RANGE-WIDE", _ERROR, "input", "A range is wider than the /24 that Exchange Online takes."),
        Rule("NOT-IN-FORCE", _WARNING, "", "A declared object exists, but has no effect in the tenant."),
        Rule("OUTBOUND-ALL-MAIL", _ERROR, "apply", "An outbound connector begins to take mail to every domain."),
        Rule("OWNER-FOREIGN", _ERROR, "apply", "The object carries the ownership mark of another plan."),
        Rule("PARTNER-RESTRICTS", _ERROR, "apply", "A partner connector would refuse all other mail of its domains."),
        Rule("PRECONDITION", _ERROR, "precondition", "The tenant is not as the plan takes for granted."),
        Rule("PROTECTED", _WARNING, "", "A protected object would have been deleted or reset."),
        Rule("RESOURCE-MISSING", _ERROR, "precondition", "A declared object is not there and cannot be created."),
        Rule("SAME-MAILBOX", _ERROR, "precondition", "Two entries of the plan are addresses of one mailbox."),
        Rule("SMTP-AUTH-BLOCKED", _WARNING, "", "A device cannot sign in: another switch forbids it."),
        Rule("SMTP-AUTH-UNKNOWN", _INFO, "", "Whether a device can sign in could not be read."),
        Rule("SMTP-TENANT-WIDE", _ERROR, "apply", "SMTP AUTH would be switched on for every mailbox."),
        Rule("TREAT-AS-INTERNAL", _WARNING, "", "Mail from the connector skips the spam filter."),
        Rule("UNDECLARED-FROZEN", _WARNING, "", "A name of the plan could mean an undeclared object: none is changed."),
    )
}
