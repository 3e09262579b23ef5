"""What a device proves itself with, for a program that speaks in its place: a password, or a token of its own.

Secrets are references (`env:NAME`, `file:PATH`) from options or from the profile's `devices`, never from a plan. An
OAuth device signs in as its own application: the profile's may be an administrator's, and proves nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model.clouds import Cloud
from provisioner.model.devices import Device
from provisioner.operations.context import Context
from provisioner.settings import Credential, DeviceSecrets, reference
from provisioner.tenant.credentials import Tokens, make_credential, secret_value
from provisioner.tenant.network import Network

_OAUTH = "--client-secret env:NAME or file:PATH, or secret under devices in the profile"
_TOKEN = "--token env:NAME or file:PATH, with an access token of that person"  # noqa: S105 - advice, not a token


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line names; None is what the profile says about the device, and else the plan.

    `token` is where an access token is that a person got: nobody can sign in for a person.
    """

    password: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token: str | None = None


async def secret_of(
    context: Context, device: Device, user: str, authentication: str, given: Given, cloud: Cloud
) -> str:
    """The password of a device, or a token from the authority of `cloud`.

    Raises InputError where a secret is missing, SignInRefused where the sign-in service gives no token.
    """
    known = context.profile.devices.get(device.name, DeviceSecrets())
    if authentication != "oauth":
        return _password(user, given.password, known.password)
    token = _referred("--token", given.token) or known.token
    if token is not None:
        return secret_value(token)
    if device.oauth == "user":
        what = f"{device.address} signs in with the token of a person, and no token is given"
        raise InputError([Diagnostic("TOKEN-MISSING", what, _TOKEN)])
    return await _token(context, device, given, known, cloud)


def _password(user: str, given: str | None, known: str | None) -> str:
    found = _referred("--password", given) or known
    if found is None:
        what = f"the device signs in as {user}, and no password is given"
        hint = "give --password env:NAME or --password file:PATH, or write password under devices in the profile"
        raise InputError([Diagnostic("PASSWORD-MISSING", what, hint)])
    return secret_value(found)


def _referred(option: str, text: str | None) -> str | None:
    """A reference from the command line; the message never repeats what stands in its place."""
    try:
        return reference(text) if text is not None else None
    except ValueError:
        what = f"{option} needs a reference, not the secret itself"
        raise InputError([Diagnostic("PASSWORD-MISPLACED", what, "write env:NAME or file:PATH")]) from None


async def _token(context: Context, device: Device, given: Given, known: DeviceSecrets, cloud: Cloud) -> str:
    """A token for the device's own application."""
    profile = context.profile
    client = given.client_id or known.client_id or device.client_id
    secret = _referred("--client-secret", given.client_secret) or known.secret
    if not client:
        what = f"{device.address} signs in with OAuth, and no client id is given"
        hint = "give --client-id, or write client_id under devices in the profile, or oauth.client_id in the plan"
        raise InputError([Diagnostic("CLIENT-ID-MISSING", what, hint)])
    credential = Credential(kind="client_secret", client_id=client, secret=secret)
    if secret is None:
        if client != profile.credential.client_id:
            what = f"{device.address} signs in as the application {client}, and no client secret is given"
            hint = _OAUTH if device.oauth else f"{_OAUTH}; or, for a person's sign-in, {_TOKEN}"
            raise InputError([Diagnostic("CLIENT-SECRET-MISSING", what, hint)])
        credential = profile.credential
    if profile.tenant is None:
        what = f"{device.address} signs in with OAuth, and no profile says to which tenant"
        raise InputError([Diagnostic("TENANT-MISSING", what, "give --profile")])
    authority = profile.endpoints.authority or cloud.authority
    of_device = profile.model_copy(update={"credential": credential})
    tokens = Tokens(make_credential(of_device, authority, profile.endpoints.authority is not None, Network.of(profile)))
    try:
        return await tokens.token(cloud.mail_scope)
    finally:
        await tokens.close()
