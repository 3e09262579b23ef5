"""The pages of the sign-in service that a browser opens: signing in for a client, entering a device code, signing out.

A person signs in with a name and a password, a script with the same fields in a form; one who has no password signs in
by the name alone. With the setting `signed_in_user` somebody is signed in in every browser, and no page asks.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from provisioner.sandbox import authorization, delegated
from provisioner.sandbox.authorization import Authorization, AuthorizationCodes
from provisioner.sandbox.delegated import DeviceCodes, User
from provisioner.sandbox.entra_discovery import known_tenant
from provisioner.sandbox.entra_refusals import EntraRefusal
from provisioner.sandbox.faults import facts
from provisioner.sandbox.tokens import find_app

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

_FIELDS = """<label>User <input name=username value="{user}"></label>
<label>Password (if the user has one) <input name=password type=password></label> <button>Sign in</button>"""
_DEVICE = '<form method=post><label>Code <input name=code value="{code}"></label> ' + _FIELDS + "</form>"
_SIGN_IN = "<form method=post>" + _FIELDS + " <button name=cancel value=1>Cancel</button></form>"


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent."""
    # parse_qsl, because Starlette's form() asks for another package even for urlencoded bodies.
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


class Pages:
    """The pages. `codes` and `devices` are shared with the token endpoint."""

    def __init__(self, tenant: Tenant, codes: AuthorizationCodes, devices: DeviceCodes) -> None:
        self._tenant, self._codes, self._devices = tenant, codes, devices

    def routes(self) -> list[Route]:
        """The routes, in lower case."""
        return [
            Route("/{tenant}/oauth2/v2.0/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/{tenant}/oauth2/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/{tenant}/oauth2/v2.0/logout", self.logout),
            Route("/{tenant}/oauth2/logout", self.logout),
            Route("/devicelogin", self.device, methods=["GET", "POST"]),
        ]

    def signed_in(self) -> User | None:
        """Who is signed in already (setting `signed_in_user`). Raises EntraRefusal."""
        name = self._tenant.settings.get("signed_in_user")
        return delegated.named_user(self._tenant, str(name)) if name else None

    # --- authorization codes ---

    async def authorize(self, request: Request) -> Response:
        """Where a client sends the browser of its user.

        A client that is unknown, or asks for another place than its own, sees no redirect: a person sees the refusal.
        """
        query = dict(request.query_params)
        form = await form_of(request) if request.method == "POST" else {}
        try:
            app = self._application(request.path_params["tenant"], query)
            address = authorization.redirect_of(app, query)
        except EntraRefusal as refusal:
            return _page(f"Sorry, but we’re having trouble signing you in. {refusal}", status=400)
        facts(request.scope)["caller"] = app["appId"]
        try:
            asked = authorization.asked_for(query, address, self._scope(request, query))
            user = self._user(app, asked, query, form)
        except EntraRefusal as refusal:
            return self._back(address, query.get("response_mode") or "query", self._refused(refusal, query))
        if isinstance(user, Response):
            return user
        return self._granted(asked, user)

    def _application(self, name: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        if not known_tenant(self._tenant, name):
            raise EntraRefusal(90002, tenant=name)
        client_id = query.get("client_id", "")
        if not client_id:
            raise EntraRefusal(900144, parameter="client_id")
        app = find_app(self._tenant, client_id) or delegated.first_party(client_id)
        if app is None:
            raise EntraRefusal(700016, app=client_id, tenant=self._tenant.display_name)
        return app

    def _scope(self, request: Request, query: Mapping[str, str]) -> str:
        """The scope; v1 names a resource, and its codes always bring a refresh token."""
        v1 = "/v2.0/" not in request.url.path.lower()
        name = "resource" if v1 else "scope"
        if not query.get(name):
            raise EntraRefusal(900144, parameter=name)
        return f"openid offline_access {query['resource']}/.default" if v1 else query["scope"]

    def _user(
        self, app: Mapping[str, Any], asked: Authorization, query: Mapping[str, str], form: Mapping[str, str]
    ) -> User | Response:
        """Who signs in, or the page that asks. Raises EntraRefusal for what the client is told."""
        wanted = delegated.asked_for(self._tenant, asked.scope)
        prompt = query.get("prompt", "")
        if form.get("cancel"):
            raise EntraRefusal(65004)
        user = None if prompt == "login" else self.signed_in()
        if form:
            try:
                user = delegated.user_at_page(self._tenant, form.get("username", ""), form.get("password", ""))
            except EntraRefusal as refusal:
                return _page(str(refusal), _SIGN_IN, user=form.get("username", ""), status=401)
        if user is None:
            if prompt == "none":
                raise EntraRefusal(50058)
            return _page("", _SIGN_IN, user=query.get("login_hint", ""))
        delegated.consented(app, wanted)
        return user

    def _granted(self, asked: Authorization, user: User) -> Response:
        answer = {"code": self._codes.give(asked, str(user["id"])), "session_state": str(uuid.uuid4())}
        if asked.client_info:
            answer["client_info"] = delegated.client_info(user, self._tenant.tenant_id)
        if asked.state:
            answer["state"] = asked.state
        return self._back(asked.redirect_uri, asked.response_mode, answer)

    def _refused(self, refusal: EntraRefusal, query: Mapping[str, str]) -> dict[str, str]:
        # Consent that a token request finds missing is one that the authorization endpoint would ask for.
        error = "consent_required" if refusal.code == 65001 else refusal.error
        answer = {"error": error, "error_description": refusal.traced(self._tenant.clock.now(), str(uuid.uuid4()))}
        return answer | ({"state": query["state"]} if query.get("state") else {})

    def _back(self, address: str, mode: str, answer: Mapping[str, str]) -> Response:
        """To the client, in the way that it asked for."""
        if mode == "form_post":
            fields = "".join(f'<input type=hidden name={n} value="{html.escape(v)}">' for n, v in answer.items())
            form = f'<form method=post action="{html.escape(address)}">{fields}<button>Continue</button></form>'
            script = "<script>document.forms[0].submit()</script>"
            return HTMLResponse(f"<!doctype html><title>Working...</title>{form}{script}")
        mark = "#" if mode == "fragment" else "&" if "?" in address else "?"
        return RedirectResponse(f"{address}{mark}{urlencode(answer)}", 302)

    # --- the others ---

    async def device(self, request: Request) -> Response:
        """Where the code of a device is entered."""
        if request.method == "GET":
            return _page("", _DEVICE, code=request.query_params.get("otc", ""))
        form = await form_of(request)
        try:
            user = delegated.user_at_page(self._tenant, form.get("username", ""), form.get("password", ""))
        except EntraRefusal as refusal:
            return _page(str(refusal), _DEVICE, status=401)
        if not self._devices.approve(form.get("code", ""), user):
            return _page("That code didn't work. Check the code and try again.", _DEVICE, status=400)
        return _page("You have signed in. You may close this window.")

    async def logout(self, request: Request) -> Response:
        """The sandbox keeps no session: there is nothing to end (OpenID Connect RP-Initiated Logout)."""
        address, state = (request.query_params.get(name, "") for name in ("post_logout_redirect_uri", "state"))
        if not address:
            return _page("You signed out of your account.")
        return RedirectResponse(f"{address}?{urlencode({'state': state})}" if state else address, 302)


def _page(said: str, form: str = "", *, status: int = 200, user: str = "", code: str = "") -> Response:
    shown = form.format(user=html.escape(user), code=html.escape(code))
    return HTMLResponse(f"<!doctype html><title>Sandbox sign-in</title><p>{html.escape(said)}</p>{shown}", status)
