"""Mail programs: client submission with a password, and mail straight to the MX host. They take host, port and CA."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.foreign.tenant import ADMINISTRATOR, CUSTOMER, MAILBOX, PASSWORD, Missing, address, program, run

_MAIL = f"From: {MAILBOX}\nTo: {ADMINISTRATOR}\nSubject: {{}}\n\nInvoice 4711.\n"


def _first(text: str) -> str:
    return text.splitlines()[0].strip()


def swaks(environment: Mapping[str, str], folder: Path) -> list[str]:
    """AUTH LOGIN over STARTTLS with a verified certificate; direct send to the MX host."""
    found = program("swaks")
    if "=== TLS supported" not in run([found, "--support"], environment, folder):
        raise Missing("swaks has no TLS here: Net::SSLeay is not installed (libnet-ssleay-perl)")
    trust = ["--tls", "--tls-verify", "--tls-ca-path", environment["SSL_CERT_FILE"]]
    ends = ["--from", MAILBOX, "--to", ADMINISTRATOR]
    host, port = address(environment, "SMTP_SUBMISSION")
    said = run(
        [found, "--server", host, "--port", str(port), *trust, *ends, "--auth", "LOGIN", "--auth-user", MAILBOX,
         "--auth-password", PASSWORD, "--header", "Subject: swaks"], environment, folder,
    )  # fmt: skip
    assert "235 2.7.0 Authentication successful" in said, said
    host, port = address(environment, "SMTP_MX")
    elsewhere = ["--local-interface", "127.0.0.2"]  # an address that no connector knows
    said = run([found, "--server", host, "--port", str(port), *trust, *ends, *elsewhere], environment, folder)
    assert " 250 2.6.0 " in said, said
    release = _first(run([found, "--version"], environment, folder)).removeprefix("swaks version ")
    return [f"swaks {release}: AUTH LOGIN over verified STARTTLS, direct send"]


def msmtp(environment: Mapping[str, str], folder: Path) -> list[str]:
    """A configuration file as a server has it, with the name of the host checked."""
    found = program("msmtp")
    host, port = address(environment, "SMTP_SUBMISSION")
    settings = folder / "msmtprc"
    settings.write_text(
        f"account default\nhost {host}\nport {port}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {environment['SSL_CERT_FILE']}\nauth login\nuser {MAILBOX}\npassword {PASSWORD}\n"
        f"from {MAILBOX}\n",
        encoding="utf-8",
    )
    settings.chmod(0o600)
    run([found, "--file", str(settings), ADMINISTRATOR], environment, folder, _MAIL.format("msmtp"))
    info = run([found, "--file", str(settings), "--serverinfo", "--host", host, "--port", str(port), "--tls=on",
                "--tls-trust-file", environment["SSL_CERT_FILE"]], environment, folder)  # fmt: skip
    assert "STARTTLS" in info, info
    release = _first(run([found, "--version"], environment, folder)).split()[2]
    return [f"msmtp {release}: AUTH LOGIN over verified STARTTLS, --serverinfo"]


_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = relay.contoso.com
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
mydestination =
relayhost = [{host}]:{port}
transport_maps = inline:{{ fabrikam.example=smtp:[{mx_host}]:{mx_port} }}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{folder}/sasl
smtp_sasl_mechanism_filter = login
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = smtp.office365.com
smtp_tls_CAfile = {ca}
alias_maps =
"""
_MASTER = """
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n -  0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -  - trivial-rewrite
bounce    unix  - - n -  0 bounce
defer     unix  - - n -  0 bounce
trace     unix  - - n -  0 bounce
smtp      unix  - - n -  - smtp
error     unix  - - n -  - error
retry     unix  - - n -  - error
scache    unix  - - n -  1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def _postfix(folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """A Postfix of its own, with queue and log in the folder; its configuration directory."""
    config = folder / "postfix"
    owner = pwd.getpwnam("postfix").pw_uid
    for place in (config, config / "queue", config / "data"):
        place.mkdir()
    os.chown(config / "data", owner, -1)
    host, port = address(environment, "SMTP_SUBMISSION")
    mx_host, mx_port = address(environment, "SMTP_MX")
    values = {"folder": config, "host": host, "port": port, "ca": environment["SSL_CERT_FILE"]}
    values |= {"mx_host": mx_host, "mx_port": mx_port}
    (config / "main.cf").write_text(_MAIN.format(**values), encoding="utf-8")
    (config / "master.cf").write_text(_MASTER, encoding="utf-8")
    (config / "sasl").write_text(f"[{host}]:{port} {MAILBOX}:{PASSWORD}\n", encoding="utf-8")
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and place != Path("/") and place.name != "tmp":
            place.chmod(place.stat().st_mode | 0o011)  # its processes run as another user
    command = [program("postfix"), "-c", str(config)]
    started = subprocess.run([*command, "start"], capture_output=True, text=True, timeout=60, check=False)
    assert started.returncode == 0, started.stderr
    try:
        yield config
    finally:
        subprocess.run([*command, "stop"], capture_output=True, timeout=60, check=False)


def postfix(environment: Mapping[str, str], folder: Path) -> list[str]:
    """A relay that submits mail with a password, and hands what goes outside to the MX host, by a connector.

    Both over TLS, with the name of the host verified (`smtp_tls_security_level = secure`).
    """
    program("postfix")
    if os.getuid() != 0:
        raise Missing("only root starts Postfix")
    with _postfix(folder, environment) as config:
        for recipient in (ADMINISTRATOR, CUSTOMER):
            command = ["/usr/sbin/sendmail", "-C", str(config), "-f", MAILBOX, recipient]
            run(command, {"MAIL_CONFIG": str(config)}, folder, _MAIL.format("postfix"))
        for _ in range(100):
            log = (config / "mail.log").read_text(encoding="utf-8") if (config / "mail.log").exists() else ""
            if log.count("status=") == 2:
                break
            time.sleep(0.2)
        assert log.count("status=sent (250 2.") == 2, log[-1500:]
    release = run([program("postconf"), "-d", "-h", "mail_version"], {}, folder).strip()
    return [f"Postfix {release}: a relay over TLS with a verified name: AUTH LOGIN, and a connector by address"]


CLIENTS = {"swaks": swaks, "msmtp": msmtp, "postfix": postfix}
