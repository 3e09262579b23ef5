"""How the sign-in service refuses: AADSTS codes, OAuth error words and sentences.

Texts after https://learn.microsoft.com/entra/identity-platform/reference-error-codes and recorded answers.
"""

from __future__ import annotations

import datetime as dt
import uuid

from starlette.responses import JSONResponse, Response

# AADSTS code -> OAuth error word, HTTP status, the service's sentence.
_REFUSALS: dict[int, tuple[str, int, str]] = {
    28000: (
        "invalid_request",
        400,
        "Provided value for the input parameter scope is not valid because it contains more than one resource. "
        "Scope {scope} is not valid.",
    ),
    50011: (
        "invalid_request",
        400,
        "The redirect URI '{asked}' specified in the request does not match the redirect URIs configured for the "
        "application '{app}'. Make sure the redirect URI sent in the request matches one added to your application in "
        "the Azure portal.",
    ),
    50034: (
        "invalid_grant",
        400,
        "The user account {{EUII Hidden}} does not exist in the {tenant} directory. To sign into this application, the "
        "account must be added to the directory.",
    ),
    50057: ("invalid_grant", 400, "The user account is disabled."),
    50058: ("login_required", 400, "A silent sign-in request was sent but no user is signed in."),
    50079: (
        "interaction_required",
        400,
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
        "enroll in multi-factor authentication.",
    ),
    50148: (
        "invalid_grant",
        400,
        "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.",
    ),
    50149: ("invalid_request", 400, "Invalid Code_Challenge_method parameter."),
    501481: (
        "invalid_grant",
        400,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    500112: (
        "invalid_client",
        401,
        "The reply address '{given}' does not match the reply address '{asked}' provided when requesting Authorization "
        "code.",
    ),
    54005: (
        "invalid_grant",
        400,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh "
        "token.",
    ),
    50126: ("invalid_grant", 400, "Error validating credentials due to invalid username or password."),
    65001: (
        "invalid_grant",
        400,
        "The user or administrator has not consented to use the application with ID '{app}' named '{name}'. Send an "
        "interactive authorization request for this user and resource.",
    ),
    65004: ("access_denied", 400, "User declined to consent to access the app."),
    700054: ("unsupported_response_type", 400, "response_type '{kind}' is not enabled for the application."),
    9002313: ("invalid_grant", 400, "Invalid request. Request is malformed or invalid."),
    70000: ("invalid_grant", 400, "The provided value for the input parameter '{parameter}' is not valid."),
    70008: (
        "invalid_grant",
        400,
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "
        "authorization request for this user and resource.",
    ),
    70016: (
        "authorization_pending",
        400,
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    70020: (
        "expired_token",
        400,
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    ),
    7000218: (
        "invalid_client",
        401,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    50013: ("invalid_grant", 400, "Assertion failed signature validation. [Reason - {reason}]"),
    50027: ("invalid_request", 400, "JWT token is invalid or malformed. {reason}"),
    70003: ("unsupported_grant_type", 400, "The app requested an unsupported grant type '{grant}'."),
    70011: (
        "invalid_scope",
        400,
        "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    ),
    70025: ("invalid_client", 401, "The client '{app}'({name}) has no configured federated identity credentials."),
    90002: (
        "invalid_request",
        400,
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    500011: (
        "invalid_resource",
        400,
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    ),
    700016: (
        "unauthorized_client",
        400,
        "Application with identifier '{app}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700021: (
        "invalid_client",
        401,
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at "
        "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
    ),
    700023: (
        "invalid_client",
        401,
        "Client assertion audience claim does not match Realm issuer. Review the documentation at "
        "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
    ),
    700024: (
        "invalid_client",
        401,
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start}, "
        "expiry time of assertion {end}.",
    ),
    700027: ("invalid_client", 401, "{what} [Reason - {reason}]"),
    900144: ("invalid_request", 400, "The request body must contain the following parameter: '{parameter}'."),
    7000215: (
        "invalid_client",
        401,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{app}'.",
    ),
    7000216: (
        "invalid_client",
        401,
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    7000222: (
        "invalid_client",
        401,
        "The provided client secret keys for app '{app}' are expired. Visit the Azure portal to create new keys for "
        "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
        "https://aka.ms/certCreds.",
    ),
}
_REFUSALS |= {
    code: (
        "invalid_client",
        401,
        f"No matching federated identity record found for presented assertion {word} '{{shown}}'. Please check your "
        "federated identity credential Subject, Audience and Issuer against the presented assertion.",
    )
    for code, word in ((700211, "issuer"), (700212, "audience"), (700213, "subject"))
}


class EntraRefusal(Exception):
    """One refusal of the token endpoint: AADSTS code, OAuth error word, HTTP status and the service's sentence."""

    def __init__(self, code: int, **facts: str) -> None:
        self.code = code
        self.error, self.status, text = _REFUSALS[code]
        super().__init__(f"AADSTS{code}: {text.format(**facts)}")

    def traced(self, now: dt.datetime, correlation_id: str, trace: str = "") -> str:
        """The sentence with its trace, as `error_description`."""
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        return f"{self} Trace ID: {trace or uuid.uuid4()} Correlation ID: {correlation_id} Timestamp: {stamp}"

    def response(self, now: dt.datetime, correlation_id: str) -> Response:
        """The body that the service sends, with its trace, in the recorded shape."""
        trace, stamp = str(uuid.uuid4()), now.strftime("%Y-%m-%d %H:%M:%SZ")
        body = {
            "error": self.error,
            "error_description": self.traced(now, correlation_id, trace),
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }
        return JSONResponse(body, self.status, headers={"Cache-Control": "no-store", "x-ms-request-id": trace})
