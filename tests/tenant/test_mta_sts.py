"""Whose certificate a policy host must show, wherever it is reached (RFC 8461, 3.3)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import trustme
from aiohttp import web

from provisioner.mail_dns.mta_sts import Fetched, PolicyHost
from provisioner.settings import Profile
from provisioner.tenant.mta_sts import open_policy_hosts


async def policy(_: web.Request) -> web.Response:
    return web.Response(text="version: STSv1")


async def fetched(folder: Path, *certified: str) -> Fetched:
    """What is fetched from a host on this machine with a certificate for these names."""
    authority, ca = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*certified).configure_cert(context)
    app = web.Application()
    app.router.add_get("/.well-known/mta-sts.txt", policy)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        profile = Profile.model_validate(
            {"tenant": "contoso.onmicrosoft.com", "ca": str(ca), "endpoints": {"mta_sts": address}}
        )
        async with open_policy_hosts(profile) as hosts:
            return await hosts.fetch(PolicyHost("contoso.com", "1", ("127.0.0.1",)))
    finally:
        await runner.cleanup()


def test_the_certificate_is_that_of_the_policy_host_and_not_of_the_address(tmp_path: Path) -> None:
    assert asyncio.run(fetched(tmp_path, "mta-sts.contoso.com")).status == 200
    refused = asyncio.run(fetched(tmp_path, "127.0.0.1", "mta-sts.fabrikam.com"))
    assert refused.status == 0
    assert "the certificate of mta-sts.contoso.com is not trusted (Hostname mismatch" in refused.failure
