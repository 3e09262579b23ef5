# Tenant   northwindtraders.onmicrosoft.com
# Made     2026-11-26T09:01:24Z
# Digest   sha256:0fa09802d2b76a0fdffc2ac4657466e1225778db387f2567fbfdb89f4bb39928
#
# Sign in first: Connect-ExchangeOnline (module ExchangeOnlineManagement) as an Exchange Administrator.
# It stops at the first error. Nothing here checks whether the tenant has moved since the plan was made;
# `provisioner apply` does.

$ErrorActionPreference = 'Stop'

# Throws unless an object shows what it must before anything is closed. Lists may hold more.
function Assert-InForce($address, $found, $expected) {
    if (-not $found) { throw ($address + ' does not exist: nothing is closed.') }
    foreach ($name in $expected.Keys) {
        $values = @($found.$name) | ForEach-Object { ([string]$_) -replace '^smtp:', '' -replace ';[0-9]+$', '' }
        $values = @($values) | ForEach-Object { $_ -replace '/32$', '' }
        foreach ($value in @($expected[$name])) {
            if (@($values) -notcontains $value) {
                throw ($address + ': ' + $name + ' does not show ' + $value + ': nothing is closed.')
            }
        }
    }
}

# From here on, sending paths are closed. First every object of the plan that opens one is read back, whichever
# senders it is for: the script stops unless all are in force. Send a message on each new path before you go on.

# inbound_connector["old-mfp"] will be destroyed (deletes, can stop mail)
#   name: "old-mfp" -> null
#   type: "on_premises" -> null
#   enabled: true -> null
#   sender_ip_addresses: ["203.0.113.99/32"] -> null
#   sender_domains: ["*"] -> null
#   require_tls: false -> null
#   tls_sender_certificate_name: "" -> null
#   restrict_domains_to_ip_addresses: false -> null
#   restrict_domains_to_certificate: false -> null
#   treat_messages_as_internal: false -> null
#   cloud_services_mail_enabled: false -> null
#   associated_accepted_domains: [] -> null
#   trusted_organizations: [] -> null
#   ef_skip_last_ip: false -> null
#   ef_skip_ips: [] -> null
#   ef_users: [] -> null
#   ef_test_mode: false -> null
#   scan_and_drop_recipients: [] -> null
#   client_host_names: [] -> null
#   comment: "retired copier" -> null
#   owner: "mail-platform/prod" -> null
#   owner_key: "" -> null
#   source: "admin_ui" -> null
$parameters = @{
    Identity = 'old-mfp'
    Confirm = $false
    Confirm = $false
}
$step0 = Remove-InboundConnector @parameters

# smtp_auth["old-fax@northwindtraders.com"] will be updated in-place (can stop mail)
#   smtp_auth: "inherit" -> "disabled"
$parameters = @{
    Identity = '14db0c39-045c-507a-a9ca-1afb57a21d31'
    SmtpClientAuthenticationDisabled = $true
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters
