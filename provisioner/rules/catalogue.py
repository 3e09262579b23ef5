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
        """A precondition is a fact about the tenant: it is mended, not waived."""
        return self.blocks != "precondition"


RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "BLAST-RADIUS", Severity.ERROR, "apply", "More than 30 % of a type's objects would be deleted or updated."
        ),
        Rule(
            "CERTIFICATE-UNUSED", Severity.INFO, "", "A certificate is named, but nothing makes the connector use it."
        ),
        Rule("CREATE-ONLY", Severity.WARNING, "", "A field differs that only creation can set."),
        Rule("DKIM-KEY-1024", Severity.WARNING, "", "A DKIM key of 1024 bits is weak."),
        Rule("IP-DOCUMENTATION", Severity.WARNING, "", "An address is reserved for documentation (RFC 5737)."),
        Rule("IP-PRIVATE", Severity.ERROR, "apply", "An address can never be the source of mail from the internet."),
        Rule("IP-RANGE-WIDE", Severity.ERROR, "input", "A range is wider than the /24 that Exchange Online takes."),
        Rule("OWNER-FOREIGN", Severity.ERROR, "apply", "The object carries the ownership mark of another plan."),
        Rule("PRECONDITION", Severity.ERROR, "precondition", "The tenant is not as the plan takes for granted."),
        Rule("PROTECTED", Severity.WARNING, "", "A protected object would have been deleted."),
        Rule(
            "RESOURCE-MISSING", Severity.ERROR, "precondition", "A declared object is not there and cannot be created."
        ),
        Rule("SMTP-TENANT-WIDE", Severity.ERROR, "apply", "SMTP AUTH would be switched on for every mailbox."),
        Rule("TREAT-AS-INTERNAL", Severity.WARNING, "", "Mail from the connector skips the spam filter."),
    )
}
