"""The causes that a diagnosis can name: what is so, how to correct it, whether to try again, and the source.

Only data lives here; the signs by which each is known are in `table`. Ids are stable; docs/causes.md has one
section for each.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.model.clouds import Cloud

NDR = "Microsoft, Email non-delivery reports in Exchange Online"
DEVICES = "Microsoft, Fix issues with printers, scanners, and LOB applications that send email"
SUBMISSION = "Microsoft, SMTP AUTH client submission improvements"
BLOG = "Exchange Team Blog"
LOGS = "log lines in public issues"
HVE = "Microsoft, High Volume Email troubleshooting"
ENTRA = "Microsoft, Entra authentication and authorization error codes"
RELAY = "Microsoft, Relay access denied (5.7.64)"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. `retry`: no, later, after-fix or fresh-token. `section` names the part of a plan that corrects it.

    `fix` names hosts and scopes as fields in braces, which `fix_in` fills for a cloud.
    """

    id: str
    summary: str
    fix: str
    retry: str
    source: str
    section: str = ""

    def fix_in(self, cloud: Cloud) -> str:
        """The fix, with the hosts and services that a cloud has."""
        return self.fix.format(
            smtp=cloud.smtp,
            app_scope=cloud.mail_scope,
            user_scope=cloud.delegated_mail_scope.partition(" ")[0],
            legacy=f"use {cloud.legacy_smtp} after an opt-in, or " if cloud.legacy_smtp else "",
            hve=", High Volume Email" if cloud.hve else "",
        )


CAUSES: tuple[Cause, ...] = (
    # Logging in
    Cause(
        "smtp-auth-off-tenant",
        "SMTP AUTH is disabled for the organization, and the mailbox inherits it",
        "enable SMTP AUTH for the one mailbox that sends; leave the organization disabled",
        "after-fix",
        LOGS,
        "smtp_auth",
    ),
    Cause(
        "smtp-auth-off-mailbox",
        "SMTP AUTH is disabled for this mailbox (not for the organization)",
        "enable SMTP AUTH for the mailbox",
        "after-fix",
        LOGS,
        "smtp_auth",
    ),
    Cause(
        "smtp-auth-off",
        "SMTP AUTH is disabled; the text is cut before it says whether for the organization or the mailbox",
        "enable SMTP AUTH for the mailbox that sends",
        "after-fix",
        LOGS,
        "smtp_auth",
    ),
    Cause(
        "security-defaults",
        "Entra's security defaults block logins with a password",
        "use OAuth, or relay through a connector; no setting of Exchange changes it",
        "no",
        LOGS,
        "connector",
    ),
    Cause(
        "basic-auth-off",
        "login with a password (basic authentication) is no longer accepted for this account: by an "
        "authentication policy, or by the platform",
        "use OAuth (XOAUTH2), or an authentication policy that allows basic SMTP AUTH; or relay through a connector",
        "no",
        LOGS,
        "connector",
    ),
    Cause(
        "basic-auth-retired",
        "Exchange Online has retired basic authentication for client submission",
        "use OAuth{hve} or a relay connector",
        "no",
        BLOG,
        "connector",
    ),
    Cause(
        "conditional-access",
        "a Conditional Access policy (most often one that blocks legacy authentication, or asks for a "
        "second factor) refused the login",
        "exclude the mailbox from that policy, or use OAuth; the sign-in log names the policy",
        "no",
        LOGS,
    ),
    Cause(
        "wrong-credentials",
        "wrong user name or password (or a second factor is asked of the account)",
        "correct the credential; every further try counts towards a lock",
        "no",
        LOGS,
    ),
    Cause(
        "account-locked",
        "the account has a problem: locked after failed tries, blocked, or its password has to be changed",
        "stop the device, sign in once by hand or unblock the account in Entra, then give the device the new password",
        "no",
        LOGS,
    ),
    Cause(
        "auth-not-allowed-by-organization",
        "the organization's configuration does not allow this kind of login (High Volume "
        "Email: security defaults are on, or the authentication policy lacks basic SMTP AUTH)",
        "assign an authentication policy that allows basic SMTP AUTH, or use OAuth",
        "after-fix",
        HVE,
    ),
    Cause(
        "federation-down",
        "the organization's federation server could not be reached, or does not support TLS 1.2",
        "correct the federation server",
        "later",
        DEVICES,
    ),
    Cause(
        "login-refused",
        "the login was refused, and the text does not say why: SMTP AUTH is disabled for the mailbox, the password is "
        "wrong (or an app password is needed), or an OAuth token has the wrong scope or permission",
        "check the mailbox's SMTP AUTH switch first, then user name and password, or the token's audience and scope",
        "no",
        DEVICES,
        "smtp_auth",
    ),
    Cause("temporary-login-failure", "the login could not be checked just now", "try again later", "later", LOGS),
    Cause(
        "token-expired",
        "the OAuth token has expired or is about to",
        "fetch a new token and connect again",
        "fresh-token",
        HVE,
    ),
    Cause(
        "oauth-permission",
        "the application lacks the permission to send by SMTP, or nobody has consented to it",
        "grant SMTP.SendAsApp with admin consent, register the service principal in Exchange (with the object id of "
        "the enterprise application), and give it a permission on the mailbox",
        "after-fix",
        HVE,
    ),
    Cause("oauth-malformed", "the client sent a malformed XOAUTH2 string", "correct the client", "no", HVE),
    Cause(
        "hve-app-not-allowed",
        "the application is not among those allowed for this High Volume Email account",
        "run Add-HVEAppAccess with the enterprise application's object id",
        "after-fix",
        HVE,
        "hve_account",
    ),
    Cause(
        "hve-external-recipient",
        "High Volume Email does not send to recipients outside the organization",
        "use another sending method for external recipients",
        "no",
        HVE,
    ),
    Cause(
        "not-logged-in",
        "the client sent without logging in (no user name set, no TLS so that no login was offered, or a device meant "
        "for direct send connects to the submission host)",
        "set user name, password and STARTTLS; or, without a login, use the domain's own MX host on port 25",
        "no",
        NDR,
    ),
    Cause(
        "starttls-required",
        "the client sends in clear text where STARTTLS is required",
        "turn STARTTLS on (port 587)",
        "after-fix",
        LOGS,
    ),
    Cause(
        "starttls-not-offered",
        "the server does not offer STARTTLS: something between the client and the server takes it out of the greeting "
        "(a firewall, a virus scanner, a proxy), or the client connects to the wrong host",
        "connect to {smtp}:587 by that name, and exempt it from inspection of SMTP",
        "after-fix",
        LOGS,
    ),
    Cause(
        "auth-not-offered",
        "the server does not offer a login: TLS was not started first, or it is an MX host, which never has one",
        "turn STARTTLS on and log in at {smtp}:587",
        "after-fix",
        LOGS,
    ),
    Cause(
        "auth-type-unknown",
        "the client asked for a kind of login that the server does not offer (an MX host offers none at all; "
        "the host of client submission offers LOGIN and XOAUTH2)",
        "log in with AUTH LOGIN or XOAUTH2 at {smtp}:587, or leave "
        "user name and password empty for direct send and relay on port 25",
        "no",
        LOGS,
    ),
    Cause(
        "tls-too-old",
        "the client supports only TLS 1.0 or 1.1",
        "install firmware that supports TLS 1.2; if there is none, {legacy}relay through a connector",
        "after-fix",
        "Microsoft, opt in to legacy TLS",
    ),
    Cause(
        "implicit-tls-on-starttls-port",
        'the client begins TLS at once ("SSL", "secure") on a port that expects STARTTLS',
        "choose STARTTLS on port 587, not SSL/TLS",
        "after-fix",
        LOGS,
    ),
    Cause(
        "certificate-not-trusted",
        "the client does not trust the server's certificate: its store of authorities is old, or "
        "something on the way inspects TLS",
        "update the device's root certificates; exempt the mail host from inspection",
        "after-fix",
        LOGS,
    ),
    Cause(
        "certificate-name",
        "the name that the client connected to is not in the server's certificate",
        "connect to {smtp} by that name, not by an address or an alias",
        "after-fix",
        LOGS,
    ),
    Cause("port-465", "port 465 is not offered for client submission", "use port 587 with STARTTLS", "after-fix", LOGS),
    Cause(
        "port-25-blocked",
        "nothing answers on port 25: the provider, the cloud or a firewall blocks it on the way out",
        "have port 25 opened, or use client submission on port 587",
        "after-fix",
        DEVICES,
    ),
    Cause(
        "port-587-blocked",
        "nothing answers on port 587: a firewall blocks it on the way out",
        "have port 587 opened to {smtp}",
        "after-fix",
        DEVICES,
    ),
    Cause(
        "host-not-found",
        "the name of the mail host cannot be resolved",
        "correct the name, or the device's DNS server",
        "after-fix",
        LOGS,
    ),
    # Tokens from Entra
    Cause(
        "client-secret-wrong",
        "the client secret is wrong; often its ID was entered instead of its value",
        "enter the secret's value",
        "after-fix",
        ENTRA,
    ),
    Cause(
        "client-secret-expired",
        "the client secret has expired",
        "make a new secret and enter its value",
        "after-fix",
        ENTRA,
    ),
    Cause(
        "client-certificate-wrong",
        "the client certificate or its assertion is not accepted",
        "register the certificate with the application, and check the clock",
        "after-fix",
        ENTRA,
    ),
    Cause("entra-tenant-wrong", "the tenant ID is wrong", "enter the right tenant ID", "after-fix", ENTRA),
    Cause(
        "entra-app-unknown",
        "the application is not known in this tenant",
        "correct client and tenant ID, or consent to the application there",
        "after-fix",
        ENTRA,
    ),
    Cause(
        "entra-consent-missing",
        "nobody has consented to what the application asks for",
        "grant admin consent",
        "after-fix",
        ENTRA,
    ),
    Cause(
        "entra-scope-wrong",
        "the token is asked for with a wrong scope or resource",
        "ask for {app_scope} (app) or {user_scope} (user)",
        "after-fix",
        ENTRA,
    ),
    Cause(
        "entra-mfa-required",
        "the account has to prove a second factor, which a device cannot",
        "use an application with its own permission, or sign in interactively once",
        "no",
        ENTRA,
    ),
    Cause(
        "entra-user-unknown", "the account does not exist in this tenant", "correct user name or tenant", "no", ENTRA
    ),
    # Who may send as whom, and through which connector
    Cause(
        "send-as-denied",
        "the login worked, but From is neither that account nor an address that it may send as",
        "set From to the account's own address, or grant it Send As",
        "after-fix",
        LOGS,
        "send_as",
    ),
    Cause(
        "relay-denied",
        "relay was refused: the sending IP address or certificate matches no enabled connector of type "
        "OnPremises, or the envelope sender is in no accepted domain of the tenant (a new IP and a renewed certificate "
        "are the usual reasons)",
        "put the address (or certificate name) into the inbound connector, and send from an accepted domain",
        "after-fix",
        RELAY,
        "connector",
    ),
    Cause(
        "direct-send-rejected",
        "the organization rejects direct send, and this source matches no connector",
        "add a connector for the address (type Partner is enough for internal recipients), or switch RejectDirectSend "
        "off",
        "after-fix",
        BLOG,
        "connector",
    ),
    Cause(
        "partner-connector-restricted",
        "a partner connector with a restriction to addresses or a certificate matched, and the source is not in it",
        "add the address to that connector, or send through the gateway that it names",
        "after-fix",
        "Microsoft, inbound connector troubleshooting",
        "connector",
    ),
    Cause(
        "attribution-failed",
        "the service could not tell whose mail this is: no connector matches the address or certificate, the "
        "sender's domain is not accepted, or the host is another tenant's or an old one",
        "send to the domain's own MX host, from an accepted domain, with a connector for the address",
        "after-fix",
        LOGS,
        "connector",
    ),
    Cause(
        "unregistered-domain",
        "too much mail comes from domains that the tenant has not registered",
        "verify the sending domains; review the connectors; then ask Microsoft's support",
        "no",
        NDR,
        "domain",
    ),
    Cause(
        "unable-to-relay",
        "the server does not accept mail for the recipient's domain from this sender; this is how Exchange Server (on "
        "premises) answers, hardly ever Exchange Online",
        "give the sender relay rights on that server, or send to the right host",
        "no",
        NDR,
    ),
    Cause(
        "on-premises-relay",
        "an Exchange Server on premises refuses to relay: its receive connector lacks the right. Not Exchange Online",
        "correct it on that server",
        "no",
        LOGS,
    ),
    Cause(
        "receiver-wants-login",
        "the receiving server takes this mail only after a login (receive connectors of Exchange Server answer this "
        "too)",
        "log in there, or send to another host",
        "no",
        NDR,
    ),
    # Recipients
    Cause(
        "recipient-rejected",
        "the recipient does not exist in that tenant (directory-based edge blocking)",
        "correct the recipient; or, if the address is hosted elsewhere, make the domain an internal relay",
        "no",
        NDR,
    ),
    Cause(
        "recipients-refused",
        "the recipient's organization refuses all recipients of the message: it does not know them, or takes "
        "mail only from senders and servers of its choice, and this one is not among them or is blocked",
        "check the addresses, then ask the recipient's administrator",
        "no",
        LOGS,
    ),
    Cause("recipient-unknown", "the recipient's address does not exist", "correct the address", "no", NDR),
    Cause(
        "recipient-unavailable",
        "the recipient's mailbox does not exist or is not available",
        "check the address",
        "no",
        LOGS,
    ),
    Cause(
        "remote-recipient-unknown",
        "a server outside refused the recipient: unknown, or its mailbox is not available",
        "correct the address",
        "no",
        NDR,
    ),
    Cause("recipient-mailbox-full", "the recipient's mailbox is full", "the recipient has to make room", "later", NDR),
    Cause("recipient-invalid", "the recipient is not valid", "correct the address", "no", NDR),
    Cause(
        "recipient-domain-unserved",
        "the recipient's domain belongs to a tenant of Microsoft 365 without a subscription that has mail, so nobody "
        "takes mail for it there (often a domain whose MX record points to Exchange Online too early)",
        "correct the address; if the domain is yours, license the tenant or correct the MX record",
        "no",
        LOGS,
    ),
    Cause(
        "recipient-restricted",
        "the recipient (mailbox, group, folder or contact) takes mail only from senders inside the "
        "organization or on its list",
        "allow the sender there, or send authenticated",
        "no",
        NDR,
    ),
    Cause(
        "transport-rule",
        "a mail flow rule of the receiving organization refused the message",
        "ask the recipient's administrator; look at your own rules when the recipient is yours",
        "no",
        LOGS,
    ),
    Cause(
        "recipient-blocks-source",
        "the recipient's organization blocks this source",
        "ask the recipient's administrator (look at your own connection filter when the recipient is yours)",
        "no",
        NDR,
    ),
    Cause(
        "tenant-block-list",
        "a recipient or domain is on your organization's Tenant Allow/Block List",
        "take the entry out",
        "no",
        NDR,
    ),
    Cause(
        "external-forwarding-off",
        "the organization does not allow automatic forwarding outside",
        "allow it in the outbound spam policy for that sender",
        "no",
        NDR,
    ),
    Cause("domain-not-in-dns", "the recipient's domain cannot be found in DNS", "correct the domain", "no", NDR),
    Cause(
        "recipient-dns-failed",
        "the name servers of the recipient's domain did not answer properly until the message expired",
        "the recipient's administrator has to correct its DNS",
        "later",
        NDR,
    ),
    Cause(
        "remote-connection-refused",
        "the recipient's server cannot be reached",
        "the recipient's administrator has to correct it",
        "later",
        NDR,
    ),
    Cause(
        "remote-tls",
        "the recipient's server fails the TLS that is asked of it (STARTTLS, certificate, DANE or DNSSEC)",
        "the recipient's administrator has to correct it",
        "later",
        NDR,
    ),
    Cause(
        "remote-generic",
        "the recipient's organization refused the message for a reason of its own (5.0.350 is a catch-all)",
        "read what its server says; an overlong x-dg-ref header comes from Rich Text messages",
        "no",
        NDR,
    ),
    # Addresses and messages
    Cause(
        "sender-invalid",
        "the sender's address is not a valid address",
        "set a full address of an accepted domain as sender",
        "after-fix",
        LOGS,
    ),
    Cause(
        "recipient-syntax", "the recipient's address is not a valid address", "correct the address", "after-fix", LOGS
    ),
    Cause(
        "sender-denied",
        "the sender or recipient could not be resolved (often an old internal address in a saved message)",
        "check the recipient's address and send it again",
        "no",
        NDR,
    ),
    Cause(
        "remote-rejects-sender",
        "the receiving server refuses the sender's address or domain",
        "check that the sender's domain exists in DNS and takes replies",
        "no",
        LOGS,
        "domain",
    ),
    Cause(
        "from-header",
        "the message has no valid From header",
        "correct the device's template: one address, in angle brackets",
        "after-fix",
        NDR,
    ),
    Cause(
        "several-from",
        "the message has several From addresses and no Sender",
        "write one From address, or add a Sender header",
        "after-fix",
        NDR,
    ),
    Cause(
        "bare-line-feeds",
        "the message holds characters that are not allowed (bare line feeds)",
        "let the client end lines with CR LF",
        "after-fix",
        NDR,
    ),
    Cause(
        "message-malformed",
        "the message's MIME structure or content is broken",
        "correct the client",
        "after-fix",
        LOGS,
    ),
    Cause(
        "message-too-large",
        "the message is larger than the service or the recipient takes",
        "send less at once",
        "no",
        NDR,
    ),
    Cause(
        "unsupported-parameter",
        "the client added a parameter to a command that the server had not offered",
        "switch that extension off in the client",
        "after-fix",
        LOGS,
    ),
    Cause(
        "bad-helo",
        "the device greets with an invalid name, or with one of Microsoft's own",
        "set the device's own full host name",
        "after-fix",
        NDR,
    ),
    Cause(
        "protocol-order",
        "the client's commands come in the wrong order or are unknown to the server",
        "correct the client; let nothing on the way rewrite SMTP",
        "after-fix",
        LOGS,
    ),
    # Reputation, authentication of the sender, blocks
    Cause(
        "account-restricted",
        "the account may not send any more: it sent spam, or too much",
        "secure the account, then release it under Restricted entities",
        "no",
        NDR,
    ),
    Cause(
        "account-banned",
        "the account is banned for spam",
        "secure the account and its credentials, then ask Microsoft's support",
        "no",
        NDR,
    ),
    Cause(
        "tenant-over-threshold",
        "most of the tenant's mail looks like spam or bulk, so it may not send any more (also for a day "
        "after an expired plan was renewed)",
        "clean up accounts and connectors, then ask Microsoft's support",
        "no",
        NDR,
    ),
    Cause(
        "ip-not-accepted",
        "the service does not accept mail from this IP address: low reputation, mostly of trial tenants",
        "license the tenant; ask Microsoft's support",
        "no",
        NDR,
    ),
    Cause(
        "ip-banned",
        "the public IP address is on Microsoft's block list",
        "find out what sends from it, then delist it at sender.office.com (5.7.511: by mail to delist@microsoft.com)",
        "no",
        NDR,
    ),
    Cause(
        "ip-on-outlook-list",
        "the IP address (or its provider's network) is on Outlook.com's block list",
        "register with SNDS and ask for removal at sendersupport.olc.protection.outlook.com",
        "no",
        LOGS,
    ),
    Cause(
        "ip-on-spamhaus",
        "the IP address is on the public block list Spamhaus",
        "have it delisted at spamhaus.org; better send by login on 587 or from a static, clean address",
        "no",
        LOGS,
    ),
    Cause(
        "helo-on-spamhaus",
        "the name that the client gives in HELO or EHLO is on the public block list Spamhaus",
        "give a name of your own that leads back to the address, or have it delisted at spamhaus.org",
        "no",
        LOGS,
    ),
    Cause(
        "sender-on-spamhaus",
        "the domain of the envelope sender is on the public block list Spamhaus",
        "find out what was sent in its name, then have it delisted at spamhaus.org",
        "no",
        LOGS,
    ),
    Cause(
        "ip-throttled",
        "the sending IP address is throttled: unusual or too much mail from it; temporary",
        "wait and try again; a connector for the address removes it",
        "later",
        NDR,
        "connector",
    ),
    Cause(
        "ip-reputation-limited",
        "the sending IP address is rate limited for its low reputation; temporary",
        "slow down, try again, register with SNDS",
        "later",
        LOGS,
    ),
    Cause(
        "spf-failed",
        "the receiver refused the message because it fails SPF",
        "put the sending address into the domain's SPF record",
        "after-fix",
        NDR,
        "spf",
    ),
    Cause(
        "dmarc-failed",
        "the From domain fails DMARC, and its policy says reject",
        "make SPF cover the sending address, or sign with DKIM",
        "after-fix",
        NDR,
        "dkim",
    ),
    Cause(
        "authentication-level",
        "the sending domain does not meet the level of SPF, DKIM and DMARC that the receiver asks of large senders",
        "make SPF and DKIM pass for the From domain, and publish DMARC",
        "after-fix",
        LOGS,
        "dkim",
    ),
    Cause(
        "no-reverse-dns",
        "the sending IPv6 address has no reverse DNS record",
        "publish a PTR record, or send over IPv4",
        "after-fix",
        NDR,
    ),
    Cause(
        "ipv6-unauthenticated",
        "mail over IPv6 has to pass SPF or DKIM, and this message did not",
        "sign it or cover it by SPF, or send over IPv4",
        "after-fix",
        NDR,
        "dkim",
    ),
    Cause("no-ipv6", "the recipient's domain does not accept mail over IPv6", "send over IPv4", "after-fix", NDR),
    Cause(
        "policy-violation",
        "the recipient's filter refused the content",
        "look at the content and links of the message",
        "no",
        NDR,
    ),
    # Limits and passing trouble
    Cause(
        "concurrent-connections",
        "more than three connections at once from one account",
        "send one message after the other; try again",
        "later",
        SUBMISSION,
    ),
    Cause("connection-limit", "too many connections at once", "open fewer connections; try again", "later", LOGS),
    Cause(
        "recipient-thread-limit",
        "the recipient's mailbox takes no more messages at this moment",
        "try again",
        "later",
        NDR,
    ),
    Cause(
        "recipient-quota-used",
        "the mailbox has used up its 10,000 recipients in a rolling 24 hours",
        "wait, spread the mail, or use a relay connector or a bulk service; check whether the account was abused",
        "later",
        SUBMISSION,
    ),
    Cause(
        "tenant-external-limit",
        "the tenant has used up its recipients outside the organization for 24 hours",
        "wait; the limit grows with licences",
        "later",
        NDR,
    ),
    Cause(
        "initial-domain-limit",
        "a sender of the onmicrosoft.com domain has used up its 100 outside recipients a day",
        "send from a domain of your own",
        "later",
        BLOG,
        "domain",
    ),
    Cause(
        "recipient-receive-limit",
        "too many messages to one recipient within the hour",
        "send fewer to it; try later",
        "later",
        NDR,
    ),
    Cause(
        "sender-rate", "this client sends faster than the service allows", "slow down; try again", "later", SUBMISSION
    ),
    Cause(
        "too-many-recipients",
        "the message names more recipients than the service takes at once (200 of one domain from outside; "
        "1,000 or the mailbox's limit from inside)",
        "send in smaller groups",
        "after-fix",
        NDR,
    ),
    Cause(
        "sender-mailbox-full",
        "the sending mailbox is full, often of Sent Items",
        "clear it, and set a retention for Sent Items",
        "after-fix",
        SUBMISSION,
    ),
    Cause(
        "message-expired",
        "the message could not be delivered in time; the receiving side did not accept it",
        "check the recipient's server and address",
        "no",
        NDR,
    ),
    Cause(
        "routing-loop",
        "the message loops: a configuration error in connectors, accepted domains or forwarding",
        "break the loop",
        "no",
        NDR,
    ),
    Cause(
        "journaling-off",
        "journaling from on premises to this organization needs Journaling Archive, which is off",
        "turn it on, or journal elsewhere",
        "no",
        NDR,
    ),
    Cause("receiver-not-available", "the receiving service does not take mail just now", "try again", "later", LOGS),
    Cause(
        "receiver-busy",
        "the receiving server is short of resources (back pressure: storage or memory)",
        "try again",
        "later",
        LOGS,
    ),
    Cause(
        "receiver-queue-quota",
        "the receiving organization gets more mail at once than it may queue",
        "try again",
        "later",
        LOGS,
    ),
    Cause("temporary-server-error", "a temporary error in the service", "try again", "later", LOGS),
    Cause(
        "connection-dropped",
        "the connection was dropped: idle for too long, or cut by the network",
        "connect again; keep no idle connection",
        "later",
        LOGS,
    ),
)

BY_ID = {cause.id: cause for cause in CAUSES}
