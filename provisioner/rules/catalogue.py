"""The list of rules: id, severity, what they stop, one sentence. docs/rules/ has a page for each.

Rules that hold for every type, or for the whole picture, stand here. A resource type declares its own
(`ResourceType.rules`), and they are collected.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.diagnostics import Severity
from provisioner.model import Rule
from provisioner.resources import TYPES

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

CLOSE_BEFORE_OPEN = "CLOSE-BEFORE-OPEN"

_GENERAL = (
    Rule(
        "APPLICATION-CONSENT", _WARNING, "", "Admin consent for a permission of an application is missing in Entra ID."
    ),
    Rule("APPLICATION-UNREGISTERED", _WARNING, "", "A right is for an application that is not registered in Exchange."),
    Rule("APPLICATION-UNSCOPED", _WARNING, "", "An application has a permission for all mailboxes beside its role."),
    Rule("ABSENT-DECLARED", _ERROR, "input", "One object is declared and listed under absent."),
    Rule(
        "BLAST-RADIUS",
        _ERROR,
        "apply",
        "A large share of the tenant, or of the plan's own objects, would change or be deleted.",
    ),
    Rule(CLOSE_BEFORE_OPEN, _ERROR, "change", "A change takes a sending path away before its replacement works."),
    Rule(
        "CONNECTOR-IN-USE",
        _ERROR,
        "apply",
        "An outbound connector that a transport rule uses would be deleted or disabled.",
    ),
    Rule("CONNECTOR-IPV6", _INFO, "", "A domain takes mail over IPv6, and its connectors name IPv4 addresses only."),
    Rule("CONNECTOR-SAME-SCOPE", _INFO, "", "Two connectors take mail from the same senders and sources."),
    Rule("CONNECTOR-SHARED-ADDRESS", _WARNING, "", "A connector names addresses that are shared or change."),
    Rule("CREATE-ONLY", _WARNING, "", "A field differs that only creation can set."),
    Rule("DEVICE-CANNOT-SEND", _WARNING, "", "The tenant refuses the mail of a device, before and after the changes."),
    Rule("DEVICE-LOSES-WAY", _ERROR, "apply", "After the changes a device can no longer send."),
    Rule("DEVICE-NO-METHOD", _ERROR, "input", "No sending method works for this device."),
    Rule("DEVICE-RISK", _WARNING, "", "The sending method of a device has a known weakness."),
    Rule("DIRECT-SEND-REJECTED", _WARNING, "", "A device uses direct send, which the tenant rejects."),
    Rule("DIRECT-SEND-UNKNOWN", _INFO, "", "Whether the tenant rejects direct send could not be read."),
    Rule("DOMAIN-NOT-ACCEPTED", _WARNING, "", "A change needs an accepted domain that the tenant does not have."),
    Rule("FROM-ALIAS", _INFO, "", "A device sends from an alias, which may arrive as the primary address."),
    Rule("HYBRID-CONNECTOR", _ERROR, "apply", "The Hybrid Configuration Wizard made and keeps this connector."),
    Rule("NOT-IN-FORCE", _WARNING, "", "A declared object exists, but has no effect in the tenant."),
    Rule("OUTBOUND-LIMIT-DEVICE", _WARNING, "", "Devices may exceed a limit of the outbound spam policy."),
    Rule("OWNER-FOREIGN", _ERROR, "apply", "The object carries the ownership mark of another plan."),
    Rule("POLICY-DELAY", _INFO, "", "A change of authentication policies takes effect within 24 hours."),
    Rule("POLICY-IN-USE", _ERROR, "precondition", "An authentication policy that is still assigned would be deleted."),
    Rule("POLICY-MISSING", _ERROR, "precondition", "An assigned authentication policy does not exist."),
    Rule("PRECONDITION", _ERROR, "precondition", "A precondition of the plan is not met in the tenant."),
    Rule("PROTECTED", _WARNING, "", "A protected object would have been deleted or reset."),
    Rule("REPLAY-BREAKS", _ERROR, "apply", "A sender that was observed would be refused after the changes."),
    Rule("REPLAY-CHANGES-WAY", _WARNING, "", "An observed sender would use another sending path."),
    Rule("REPLAY-CONTRADICTS", _WARNING, "", "What was observed of a sender is not what the tenant's settings say."),
    Rule("REPLAY-UNCERTAIN", _INFO, "", "Whether an observed sender is refused after the changes is not known."),
    Rule("RENAMED-UNCLEAR", _WARNING, "", "A marked object may be a declared one under another name: it is kept."),
    Rule("RESOURCE-MISSING", _ERROR, "precondition", "A declared object does not exist and cannot be created."),
    Rule("RULE-NOT-DECIDED", _INFO, "", "Whether a rule applies is not known: what it rests on could not be read."),
    Rule("SAME-MAILBOX", _ERROR, "precondition", "Two entries of the plan are names of one object."),
    Rule("SMTP-AUTH-BLOCKED", _WARNING, "", "A device cannot sign in: another setting blocks it."),
    Rule("SMTP-AUTH-UNKNOWN", _INFO, "", "Whether a device can sign in could not be read."),
    Rule("TENANT-EXTERNAL-LIMIT", _WARNING, "", "The devices may exceed the tenant's limit of external recipients."),
    Rule("TRANSPORT-RULE-DEVICE", _WARNING, "", "A transport rule keeps the mail of a device from its recipients."),
    Rule("UNDECLARED-FROZEN", _WARNING, "", "A name of the plan could mean an undeclared object: none is changed."),
    Rule("UNMANAGED-OVERLAP", _WARNING, "", "A connector that the plan does not declare names the same source."),
    Rule("UNMANAGED-RELAY", _WARNING, "", "A connector that the plan does not declare relays for any sender."),
)

RULES: Mapping[str, Rule] = {
    rule.id: rule for rule in sorted((*_GENERAL, *(rule for t in TYPES for rule in t.rules)), key=lambda rule: rule.id)
}


def rule_of(kind_rules: tuple[Rule, ...], identifier: str) -> Rule:
    """The rule that a type mentions: one of its own, or one that holds for every type."""
    return next((rule for rule in kind_rules if rule.id == identifier), None) or RULES[identifier]
