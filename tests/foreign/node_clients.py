"""Node.js: nodemailer by the service's own host name through its proxy setting, and the CLI for Microsoft 365."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.foreign.tenant import ADMINISTRATOR, MAILBOX, PASSWORD, Missing, program, run

_NODEMAILER = """
const nodemailer = require("nodemailer");
const transport = nodemailer.createTransport({
  host: "smtp.office365.com", port: 587, secure: false, requireTLS: true,
  proxy: process.env.HTTPS_PROXY, auth: { user: process.env.MAIL_USER, pass: process.env.MAIL_PASSWORD },
});
(async () => {
  await transport.verify();
  const sent = await transport.sendMail({
    from: process.env.MAIL_USER, to: process.env.MAIL_TO, subject: "nodemailer", text: "Invoice 4711." });
  process.stdout.write(sent.response);
})().catch((error) => { console.error(error); process.exit(1); });
"""


def clients(modules: Path) -> dict[str, Callable[[Mapping[str, str], Path], list[str]]]:
    """The clients of a node_modules folder."""

    def package(name: str) -> str:
        """Its version. Raises Missing."""
        try:
            return str(json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["version"])
        except OSError:
            raise Missing(f"{modules} has no {name}") from None

    def nodemailer(environment: Mapping[str, str], folder: Path) -> list[str]:
        release, node = package("nodemailer"), program("node")
        mail = {"MAIL_USER": MAILBOX, "MAIL_PASSWORD": PASSWORD, "MAIL_TO": ADMINISTRATOR, "NODE_PATH": str(modules)}
        said = run([node, "-e", _NODEMAILER], {**environment, **mail}, folder)
        assert said.startswith("250 2.0.0 OK"), said
        return [f"nodemailer {release}: verify and sendMail to smtp.office365.com:587 through the proxy"]

    def m365(environment: Mapping[str, str], folder: Path) -> list[str]:
        release, found = package("@pnp/cli-microsoft365"), [program("node"), str(modules / ".bin" / "m365")]
        own = {**environment, "HOME": str(folder), "CLIMICROSOFT365_NOUPDATE": "1"}

        def ask(*words: str) -> str:
            return run([*found, *words], own, folder)

        ask("login", "--authType", "secret", "--appId", environment["AZURE_CLIENT_ID"], "--tenant",
            environment["AZURE_TENANT_ID"], "--secret", environment["AZURE_CLIENT_SECRET"])  # fmt: skip
        ask("logout")
        ask("login", "--authType", "certificate", "--appId", environment["AZURE_CLIENT_ID"], "--tenant",
            environment["AZURE_TENANT_ID"], "--certificateFile", environment["SANDBOX_CERTIFICATE_FILE"])  # fmt: skip
        groups = json.loads(ask("entra", "group", "list", "--output", "json"))
        assert [group["displayName"] for group in groups] == ["Printers"], groups
        apps = json.loads(ask("entra", "app", "list", "--output", "json"))
        assert {"tool", "inventory"} <= {app["displayName"] for app in apps}, apps
        users = json.loads(ask("entra", "user", "list", "--output", "json"))
        assert len(users) >= 27, users
        url = f"https://outlook.office365.com/adminapi/beta/{environment['AZURE_TENANT_ID']}/InvokeCommand"
        body = json.dumps({"CmdletInput": {"CmdletName": "Get-InboundConnector", "Parameters": {}}})
        rows = json.loads(ask("request", "--url", url, "--method", "post", "--resource", "https://outlook.office365.com",
                              "--content-type", "application/json", "--body", body, "--output", "json"))  # fmt: skip
        assert [row["Name"] for row in rows["value"]] == ["hq"], rows
        return [f"@pnp/cli-microsoft365 {release}: login by secret and certificate, users, groups, apps, a cmdlet"]

    return {"nodemailer": nodemailer, "m365": m365}
