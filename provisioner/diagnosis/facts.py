"""What a text tells by the way: who signed in, from which address, in whose name, to whom. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.model.clouds import MAIL_DOMAINS

EMAIL = r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9\-.]{0,250}[A-Za-z0-9])?"
_SEND_AS = re.compile(rf"({EMAIL}) not allowed to send as ({EMAIL})", re.IGNORECASE)
_LOGIN = re.compile(
    rf"\b(?:user(?:name)?|login|account|auth(?:enticating)?(?: as| user)?)\W{{1,4}}({EMAIL})", re.IGNORECASE
)
_FROM = re.compile(
    rf"(?:\bMAIL FROM:\s*<?|\bfrom=<?|(?:^|\s)From:[^<\n]{{0,80}}<?|\bsender[=:]\s*<?)({EMAIL})", re.IGNORECASE
)
_TO = re.compile(rf"(?:\bRCPT TO:\s*<?|(?<![a-z])to=<?|\bFinal-Recipient:\s*rfc822;\s*<?)({EMAIL})", re.IGNORECASE)
_OWN_IP = re.compile(
    r"(?:Hello|banned sending IP|Client host|mail server|messages from|try again later from|IPv6 address)\W*"
    r"\[([0-9A-Fa-f:.]{3,45})\]",
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    r"sending domain \[?([A-Za-z0-9](?:[A-Za-z0-9.\-]{0,240}[A-Za-z0-9])?\.[A-Za-z]{2,24})\b", re.IGNORECASE
)
_HOST = re.compile(
    rf"(?<![a-z0-9\-.])((?:[a-z0-9\-]{{1,63}}\.){{1,8}}(?:{'|'.join(map(re.escape, MAIL_DOMAINS))}))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the text tells by the way; "" where it does not. Addresses in lower case, `ip` a public address."""

    mailbox: str = ""
    sender: str = ""
    recipient: str = ""
    ip: str = ""
    domain: str = ""
    host: str = ""


NOTHING_TOLD = Facts()


def facts_of(lines: Sequence[str]) -> Facts:
    text = "\n".join(lines)
    send_as = _SEND_AS.search(text)
    sender = send_as[2] if send_as else _first(_FROM, text)
    mailbox = send_as[1] if send_as else (_first(_LOGIN, text) or _typed_user(lines))
    domain = _first(_DOMAIN, text) or sender.rpartition("@")[2]
    return Facts(
        mailbox=mailbox.lower(),
        sender=sender.lower(),
        recipient=_first(_TO, text).lower(),
        ip=_own_ip(text),
        domain=domain.lower(),
        host=_first(_HOST, text).lower(),
    )


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _typed_user(lines: Sequence[str]) -> str:
    """The user name of an AUTH LOGIN dialogue: the line after the server's "Username:". The password is never read."""
    for question, answer in itertools.pairwise(lines):
        if "334 VXNlcm5hbWU6" not in question:
            continue
        try:
            user = base64.b64decode(answer.split()[-1], validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, IndexError, ValueError):
            continue
        if re.fullmatch(EMAIL, user):
            return user
    return ""


def addresses(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for found in re.findall(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|(?<=\[)[0-9a-fA-F:]{4,39}(?=\])", text):
        try:
            yield ipaddress.ip_address(found)
        except ValueError:
            continue


def _own_ip(text: str) -> str:
    """The address that the server saw: where it names it. Private addresses are nobody's out there."""
    for found in _OWN_IP.findall(text):
        try:
            ip = ipaddress.ip_address(found)
        except ValueError:
            continue
        inside = ip.is_loopback or ip.is_link_local or any(ip in n for n in _PRIVATE if n.version == ip.version)
        if not inside and not ip.is_unspecified:
            return str(ip)
    return ""


_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
