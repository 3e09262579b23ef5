# Tenant   northwindtraders.onmicrosoft.com
# Made     2026-11-26T14:54:38Z
# Digest   sha256:322f33b08fee09888247012df4d5dd330a76e2a5c2a62bf89a3e82d0851b7fbd
#
# Sign in first: Connect-ExchangeOnline (module ExchangeOnlineManagement) as an Exchange Administrator.
# It stops at the first error. Nothing here checks whether the tenant has moved since the plan was made;
# `provisioner apply` does.

$ErrorActionPreference = 'Stop'

# dkim["northwind-service.com"] will be updated in-place
#   enabled: false -> true
$found = Resolve-DnsName -Name 'selector1._domainkey.northwind-service.com' -Type 'CNAME' -ErrorAction SilentlyContinue
if (@($found.NameHost) -notcontains ([string]'selector1-northwind-service-com._domainkey.NorthwindTraders.k-v1.dkim.mail.microsoft').TrimEnd('.')) {
    throw ('Publish in DNS first: ' + 'selector1._domainkey.northwind-service.com' + ' ' + 'CNAME' + ' ' + 'selector1-northwind-service-com._domainkey.NorthwindTraders.k-v1.dkim.mail.microsoft')
}
$found = Resolve-DnsName -Name 'selector2._domainkey.northwind-service.com' -Type 'CNAME' -ErrorAction SilentlyContinue
if (@($found.NameHost) -notcontains ([string]'selector2-northwind-service-com._domainkey.NorthwindTraders.k-v1.dkim.mail.microsoft').TrimEnd('.')) {
    throw ('Publish in DNS first: ' + 'selector2._domainkey.northwind-service.com' + ' ' + 'CNAME' + ' ' + 'selector2-northwind-service-com._domainkey.NorthwindTraders.k-v1.dkim.mail.microsoft')
}
$parameters = @{
    Identity = 'northwind-service.com'
    Enabled = $true
    Confirm = $false
}
$step1 = Set-DkimSigningConfig @parameters

# inbound_connector["leeds-relay"] will be created (widens exposure)
#   name: null -> "leeds-relay"
#   type: null -> "on_premises"
#   enabled: null -> true
#   sender_ip_addresses: null -> ["198.51.100.20/32"]
#   sender_domains: null -> ["*"]
#   require_tls: null -> false
#   comment: null -> "Leeds, franking machine without TLS, NET-1501"
#   owner: null -> "mail-platform/prod"
#   owner_key: null -> "leeds-relay"
$parameters = @{
    Name = 'leeds-relay'
    ConnectorType = 'OnPremises'
    Enabled = $true
    SenderIPAddresses = @('198.51.100.20')
    SenderDomains = @('*')
    RequireTls = $false
    Comment = 'Leeds, franking machine without TLS, NET-1501 [provisioner: mail-platform/prod [leeds-relay]]'
}
$step0 = New-InboundConnector @parameters

# inbound_connector["site-warehouse"] will be created (widens exposure)
#   name: null -> "site-warehouse"
#   type: null -> "on_premises"
#   enabled: null -> true
#   sender_ip_addresses: null -> ["192.0.2.40/32"]
#   sender_domains: null -> ["*"]
#   require_tls: null -> true
#   comment: null -> "Devices at warehouse"
#   owner: null -> "mail-platform/prod"
#   owner_key: null -> "site-warehouse"
$parameters = @{
    Name = 'site-warehouse'
    ConnectorType = 'OnPremises'
    Enabled = $true
    SenderIPAddresses = @('192.0.2.40')
    SenderDomains = @('*')
    RequireTls = $true
    Comment = 'Devices at warehouse [provisioner: mail-platform/prod [site-warehouse]]'
}
$step0 = New-InboundConnector @parameters

# send_as["erp@northwindtraders.com as invoices@northwindtraders.com"] will be created (widens exposure)
#   pair: null -> "erp@northwindtraders.com as invoices@northwindtraders.com"
#   trustee: null -> "erp@northwindtraders.com"
#   sender: null -> "invoices@northwindtraders.com"
#   trustee_id: null -> "6cbb5c08-1d92-54f8-a73f-d99ba2ba225b"
#   sender_id: null -> "2055c659-00af-56d3-ae64-59d76806cb24"
$parameters = @{
    Identity = '2055c659-00af-56d3-ae64-59d76806cb24'
    Trustee = '6cbb5c08-1d92-54f8-a73f-d99ba2ba225b'
    AccessRights = @('SendAs')
    Confirm = $false
    Confirm = $false
}
$step0 = Add-RecipientPermission @parameters

# smtp_auth["door-access@northwindtraders.com"] will be updated in-place (widens exposure)
#   smtp_auth: "inherit" -> "enabled"
$parameters = @{
    Identity = 'f10f5ebe-bd0c-571b-a168-e1b3aa1105c9'
    SmtpClientAuthenticationDisabled = $false
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["erp@northwindtraders.com"] will be updated in-place (widens exposure)
#   smtp_auth: "inherit" -> "enabled"
$parameters = @{
    Identity = '6cbb5c08-1d92-54f8-a73f-d99ba2ba225b'
    SmtpClientAuthenticationDisabled = $false
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["monitoring@nwt-alerts.com"] will be updated in-place (widens exposure)
#   smtp_auth: "inherit" -> "enabled"
$parameters = @{
    Identity = 'e1e76d41-3fb2-584a-ab05-80d2e955f71b'
    SmtpClientAuthenticationDisabled = $false
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["payroll@northwindtraders.com"] will be updated in-place (widens exposure)
#   smtp_auth: "inherit" -> "enabled"
$parameters = @{
    Identity = '509ec265-3b8b-58d5-ac2b-13841ef7b556'
    SmtpClientAuthenticationDisabled = $false
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["warehouse-labels@northwind-service.com"] will be updated in-place (widens exposure)
#   smtp_auth: "inherit" -> "enabled"
$parameters = @{
    Identity = 'f8593bcb-afb5-554b-a2c1-fd85a3d393ee'
    SmtpClientAuthenticationDisabled = $false
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# inbound_connector["bristol-relay"] will be updated in-place (widens exposure, can stop mail)
#   sender_ip_addresses: ["203.0.113.10/32"] -> ["203.0.113.10/32", "203.0.113.64/28"]
#   require_tls: false -> true
#   comment: "set up by J. for the scanners" -> "Bristol, scanners and building control, NET-1432"
#   owner: "" -> "mail-platform/prod"
#   owner_key: "" -> "bristol-relay"
# In two writes; first, until the tenant shows it: sender_ip_addresses = ["203.0.113.10/32", "203.0.113.64/28"]
$parameters = @{
    Identity = 'bristol-relay'
    SenderIPAddresses = @('203.0.113.10', '203.0.113.64/28')
    Confirm = $false
}
$step0 = Set-InboundConnector @parameters

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
Assert-InForce 'inbound_connector["bristol-relay"]' (Get-InboundConnector -Identity 'bristol-relay') @{ Enabled = 'True'; ConnectorType = 'OnPremises'; SenderIPAddresses = @('203.0.113.10', '203.0.113.64/28'); SenderDomains = @('*') }
Assert-InForce 'inbound_connector["leeds-relay"]' (Get-InboundConnector -Identity 'leeds-relay') @{ Enabled = 'True'; ConnectorType = 'OnPremises'; SenderIPAddresses = @('198.51.100.20'); SenderDomains = @('*') }
Assert-InForce 'inbound_connector["site-warehouse"]' (Get-InboundConnector -Identity 'site-warehouse') @{ Enabled = 'True'; ConnectorType = 'OnPremises'; SenderIPAddresses = @('192.0.2.40'); SenderDomains = @('*') }
Assert-InForce 'send_as["erp@northwindtraders.com as invoices@northwindtraders.com"]' (Get-RecipientPermission -Identity '2055c659-00af-56d3-ae64-59d76806cb24' -Trustee '6cbb5c08-1d92-54f8-a73f-d99ba2ba225b') @{ AccessRights = @('SendAs') }
Assert-InForce 'smtp_auth["door-access@northwindtraders.com"]' (Get-CASMailbox -Identity 'door-access@northwindtraders.com') @{ SmtpClientAuthenticationDisabled = 'False' }
Assert-InForce 'smtp_auth["erp@northwindtraders.com"]' (Get-CASMailbox -Identity 'erp@northwindtraders.com') @{ SmtpClientAuthenticationDisabled = 'False' }
Assert-InForce 'smtp_auth["monitoring@nwt-alerts.com"]' (Get-CASMailbox -Identity 'monitoring@nwt-alerts.com') @{ SmtpClientAuthenticationDisabled = 'False' }
Assert-InForce 'smtp_auth["payroll@northwindtraders.com"]' (Get-CASMailbox -Identity 'payroll@northwindtraders.com') @{ SmtpClientAuthenticationDisabled = 'False' }
Assert-InForce 'smtp_auth["warehouse-labels@northwind-service.com"]' (Get-CASMailbox -Identity 'warehouse-labels@northwind-service.com') @{ SmtpClientAuthenticationDisabled = 'False' }

# inbound_connector["payroll-bureau"] will be created (can stop mail)
#   name: null -> "payroll-bureau"
#   type: null -> "partner"
#   enabled: null -> true
#   sender_domains: null -> ["northwind-payroll.com"]
#   require_tls: null -> true
#   tls_sender_certificate_name: null -> "mail.northwind-payroll.com"
#   restrict_domains_to_certificate: null -> true
#   comment: null -> "Payslips come from the bureau and from nobody else"
#   owner: null -> "mail-platform/prod"
#   owner_key: null -> "payroll-bureau"
$parameters = @{
    Name = 'payroll-bureau'
    ConnectorType = 'Partner'
    Enabled = $true
    SenderDomains = @('northwind-payroll.com')
    RequireTls = $true
    TlsSenderCertificateName = 'mail.northwind-payroll.com'
    RestrictDomainsToCertificate = $true
    Comment = 'Payslips come from the bureau and from nobody else [provisioner: mail-platform/prod [payroll-bureau]]'
}
$step0 = New-InboundConnector @parameters
Assert-InForce 'inbound_connector["payroll-bureau"]' (Get-InboundConnector -Identity 'payroll-bureau') @{ Enabled = 'True'; ConnectorType = 'Partner'; SenderDomains = @('northwind-payroll.com'); TlsSenderCertificateName = 'mail.northwind-payroll.com'; RestrictDomainsToCertificate = 'True' }

# inbound_connector["bristol-relay"] will be updated in-place (widens exposure, can stop mail)
#   sender_ip_addresses: ["203.0.113.10/32"] -> ["203.0.113.10/32", "203.0.113.64/28"]
#   require_tls: false -> true
#   comment: "set up by J. for the scanners" -> "Bristol, scanners and building control, NET-1432"
#   owner: "" -> "mail-platform/prod"
#   owner_key: "" -> "bristol-relay"
# In two writes; first, until the tenant shows it: sender_ip_addresses = ["203.0.113.10/32", "203.0.113.64/28"]
$parameters = @{
    Identity = 'bristol-relay'
    RequireTls = $true
    Comment = 'Bristol, scanners and building control, NET-1432 [provisioner: mail-platform/prod [bristol-relay]]'
    Confirm = $false
}
$step2 = Set-InboundConnector @parameters

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

# smtp_auth["intern-test@northwindtraders.com"] will be updated in-place (can stop mail)
#   smtp_auth: "enabled" -> "inherit"
$parameters = @{
    Identity = '2a87642b-7040-5368-a801-0280aa3c42c6'
    SmtpClientAuthenticationDisabled = $null
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["old-fax@northwindtraders.com"] will be updated in-place (can stop mail)
#   smtp_auth: "inherit" -> "disabled"
$parameters = @{
    Identity = '14db0c39-045c-507a-a9ca-1afb57a21d31'
    SmtpClientAuthenticationDisabled = $true
    Confirm = $false
}
$step0 = Set-CASMailbox @parameters

# smtp_auth["organization"] will be updated in-place (can stop mail)
#   smtp_auth: "enabled" -> "disabled"
$parameters = @{
    SmtpClientAuthenticationDisabled = $true
    Confirm = $false
}
$step0 = Set-TransportConfig @parameters
