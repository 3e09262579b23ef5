"""Other mail services and servers: what they name in an answer, and how they word it. Only data lives here.

Sources: each service's own page of SMTP replies, the source of Postfix, Exim, Sendmail and Dovecot, and log lines in
public issues. A wording counts only where nothing in the line shows that Exchange Online wrote it.
"""

from __future__ import annotations

import re

from provisioner.model.clouds import MAIL_DOMAINS

HOME = (*MAIL_DOMAINS, "protection.outlook", "outlook.office", "hotmail.com", "office 365", "office365")
"""Names in an answer that show that it is Microsoft's."""

PERSONAL_DOMAINS = re.compile(
    r"@(?:(?:outlook|hotmail|live)\.(?:[a-z]{2,3}|co\.[a-z]{2}|com\.[a-z]{2})|msn\.com|windowslive\.com|passport\.com)$"
)
"""Addresses of consumer Outlook.com, which belongs to no tenant (Microsoft Support, "POP, IMAP, and SMTP settings")."""

AZURE = "Azure Communication Services, not Exchange Online"

SERVICES: tuple[tuple[str, str], ...] = (
    ("azurecomm.net", AZURE),
    ("gsmtp", "Gmail"),
    ("google.com/mail", "Gmail"),
    ("support.google.com", "Gmail"),
    ("smtp.gmail.com", "Gmail"),
    ("smtp-relay.gmail.com", "Gmail"),
    ("mx.google.com", "Gmail"),
    ("gmail-smtp-in", "Gmail"),
    ("aspmx.l.google.com", "Gmail"),
    ("smtp.mail.yahoo", "Yahoo"),
    ("yahooinc.com", "Yahoo"),
    ("help.yahoo.com", "Yahoo"),
    ("yahoodns.net", "Yahoo"),
    ("amazonses.com", "Amazon SES"),
    ("email-smtp.", "Amazon SES"),
    ("sendgrid", "SendGrid"),
    ("mailgun", "Mailgun"),
    ("mailjet", "Mailjet"),
    ("sendinblue", "Brevo"),
    ("brevo.com", "Brevo"),
    ("postmarkapp.com", "Postmark"),
    ("sparkpostmail", "SparkPost"),
    ("mandrillapp", "Mandrill"),
    ("mailersend", "MailerSend"),
    ("smtp2go", "SMTP2GO"),
    ("mailtrap.io", "Mailtrap"),
    ("mailchannels", "MailChannels"),
    ("elasticemail", "Elastic Email"),
    ("icloud.com", "iCloud"),
    ("smtp.mail.me.com", "iCloud"),
    ("mimecast", "Mimecast"),
    ("ppe-hosted.com", "Proofpoint"),
    ("pphosted.com", "Proofpoint"),
    ("proofpoint", "Proofpoint"),
    ("psmtp", "Postini"),
    ("barracuda", "Barracuda"),
    ("cuda_nsu", "Barracuda"),
    ("cudaweb", "Barracuda"),
    ("messagelabs", "Symantec Email Security.cloud"),
    ("cloudmark", "a server that asks Cloudmark"),
    ("hornetsecurity", "Hornetsecurity"),
    ("antispameurope", "Hornetsecurity"),
    ("spamtitan", "SpamTitan"),
    ("mailspamprotection", "SpamExperts"),
    ("antispamcloud", "SpamExperts"),
    ("iphmx.com", "Cisco Secure Email"),
    ("trendmicro", "Trend Micro"),
    ("sophos", "Sophos"),
    ("zoho.", "Zoho"),
    ("zohomail", "Zoho"),
    ("gmx.net", "GMX"),
    ("gmx.com", "GMX"),
    ("web.de", "WEB.DE"),
    ("ionos.", "IONOS"),
    ("1und1.", "IONOS"),
    ("1and1.", "IONOS"),
    ("kundenserver.de", "IONOS"),
    ("strato.", "STRATO"),
    ("rzone.de", "STRATO"),
    ("t-online.de", "T-Online"),
    ("ovh.net", "OVHcloud"),
    ("mail.ovh.", "OVHcloud"),
    ("orange.fr", "Orange"),
    ("laposte.net", "La Poste"),
    ("free.fr", "Free"),
    ("yandex", "Yandex"),
    ("mail.ru", "Mail.ru"),
    ("qq.com", "QQ Mail"),
    ("163.com", "NetEase"),
    ("126.com", "NetEase"),
    ("aliyun", "Alibaba Mail"),
    ("secureserver.net", "GoDaddy"),
    ("emailsrvr.com", "Rackspace"),
    ("fastmail", "Fastmail"),
    ("messagingengine.com", "Fastmail"),
    ("proton.me", "Proton"),
    ("protonmail", "Proton"),
    ("comcast.net", "Comcast"),
    ("mx.aol.com", "AOL"),
    ("prodigy.net", "AT&T"),
)
"""What other mail services write into their answers, as it stands there (lower case)."""

_SERVICE = re.compile("|".join(rf"(?<![a-z0-9]){re.escape(name)}" for name, _ in SERVICES))


def service_in(lower: str) -> str | None:
    """The other service that a text in lower case names first; None where it names none."""
    found = _SERVICE.search(lower)
    return dict(SERVICES)[found[0]] if found else None


def _w(who: str, *patterns: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), who) for pattern in patterns)


_OTHER = "another mail server"

WORDINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    *_w(
        "Postfix",
        r"<[^<>\s]*>: (?:recipient|sender|client|helo) (?:address|host|command)? ?rejected",
        r"client host rejected",
        r"<[^<>\s]*>: relay access denied",
        r"in (?:local|virtual|relay)\b.{0,20} table",
        r"queued as [0-9a-f]{8,}",
        r"\b5\d\d (?:5\.\d\.\d )?error: (?!\d)",
        r"\b4\d\d (?:4\.\d\.\d )?(?:[\w.\-]{3,80} )?error: (?!\d)",
        r"tls not available due to local problem",
        r"temporary authentication failure: ",
        r"sasl \w+ authentication failed: (?:ugfzc3dvcmq6|vxnlcm5hbwu6|authentication failure)",
    ),
    *_w("a server that asks a public block list", r"blocked using (?:[\w-]+\.)+[a-z]{2,}"),
    *_w("Postfix, Dovecot or another server", r"535 5\.7\.8\b", r"\b5\.7\.8 (?:error|username|authentication)"),
    *_w(
        "Exim",
        r"sender verify failed|relay not permitted|unrouteable address|rejected rcpt|administrative prohibition",
        r"535 incorrect authentication data|no such user here|\besmtp exim\b",
    ),
    *_w("Sendmail", r"\.\.\. (?:relaying denied|domain of sender address|denied)", r"\brelaying denied\b"),
    *_w("qmail", r"list of allowed rcpthosts|\(#5\.\d\.\d\)|remote host said:"),
    *_w("Dovecot", r"quota exceeded \(mailbox for user is full\)"),
    *_w("hMailServer", r"smtp authentication is required\.|delivery is not allowed to this address"),
    *_w("Cisco Secure Email", r"#5\.1\.0 address rejected|sbrs|#5\.7\.1 (?:sender|recipient) rejected"),
    *_w(
        "Gmail",
        r"log ?in (?:with|via) your web browser|application-specific password required|username and password not accep",
        r"gmail requires all senders|this mail is unauthenticated, which poses a security risk",
        r"out of storage space|our system has detected that this message|5\.7\.9\b",
        r"the email account that you tried to reach",
    ),
    *_w(
        "Amazon SES",
        r"email address is not verified|maximum sending rate exceeded|daily message quota exceeded|throttling failure",
        r"authentication credentials invalid \(|535 authentication credentials invalid",
    ),
    *_w(
        "SendGrid",
        r"verified sender identity|maximum credits exceeded|authorization grant is invalid|bad username / password",
    ),
    *_w("Brevo", r"535 5\.7\.0 invalid login or password"),
    *_w("Yahoo", r"\[tss?\d\d\]|delivery error: dd"),
    *_w("QQ Mail or NetEase", r"authorization (?:code|user)|\bdt:spm\b"),
    *_w("Mailgun", r"sandbox subdomains are for test"),
    *_w("Orange", r"ofr\d{3}_|adresse ip source bloquee"),
    *_w("La Poste", r"\blpn\d{3}_"),
    *_w("Mimecast", r"rejected by header based|internal resources are temporarily unavailable"),
    *_w("IONOS", r"reject due to policy restrictions"),
    *_w("Stalwart", r"550 5\.1\.2 mailbox does not exist"),
    *_w(_OTHER, r"administratively prohibited|5\.7\.1 \[bfd\]"),
)
"""How other mail servers word their answers (patterns over text in lower case)."""
