"""The Exchange Online module of the management host: who it is signed in as, and how it signs in.

`Connect-ExchangeOnline` takes an application and its certificate: from the host's store by thumbprint, or from a file
with a password (Connect-ExchangeOnline, office-docs-powershell). What it refuses it refuses with the words of .NET or
of the module, as far as they are published.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.sandbox import psrp_module
from provisioner.sandbox.cmdlets import Caller, CmdletError
from provisioner.sandbox.tenant import Tenant

_KNOWN = frozenset({
    "AppId", "Organization", "CertificateThumbprint", "CertificateFilePath", "CertificatePassword", "ShowBanner",
    "SkipLoadingFormatData", "SkipLoadingCmdletHelp", "CommandName", "ErrorAction", "WarningAction", "Verbose",
    "LoadCmdletHelp", "PageSize", "LogDirectoryPath", "LogLevel", "TrackPerformance", "EnableErrorReporting",
    "UseMultithreading", "BypassMailboxAnchoring", "DisableWAM",
})  # fmt: skip
_NOT_MODELLED = frozenset({
    "accesstoken", "azureadauthorizationendpointuri", "certificate", "connectionuri", "credential",
    "delegatedorganization", "device", "exchangeenvironmentname", "formattypename", "inlinecredential",
    "managedidentity", "managedidentityaccountid", "prefix", "signingcertificate", "userprincipalname",
})  # fmt: skip
"""What Connect-ExchangeOnline takes besides (its page)."""


class ExchangeConnection:
    """One session's connection to Exchange Online."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._app_id = ""

    @property
    def connected(self) -> bool:
        """Whether Exchange's cmdlets are there."""
        return bool(self._app_id)

    def use(self, display_name: str) -> None:
        """Be connected as the application of this name, as a JEA endpoint's start-up does."""
        app = next((a for a in self._tenant.apps if a["displayName"] == display_name), None)
        self._app_id = str(app["appId"]) if app else ""

    def information(self) -> list[Any]:
        """Get-ConnectionInformation: nothing where the session is not connected."""
        if not self._app_id:
            return []
        until = self._tenant.clock.now() + dt.timedelta(hours=1)
        return [psrp_module.connection(self._app_id, self._tenant.tenant_id, self._tenant.initial_domain, until)]

    def disconnect(self) -> None:
        """Disconnect-ExchangeOnline."""
        self._app_id = ""

    def caller(self) -> Caller:
        """Whom Exchange sees; roles are those of now."""
        app = next((a for a in self._tenant.apps if str(a["appId"]) == self._app_id), None)
        if app is None:
            return Caller("")
        cmdlets = app.get("exchangeRoles")
        return Caller(
            self._app_id,
            str(app["displayName"]),
            tuple(app["directoryRoles"]),
            None if cmdlets is None else tuple(cmdlets),
        )

    def lacking(self, parameters: Mapping[str, Any]) -> str:
        """What of Connect-ExchangeOnline is not modelled here; "" for nothing."""
        left = [name for name in parameters if name.lower() in _NOT_MODELLED]
        return f"the parameter {', '.join(f'-{name}' for name in left)} of Connect-ExchangeOnline" if left else ""

    def connect(self, parameters: Mapping[str, Any]) -> None:
        """Connect-ExchangeOnline. Raises CmdletError."""
        given = {name.lower(): value for name, value in parameters.items()}
        unknown = sorted(set(given) - {name.lower() for name in _KNOWN})
        if unknown:
            text = f"A parameter cannot be found that matches parameter name '{unknown[0]}'."
            raise CmdletError("System.Management.Automation.ParameterBindingException", text)
        app = next((a for a in self._tenant.apps if str(a["appId"]).lower() == str(given.get("appid")).lower()), None)
        if app is None:
            raise _refused(
                f"AADSTS700016: Application with identifier '{given.get('appid')}' was not found in the directory."
            )
        if str(given.get("organization", "")).lower() != self._tenant.initial_domain.lower():
            raise _refused("AADSTS90002: Tenant not found. Check to make sure you have the correct tenant ID.")
        if not self._proved(app, given):
            raise _refused("AADSTS700027: The certificate with identifier used to sign the client assertion is not "
                           "registered on application.")  # fmt: skip
        self._app_id = str(app["appId"])

    def _proved(self, app: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        registered = {
            x509.load_pem_x509_certificate(row["pem"].encode()).public_bytes(Encoding.DER)
            for row in app["certificates"]
        }
        if given.get("certificatethumbprint"):
            wanted = str(given["certificatethumbprint"]).upper()
            return wanted in {hashlib.sha1(der, usedforsecurity=False).hexdigest().upper() for der in registered}
        return _from_file(given) in registered


def _from_file(given: Mapping[str, Any]) -> bytes:
    """The certificate of a PKCS #12 file on the host. Raises CmdletError with .NET's words."""
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    path = str(given.get("certificatefilepath", ""))
    try:
        content = Path(path).read_bytes()
    except OSError:
        text = f"Could not find file '{path}'."
        raise CmdletError("System.IO.FileNotFoundException", text, "ObjectNotFound") from None
    try:
        _, certificate, _ = pkcs12.load_key_and_certificates(
            content, str(given.get("certificatepassword", "")).encode()
        )
    except ValueError:
        text = "The specified network password is not correct."
        raise CmdletError("System.Security.Cryptography.CryptographicException", text, "NotSpecified") from None
    return certificate.public_bytes(Encoding.DER) if certificate else b""


def _refused(text: str) -> CmdletError:
    return CmdletError("Microsoft.Identity.Client.MsalServiceException", text, "NotSpecified")
