# Policies over a change set: conftest test --policy docs/policies changeset.json
# The input is the document that `provisioner plan -o changeset.json` writes (Terraform's plan JSON).
package main

import rego.v1

pending contains change if {
	some change in input.resource_changes
	change.change.actions != ["no-op"]
}

deny contains message if {
	input.errored
	message := "the tenant could not be read completely"
}

deny contains message if {
	some finding in input.provisioner.findings
	finding.blocks != ""
	finding.waived == ""
	message := sprintf("%s: %s", [finding.rule, finding.summary])
}

deny contains message if {
	some change in pending
	change.mode == "managed"
	change.type == "smtp_auth"
	change.index == "organization"
	change.change.after.smtp_auth == "enabled"
	message := "SMTP AUTH must stay off for the organization"
}

deny contains message if {
	some change in pending
	change.type == "inbound_connector"
	change.change.after.treat_messages_as_internal == true
	message := sprintf("%s skips the spam filter", [change.address])
}

warn contains message if {
	some change in pending
	change.change.actions[_] == "delete"
	message := sprintf("%s will be destroyed", [change.address])
}
