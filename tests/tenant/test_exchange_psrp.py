"""Exchange over remote PowerShell: the product's adapter with pypsrp, against the sandbox's management host.

What must be alike over both transports is asked over both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from provisioner.changes import changeset
from provisioner.diagnostics import (
    InputError,
    Malformed,
    NotFound,
    PermissionMissing,
    Refused,
    SignInRefused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, Cmdlet, Delta, Parameter, Secret
from provisioner.settings import Profile
from provisioner.tenant import exchange_psrp, psrp_library, threads
from provisioner.tenant.connect import connect
from provisioner.tenant.exchange_psrp import PsrpExchange
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.retry import Retry
from tests.clocks import until
from tests.local_tenant import FRONT_OF, TRANSPORTS, LocalTenant, connected, sandbox

pytestmark = pytest.mark.part(0.5)

ROW_VALUES: dict[str, Any] = {
    "XUnicode": "Grüße aus 東京 😀 ‮",
    "XMarkup": "<a href=\"x\">&amp; 'q'</a>",
    "XControl": "tab\tbell\x07null-ish\x01 line\nend",
    "XEscaped": "_x0041_ is not A",
    "XEmpty": "",
    "XNull": None,
    "XTrue": True,
    "XLarge": 2**40,
    "XNegative": -(2**33),
    "XFloat": 1.5,
    "XNone": [],
    "XOne": ["only"],
    "XMany": ["a", "b", ""],
    "XNested": {"Outer": {"Inner": ["x", None, 3]}, "Flag": False},
    "WhenChanged": "2026-07-14T18:54:40.7066975Z",
}
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "InboundConnector": [{"Name": "values", "SenderIPAddresses": ["203.0.113.5"], **ROW_VALUES}],
    },
    "mailboxes": [{"address": "erp@contoso.com"}, {"count": 120, "domain": "contoso.com", "prefix": "m"}],
}
MAILBOXES = [f"m{n:05d}@contoso.com" for n in range(1, 121)]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("psrp")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED, allow_unicode=True))
    with sandbox(folder / "state", folder / "seed.yaml", lag=0) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults(tenant: LocalTenant) -> Iterator[None]:
    yield
    tenant.control("DELETE", "/faults")
    tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_max_shells_per_user": 30}})


def profile_of(tenant: LocalTenant, transport: str = "psrp", **psrp: Any) -> Profile:
    """The profile with other values in its `psrp` table."""
    profile = tenant.profile(transport)
    return profile.model_copy(update={"psrp": type(profile.psrp)(**{**profile.psrp.model_dump(), **psrp})})


def run(profile: Profile, *cmdlets: Cmdlet) -> list[Answer | BaseException]:
    """Ask for all at the same moment, in a session of their own."""

    async def ask() -> list[Answer | BaseException]:
        async with connect(profile) as ports:
            return await asyncio.gather(*(ports.exchange.run(c) for c in cmdlets), return_exceptions=True)

    return asyncio.run(ask())


def one(profile: Profile, cmdlet: Cmdlet) -> Answer:
    found = run(profile, cmdlet)[0]
    if isinstance(found, BaseException):
        raise found
    return found


def set_auth(mailbox: str, disabled: bool | None) -> Cmdlet:
    return Cmdlet("Set-CASMailbox", {"Identity": mailbox, "SmtpClientAuthenticationDisabled": disabled})


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.one_of("transport")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ROW_VALUES)
def test_a_row_s_value_comes_as_it_is_kept(tenant: LocalTenant, transport: str, name: str) -> None:
    row = one(tenant.profile(transport), Cmdlet("Get-InboundConnector", {"Identity": "values"})).rows[0]
    assert json.dumps(row[name], sort_keys=True) == json.dumps(ROW_VALUES[name], sort_keys=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rows_have_the_columns_asked_for_and_what_names_them(tenant: LocalTenant, transport: str) -> None:
    asked = Cmdlet("Get-InboundConnector", {"Identity": "values"}, frozenset({"Enabled", "NoSuchColumn"}))
    (row,) = one(tenant.profile(transport), asked).rows
    assert set(row) == {"Enabled", "Identity", "Name", "Guid", "Id"}


def test_a_row_is_the_same_over_both_transports(tenant: LocalTenant) -> None:
    asked = Cmdlet("Get-InboundConnector", {"Identity": "values"})
    rest, psrp = (one(tenant.profile(t), asked).rows[0] for t in TRANSPORTS)
    assert rest == psrp


SENT: list[tuple[Parameter, Any]] = [
    ("Grüße 東京 😀", "Grüße 東京 😀"),
    ("<&>\"'`$(x)", "<&>\"'`$(x)"),
    ("tab\tbell\x07 line\nend", "tab\tbell\x07 line\nend"),
    ("_x0041_", "_x0041_"),
    ("", ""),
    (2**40, 2**40),
    (-(2**31), -(2**31)),
    (7, 7),
    (True, True),
    (False, False),
    (None, None),
    ((), []),
    (("only",), ["only"]),
    (("a", "b"), ["a", "b"]),
    (Delta(add=("a", "<&>")), {"Add": ["a", "<&>"]}),
    (Delta(add=("a",), remove=("b", "c")), {"Add": ["a"], "Remove": ["b", "c"]}),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_parameters_arrive_as_they_were_sent(tenant: LocalTenant, transport: str) -> None:
    seen = len(tenant.requests(FRONT_OF[transport]))
    # An identity that nobody has: each is refused, after it has been logged as it came.
    run(tenant.profile(transport), *(Cmdlet("Set-InboundConnector", _numbered(n, v)) for n, (v, _) in enumerate(SENT)))
    came = {
        r["parameters"]["Identity"]: r["parameters"]["Comment"] for r in tenant.requests(FRONT_OF[transport])[seen:]
    }
    for number, (_, expected) in enumerate(SENT):
        arrived = _without_sidecars(came[f"nobody-{number}"])
        assert (type(arrived), arrived) == (type(expected), expected)


def _numbered(number: int, value: Parameter) -> dict[str, Parameter]:
    return {"Identity": f"nobody-{number}", "Comment": value}


def _without_sidecars(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_sidecars(v) for k, v in value.items() if "@" not in k}
    return [_without_sidecars(v) for v in value] if isinstance(value, list) else value


# --- output that is not an answer ----------------------------------------------------------------------------------


def fault(tenant: LocalTenant, cmdlet: str, **do: Any) -> None:
    tenant.control("POST", "/faults", [{"front": "psrp", "match": {"cmdlet": cmdlet}, "times": None, "do": do}])


@pytest.mark.part(1)
@pytest.mark.parametrize("state", ["Failed", "Stopped"])
def test_a_pipeline_that_ends_without_an_error_record_is_never_an_empty_answer(tenant: LocalTenant, state: str) -> None:
    fault(tenant, "Get-InboundConnector", end=state)
    fault(tenant, "New-InboundConnector", end=state)
    profile, seen = profile_of(tenant, runspaces=1), tenant.seen()
    first, read = run(profile, Cmdlet("Get-AcceptedDomain"), Cmdlet("Get-InboundConnector"))
    assert isinstance(first, Answer)
    assert isinstance(read, Malformed)
    (write,) = run(profile, Cmdlet("New-InboundConnector", {"Name": "x"}))
    assert isinstance(write, Unclear)
    assert sum(r["cmdlet"] == "New-InboundConnector" for r in tenant.requests("psrp", seen)) == 1


@pytest.mark.parametrize("value", [1, 7, "text", None, True], ids=str)
def test_output_that_is_not_an_object_spoils_its_own_cmdlet_only(tenant: LocalTenant, value: Any) -> None:
    fault(tenant, "Get-InboundConnector", rows=[value])
    asked = (Cmdlet("Get-InboundConnector"), Cmdlet("Get-AcceptedDomain"), Cmdlet("Get-TransportConfig"))
    spoilt, domains, transport = run(profile_of(tenant, runspaces=1), *asked)
    assert isinstance(spoilt, Malformed)
    assert isinstance(domains, Answer)
    assert {row["DomainName"] for row in domains.rows} == {"contoso.com", "contoso.onmicrosoft.com"}
    assert isinstance(transport, Answer)
    assert "SmtpClientAuthenticationDisabled" in transport.rows[0]


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_errors_are_the_same_exceptions_over_both(tenant: LocalTenant, transport: str) -> None:
    profile = tenant.profile(transport)
    missing, unknown, enum, duplicate = run(
        profile,
        Cmdlet("Get-CASMailbox", {"Identity": "nobody@contoso.com"}),
        Cmdlet("Get-InboundConnector", {"Bogus": "x"}),
        Cmdlet("New-InboundConnector", {"Name": "x", "ConnectorType": "Sideways", "SenderDomains": ("*",)}),
        Cmdlet("New-InboundConnector", {"Name": "values", "ConnectorType": "OnPremises", "SenderDomains": ("*",)}),
    )
    assert isinstance(missing, NotFound)
    assert missing.service_type.endswith("ManagementObjectNotFoundException")
    assert missing.request_id
    assert "nobody@contoso.com" in missing.summary
    assert isinstance(unknown, Refused)
    assert "Bogus" in unknown.summary
    assert isinstance(enum, Refused)
    assert "Sideways" in enum.summary
    assert isinstance(duplicate, Refused)
    assert "already exists" in duplicate.summary
    assert {e.exit_code for e in (missing, unknown, enum, duplicate)} == {1}


def test_a_cmdlet_that_the_session_does_not_show_names_role_and_endpoint(tenant: LocalTenant) -> None:
    found = run(tenant.profile("psrp"), Cmdlet("Get-SharingPolicy", {}))[0]
    assert isinstance(found, PermissionMissing)
    assert "does not show Get-SharingPolicy" in str(found)
    assert "JEA role" in found.hint
    assert "Exchange Server" in found.hint


def test_a_reader_may_not_write(tenant: LocalTenant) -> None:
    found = run(tenant.profile("psrp", app="reader_app"), set_auth("erp@contoso.com", True))[0]
    assert isinstance(found, PermissionMissing)


def test_a_warning_is_told(tenant: LocalTenant) -> None:
    for transport in TRANSPORTS:
        profile = tenant.profile(transport)
        one(profile, set_auth("erp@contoso.com", True))
        again = one(profile, set_auth("erp@contoso.com", True))
        assert any("no settings of" in w for w in again.warnings)


def test_a_non_terminating_error_is_an_error(tenant: LocalTenant) -> None:
    """pypsrp's had_errors stays false for these: the pipeline has completed."""
    for transport in TRANSPORTS:
        fault = {"front": FRONT_OF[transport], "match": {"cmdlet": "Get-CASMailbox"}}
        tenant.control("POST", "/faults", [{**fault, "do": {"adminapi_errors": ["the mailbox is corrupt"]}}])
        found = run(tenant.profile(transport), Cmdlet("Get-CASMailbox", {"Identity": "erp@contoso.com"}))[0]
        assert isinstance(found, Refused)
        assert "the mailbox is corrupt" in found.summary


@pytest.mark.part(1)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_error_beside_a_success_is_told_from_a_refusal(tenant: LocalTenant, transport: str) -> None:
    rule = {"front": FRONT_OF[transport], "match": {"cmdlet": "Set-CASMailbox"}, "times": 1}
    tenant.control("POST", "/faults", [{**rule, "do": {"adminapi_errors": ["Something went wrong."]}}])
    profile, seen = tenant.profile(transport), tenant.seen()
    beside, refused = (run(profile, set_auth(m, True))[0] for m in ("erp@contoso.com", "nobody@contoso.com"))
    assert isinstance(beside, Refused)
    assert beside.beside_success
    assert len(tenant.writes(since=seen)) == 1
    assert isinstance(refused, NotFound)
    (unknown,) = run(profile, Cmdlet("New-InboundConnector", {"Name": "x", "ConnectorType": "Sideways"}))
    assert isinstance(unknown, Refused)
    assert not unknown.beside_success


@pytest.mark.part(1)
def test_a_listing_that_was_cut_is_an_error_and_no_short_list(tenant: LocalTenant) -> None:
    found = run(tenant.profile("psrp"), Cmdlet("Get-CASMailbox", {"ResultSize": 5}))[0]
    assert isinstance(found, Malformed)


def test_throttling_is_waited_out(tenant: LocalTenant) -> None:
    fault = {"front": "psrp", "match": {"cmdlet": "Set-CASMailbox"}, "times": 1, "do": {"status": 429}}
    tenant.control("POST", "/faults", [fault])
    one(tenant.profile("psrp"), set_auth("erp@contoso.com", False))
    assert tenant.rows("CASMailbox")[0]["SmtpClientAuthenticationDisabled"] is False


def test_throttling_without_end_says_so(tenant: LocalTenant) -> None:
    tenant.control("POST", "/faults", [{"front": "psrp", "times": None, "do": {"status": 429}}])
    profile = tenant.profile("psrp").model_copy(
        update={"timeouts": tenant.profile().timeouts.model_copy(update={"retry_s": 0.1})}
    )
    assert isinstance(run(profile, set_auth("erp@contoso.com", False))[0], Throttled)


def test_the_module_on_the_host_waits_for_a_quota_and_gives_up_in_the_end(tenant: LocalTenant) -> None:
    """Its proxy repeats five times and waits as Retry-After asks: a client sees it take longer, or an error."""
    asked = [Cmdlet("Get-TransportConfig", {})] * 2
    since = tenant.seen()

    def waits() -> bool:
        return any(r.get("refused") for r in tenant.requests("psrp", since))

    tenant.control("POST", "/throttle", {"application": {"requests_per_minute": 1}})
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(run, tenant.profile("psrp"), *asked)
        try:
            until(waits)
            tenant.control("POST", "/clock", {"advance": 61})
            assert all(isinstance(answer, Answer) for answer in asking.result())
            tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_module_retries": 0}})
            refused = run(tenant.profile("psrp", timeouts={"retry_s": 0.0}), Cmdlet("Get-TransportConfig", {}))
        finally:
            tenant.control("DELETE", "/throttle")
            tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_module_retries": 5}})
    assert isinstance(refused[0], Throttled)


# --- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statements", [1, 7, 50])
def test_of_many_in_one_pipeline_each_gets_its_own_answer(tenant: LocalTenant, statements: int) -> None:
    asked = [*MAILBOXES[:10], "nobody@contoso.com", *MAILBOXES[10:20], "no-one@contoso.com", MAILBOXES[20]]
    profile = profile_of(tenant, runspaces=1, statements=statements)
    for mailbox, found in zip(
        asked, run(profile, *(Cmdlet("Get-CASMailbox", {"Identity": m}) for m in asked)), strict=True
    ):
        if mailbox.startswith("no"):
            assert isinstance(found, NotFound)
            assert mailbox in found.summary
        else:
            assert isinstance(found, Answer)
            assert [r["PrimarySmtpAddress"] for r in found.rows] == [mailbox]


def test_an_error_that_ends_the_pipeline_leaves_the_rest_to_be_sent_again(tenant: LocalTenant) -> None:
    tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_error_action_stop": True}})
    try:
        cmdlets: list[Cmdlet] = [set_auth(m, True) for m in MAILBOXES[30:40]]
        cmdlets.insert(4, Cmdlet("New-InboundConnector", {"Name": "x", "Bogus": True}))
        before = tenant.seen()
        found = run(profile_of(tenant, runspaces=1), *cmdlets)
        assert [type(f).__name__ for f in found] == ["Answer"] * 4 + ["Refused"] + ["Answer"] * 6
        done = [w["parameters"]["Identity"] for w in tenant.writes("psrp", before)]
        assert sorted(done) == sorted(MAILBOXES[30:40])
        silent = [set_auth(m, False) for m in [*MAILBOXES[30:34], "nobody@contoso.com", *MAILBOXES[34:40]]]
        before = tenant.seen()
        found = run(profile_of(tenant, runspaces=1), *silent)
        assert [type(f).__name__ for f in found] == ["Answer"] * 4 + ["NotFound"] + ["Answer"] * 6
        done = [w["parameters"]["Identity"] for w in tenant.writes("psrp", before)]
        assert sorted(done) == sorted(MAILBOXES[30:40])
    finally:
        tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_error_action_stop": False}})


def test_among_many_silent_writes_each_refusal_is_told_of_its_own(tenant: LocalTenant) -> None:
    asked = [set_auth(m, True) for m in MAILBOXES[100:110]]
    asked.insert(3, set_auth("nobody@contoso.com", True))
    asked.insert(8, set_auth("no-one@contoso.com", True))
    before = tenant.seen()
    found = run(profile_of(tenant, runspaces=1), *asked)
    assert [n for n, f in enumerate(found) if isinstance(f, NotFound)] == [3, 8]
    done = [w["parameters"]["Identity"] for w in tenant.writes("psrp", before)]
    assert sorted(done) == sorted(MAILBOXES[100:110]), "none is done twice for the sake of the others' errors"
    assert [n for n, f in enumerate(found) if not isinstance(f, Answer | NotFound)] == []
    assert "nobody@contoso.com" in str(found[3])
    rows = {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in tenant.rows("CASMailbox")}
    assert all(rows[m] is True for m in MAILBOXES[100:110])


def test_a_write_that_changes_nothing_is_warned_of_and_not_repeated(tenant: LocalTenant) -> None:
    asked = [set_auth(m, True) for m in MAILBOXES[110:120]]
    run(profile_of(tenant, runspaces=1), *asked)
    before = tenant.seen()
    found = run(profile_of(tenant, runspaces=1), *asked)
    assert [f for f in found if not isinstance(f, Answer)] == []
    assert sum(len(f.warnings) for f in found if isinstance(f, Answer)) == 10
    assert len(tenant.writes("psrp", before)) == 10


def test_an_error_that_names_none_has_all_asked_again_apart(tenant: LocalTenant) -> None:
    fault = {"front": "psrp", "match": {"cmdlet": "Set-CASMailbox"}, "after": 2, "times": 1, "do": {"status": 429}}
    tenant.control("POST", "/faults", [fault])
    found = run(profile_of(tenant, runspaces=1), *(set_auth(m, None) for m in MAILBOXES[120:125]))
    assert [f for f in found if not isinstance(f, Answer)] == []


def test_fewer_shells_than_wanted_are_enough(tmp_path: Path) -> None:
    """On a tenant of its own: a shell that another test left open would be the only one."""
    (tmp_path / "seed.yaml").write_text(yaml.safe_dump(SEED, allow_unicode=True))
    with sandbox(tmp_path / "state", tmp_path / "seed.yaml", lag=0) as tenant:
        tenant.control("POST", "/load", {"sandbox": 1, "settings": {"psrp_max_shells_per_user": 1}})
        found = run(profile_of(tenant, runspaces=4, statements=5), *(set_auth(m, None) for m in MAILBOXES[:40]))
    assert [f for f in found if not isinstance(f, Answer)] == []


@pytest.mark.parametrize("runspaces", [2, 8])
def test_as_many_cmdlets_are_under_way_as_there_are_runspaces(tenant: LocalTenant, runspaces: int) -> None:
    seen = tenant.seen()
    fault = {"front": "psrp", "match": {"cmdlet": "Get-CASMailbox"}, "times": None, "do": {"hold": True}}
    tenant.control("POST", "/faults", [fault])

    def held() -> int:
        return sum(r["cmdlet"] == "Get-CASMailbox" for r in tenant.requests("psrp", seen))

    async def asked() -> Sequence[Any]:
        async with connect(profile_of(tenant, runspaces=runspaces)) as ports:
            cmdlets = (Cmdlet("Get-CASMailbox", {"Identity": m}) for m in MAILBOXES[:8])
            asking = asyncio.gather(*(ports.exchange.run(c) for c in cmdlets))
            async with asyncio.timeout(120):
                while held() != runspaces:
                    await asyncio.wait([asking], timeout=0.01)
                    assert not asking.done()
            tenant.control("DELETE", "/faults")
            return await asking

    assert len(asyncio.run(asked())) == held() == 8


def test_a_cmdlet_that_takes_longer_than_one_receive_is_waited_for(tenant: LocalTenant) -> None:
    """The host answers each Receive with a timeout until there is output; the client asks again."""
    fault = {"front": "psrp", "match": {"cmdlet": "Get-CASMailbox"}, "do": {"delay": 2.5}}
    tenant.control("POST", "/faults", [fault])
    asked = Cmdlet("Get-CASMailbox", {"Identity": "erp@contoso.com"})
    assert len(one(profile_of(tenant, operation_timeout_s=1), asked).rows) == 1


def test_a_cmdlet_without_an_end_is_given_up(tenant: LocalTenant) -> None:
    seen = tenant.seen()
    tenant.control("POST", "/faults", [{"front": "psrp", "match": {"cmdlet": "Set-CASMailbox"}, "do": {"hold": True}}])
    profile = profile_of(tenant, operation_timeout_s=1)
    profile = profile.model_copy(update={"timeouts": profile.timeouts.model_copy(update={"request_s": 2.0})})
    found = run(profile, set_auth("erp@contoso.com", True))[0]
    assert isinstance(found, Unclear)
    assert "no end after 2 s" in str(found)
    tenant.control("DELETE", "/faults")  # what still waits goes on
    one(tenant.profile("psrp"), Cmdlet("Get-TransportConfig", {}))
    sent = [r for r in tenant.requests("psrp", seen) if r["cmdlet"] == "Set-CASMailbox"]
    assert not any(r["executed"] for r in sent), "it ended with its shell"


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_shell_that_died_between_two_cmdlets_is_opened_again(tenant: LocalTenant) -> None:
    async def ask() -> None:
        async with connect(profile_of(tenant, runspaces=1)) as ports:
            await ports.exchange.run(Cmdlet("Get-CASMailbox", {"Identity": "erp@contoso.com"}))
            tenant.control(
                "POST", "/faults", [{"front": "psrp", "match": {"cmdlet": "Get-Mailbox"}, "do": {"close": True}}]
            )
            found = await ports.exchange.run(Cmdlet("Get-Mailbox", {"Identity": "erp@contoso.com"}))
            assert len(found.rows) == 1

    asyncio.run(ask())


@pytest.mark.part(1)
@pytest.mark.parametrize("deed", ["close", "run_then_close"])
def test_a_write_whose_shell_died_is_not_sent_again(tenant: LocalTenant, deed: str) -> None:
    tenant.control("POST", "/faults", [{"front": "psrp", "match": {"cmdlet": "Set-CASMailbox"}, "do": {deed: True}}])
    seen = len(tenant.requests("psrp"))
    assert isinstance(run(tenant.profile("psrp"), set_auth("erp@contoso.com", True))[0], Unclear)
    assert [r["cmdlet"] for r in tenant.requests("psrp")[seen:]] == ["Set-CASMailbox"]


def fifty(value: str) -> str:
    boxes = "\n".join(f"    {m}: {value}" for m in MAILBOXES[50:100])
    return f"provisioner: 1\ntenant: contoso.onmicrosoft.com\nowner: team\nsmtp_auth:\n  mailboxes:\n{boxes}\n"


@pytest.mark.one_of("after", "deed")
@pytest.mark.parametrize(
    ("after", "deed"),
    [
        pytest.param(0, "close", marks=pytest.mark.long),
        (7, "run_then_close"),
        (23, "close"),
        pytest.param(49, "run_then_close", marks=pytest.mark.long),
    ],
)
def test_a_shell_that_dies_in_the_middle_of_fifty_changes_ends_in_a_true_account(
    tenant: LocalTenant, tmp_path: Path, after: int, deed: str
) -> None:
    for mailbox in MAILBOXES[50:100]:
        tenant.cmdlet("Set-CASMailbox", Identity=mailbox, SmtpClientAuthenticationDisabled=None)
    fault = {"front": "psrp", "match": {"cmdlet": "Set-CASMailbox"}, "after": after, "do": {deed: True}}
    tenant.control("POST", "/faults", [fault])
    before = tenant.seen()
    timeouts = {"confirm_s": 2.0, "retry_s": 20.0}
    with connected(tenant.profile("psrp", timeouts=timeouts), tmp_path) as session:
        outcome = session.apply(session.plan(fifty("enabled")))
        boxes = tenant.rows("CASMailbox")
        rows = {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in boxes}
        told = {r.address.key: r.status for r in outcome.results}
        assert len(told) == 50
        for mailbox in MAILBOXES[50:100]:
            assert told[mailbox] == ("done" if rows[mailbox] is False else "unconfirmed")
        done = [w["parameters"]["Identity"] for w in tenant.writes("psrp", before)]
        assert len(done) == len(set(done))
        session.converge(fifty("enabled"))
    done = [w["parameters"]["Identity"] for w in tenant.writes("psrp", before)]
    names = {r["Guid"]: r["PrimarySmtpAddress"] for r in boxes}
    assert sorted(names[guid] for guid in done) == sorted(MAILBOXES[50:100])


def test_the_change_sets_of_both_transports_are_the_same_but_for_its_name(tenant: LocalTenant, tmp_path: Path) -> None:
    documents = []
    for transport in TRANSPORTS:
        with connected(tenant.profile(transport), tmp_path / "plans") as session:
            session.count = 0
            document = changeset.to_document(session.plan(fifty("disabled")))
        text = json.dumps(document, sort_keys=True)
        documents.append(text.replace(f'"transport": "{transport}"', '"transport": "…"'))
    assert documents[0] == documents[1]


# --- signing in ------------------------------------------------------------------------------------------------------

ASKED = Cmdlet("Get-CASMailbox", {"Identity": "erp@contoso.com"})


def test_a_wrong_password_is_refused_without_being_told(tenant: LocalTenant, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("not-the-password")
    found = run(profile_of(tenant, password=f"file:{tmp_path / 'wrong'}"), ASKED)[0]
    assert isinstance(found, SignInRefused)
    assert "not-the-password" not in f"{found}{found!r}{found.hint}"


def test_every_question_is_answered_where_no_session_can_be_opened(tenant: LocalTenant, tmp_path: Path) -> None:
    """More questions than the sessions take at first: those that wait have the error too, and wait for nothing."""
    (tmp_path / "wrong").write_text("not-the-password")
    profile = profile_of(tenant, password=f"file:{tmp_path / 'wrong'}", runspaces=2, statements=2)

    async def ask() -> list[Answer | BaseException]:
        async with asyncio.timeout(60), connect(profile) as ports:
            return await asyncio.gather(*(ports.exchange.run(ASKED) for _ in range(9)), return_exceptions=True)

    assert [type(found) for found in asyncio.run(ask())] == [SignInRefused] * 9


def test_a_certificate_signs_in_too(tenant: LocalTenant) -> None:
    file = Path(tenant.endpoints["app"]["certificate_file"])
    found = one(profile_of(tenant, authentication="certificate", certificate=file, user=None, password=None), ASKED)
    assert len(found.rows) == 1


def test_a_certificate_that_nobody_knows_is_refused(tenant: LocalTenant, tmp_path: Path) -> None:
    import trustme

    stranger = trustme.CA().issue_cert("stranger.example")
    stranger.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "stranger.pem"))
    settings: dict[str, Any] = {
        "authentication": "certificate",
        "certificate": tmp_path / "stranger.pem",
        "user": None,
        "password": None,
    }
    profile = profile_of(tenant, **settings)
    profile = profile.model_copy(update={"timeouts": profile.timeouts.model_copy(update={"retry_s": 0.1})})
    assert isinstance(run(profile, ASKED)[0], TenantError)


def _fingerprint(tenant: LocalTenant) -> str:
    where = urlsplit(tenant.endpoints["psrp"])
    pem = ssl.get_server_certificate((str(where.hostname), int(where.port or 0)))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_a_pinned_certificate_needs_no_authority(tenant: LocalTenant, tmp_path: Path) -> None:
    import trustme

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other-ca.pem"))
    good = _fingerprint(tenant)
    other: dict[str, Any] = {"ca": tmp_path / "other-ca.pem"}
    assert isinstance(run(profile_of(tenant, **other), ASKED)[0], TenantError)
    assert len(one(profile_of(tenant, fingerprint=good, **other), ASKED).rows) == 1
    bad = run(profile_of(tenant, fingerprint=("0" if good[0] != "0" else "1") + good[1:]), ASKED)[0]
    assert isinstance(bad, TenantError)
    assert "not trusted" in str(bad)


def test_a_host_that_is_not_there_is_named(tenant: LocalTenant) -> None:
    profile = profile_of(tenant, endpoint="https://127.0.0.1:9/wsman")
    profile = profile.model_copy(update={"timeouts": profile.timeouts.model_copy(update={"retry_s": 0.1})})
    found = run(profile, ASKED)[0]
    assert isinstance(found, Unavailable)
    assert "127.0.0.1:9" in str(found)


def test_a_configuration_that_is_not_there_is_named(tenant: LocalTenant) -> None:
    found = run(profile_of(tenant, configuration="Nowhere"), ASKED)[0]
    assert isinstance(found, TenantError)
    assert "Nowhere" in f"{found} {found.hint}"


# --- the prologue, and secrets ---------------------------------------------------------------------------------------

CANARY = "canary-7c1f-of-the-certificate"


def connecting(tenant: LocalTenant, folder: Path, password: str = CANARY) -> dict[str, Any]:
    """Settings for the ordinary endpoint of the host, whose module signs in with a certificate file and password."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        load_pem_private_key,
        pkcs12,
    )

    pem = Path(tenant.endpoints["app"]["certificate_file"]).read_bytes()
    key, certificate = load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
    sealing = BestAvailableEncryption(CANARY.encode())
    sealed = pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, sealing)  # type: ignore[arg-type]
    (folder / "app.pfx").write_bytes(sealed)
    (folder / "password").write_text(password)
    parameters = {
        "AppId": tenant.endpoints["app"]["client_id"],
        "Organization": "contoso.onmicrosoft.com",
        "CertificateFilePath": str(folder / "app.pfx"),
        "CertificatePassword": f"file:{folder / 'password'}",
        "ShowBanner": False,
    }
    return {"configuration": tenant.endpoints["psrp_host_configuration"], "prologue": {"parameters": parameters}}


def test_without_its_prologue_the_host_has_no_exchange_cmdlets(tenant: LocalTenant) -> None:
    found = run(profile_of(tenant, configuration=tenant.endpoints["psrp_host_configuration"]), ASKED)[0]
    assert isinstance(found, PermissionMissing)


def test_the_prologue_connects_every_runspace_once(tenant: LocalTenant, tmp_path: Path) -> None:
    seen = len(tenant.requests("psrp"))
    profile = profile_of(tenant, runspaces=2, statements=5, **connecting(tenant, tmp_path))
    found = run(profile, *(Cmdlet("Get-CASMailbox", {"Identity": m}) for m in MAILBOXES[:30]))
    assert [f for f in found if not isinstance(f, Answer)] == []
    ran = [r["cmdlet"] for r in tenant.requests("psrp")[seen:]]
    assert 1 <= ran.count("Connect-ExchangeOnline") <= 2
    assert ran.count("Get-CASMailbox") == 30


@pytest.mark.parametrize("restricted", [False, True], ids=["ordinary", "restricted"])
def test_a_listing_selects_its_columns_where_the_session_does(
    tenant: LocalTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restricted: bool
) -> None:
    came: list[tuple[set[str], set[str]]] = []

    def read_row(element: Any, columns: frozenset[str]) -> Any:
        row = read(element, columns)
        came.extend([({item.get("N") for part in element for item in part}, set(row))] if row else [])
        return row

    read = psrp_library.read_row
    monkeypatch.setattr(psrp_library, "read_row", read_row)
    switch = "SmtpClientAuthenticationDisabled"
    asked = Cmdlet("Get-CASMailbox", {"ResultSize": "Unlimited"}, frozenset({switch, "NoSuchColumn"}))
    profile = profile_of(tenant, **({} if restricted else connecting(tenant, tmp_path)))
    answers = run(profile, asked, Cmdlet("Get-TransportConfig"))
    rows = [len(answer.rows) if isinstance(answer, Answer) else answer for answer in answers]
    assert rows == [121, 1]
    listing = answers[0]
    assert isinstance(listing, Answer)
    assert {frozenset(row) for row in listing.rows} == {frozenset({switch, "Identity", "Name", "Guid", "Id"})}
    (travelled,) = {frozenset(names) for names, row in came if row == set(listing.rows[0])}
    assert ("EmailAddresses" in travelled) is restricted, "and what nobody asked for is not read"


def test_a_wrong_certificate_password_is_a_refused_sign_in(tenant: LocalTenant, tmp_path: Path) -> None:
    found = run(profile_of(tenant, **connecting(tenant, tmp_path, "something else")), ASKED)[0]
    assert isinstance(found, SignInRefused)
    assert "network password is not correct" in str(found)


@pytest.mark.part(1)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_secret_is_in_any_log_or_exception(
    tenant: LocalTenant, tmp_path: Path, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG pypsrp logs every SOAP message whole, urllib3 and azure every request."""
    caplog.set_level(logging.DEBUG)
    profile = profile_of(tenant, transport, **connecting(tenant, tmp_path))
    found: Sequence[Answer | BaseException] = run(
        profile, ASKED, Cmdlet("Get-CASMailbox", {"Identity": "nobody@contoso.com"})
    )
    secret = Path(tenant.endpoints["app"]["secret_file"]).read_text()
    told = caplog.text + "".join(f"{e!s}{e!r}{getattr(e, '__cause__', None)!r}" for e in found)
    assert (transport == "rest") or "Sending message" in told, "the SOAP trace was not taken"
    assert CANARY not in told
    assert secret not in told
    assert CANARY not in json.dumps(tenant.requests("psrp"))


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("psrp", "id_"),
    [
        ({"endpoint": None}, "SETTINGS-PSRP"),
        ({"endpoint": "https://outlook.office365.com/powershell-liveid"}, "SETTINGS-PSRP-LIVEID"),
        ({"endpoint": "https://ps.outlook.com/PowerShell-LiveID?x=1"}, "SETTINGS-PSRP-LIVEID"),
        ({"endpoint": "mgmt.example:5986"}, "SETTINGS-PSRP"),
        ({"endpoint": "http://mgmt.example:5985/wsman"}, "SETTINGS-PSRP"),
        ({"user": None}, "SETTINGS-PSRP"),
        ({"password": None}, "SETTINGS-PSRP"),
        ({"authentication": "certificate", "certificate": None}, "SETTINGS-PSRP"),
        ({"authentication": "credssp"}, "EXTRA-MISSING"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_sent(
    tenant: LocalTenant, psrp: dict[str, Any], id_: str
) -> None:
    with pytest.raises(InputError) as refused:
        run(profile_of(tenant, **psrp), ASKED)
    assert [d.id for d in refused.value.diagnostics] == [id_]
    assert refused.value.diagnostics[0].hint


def test_a_secret_in_the_prologue_must_be_a_reference(tenant: LocalTenant) -> None:
    with pytest.raises(ValueError, match="a secret must not stand here"):
        profile_of(tenant, prologue={"parameters": {"CertificatePassword": CANARY}})


# --- workers and threads ---------------------------------------------------------------------------------------------


class Fake:
    """A runspace that answers, or does what a test says instead."""

    is_open = True
    deadline = float("inf")

    def __init__(self, run: Callable[[Sequence[Cmdlet]], Any] | None = None) -> None:
        self._run = run or (lambda cmdlets: [Answer(()) for _ in cmdlets])

    def begin(self) -> None:
        pass

    def run(self, cmdlets: Sequence[Cmdlet]) -> Any:
        return self._run(cmdlets)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


READS = [Cmdlet(f"Get-{n}") for n in range(4)]
WRITES = [Cmdlet(f"New-{n}") for n in range(4)]


def asked(
    make: Callable[[], Any], *cmdlets: Cmdlet, runspaces: int = 1, statements: int = 1, request_s: float = 60.0
) -> list[BaseException | Answer]:
    """What cmdlets that are asked at once get of these runspaces. None waits for good."""

    async def ask() -> list[BaseException | Answer]:
        limiter = Limiter("Exchange", runspaces, batches=True)
        exchange = PsrpExchange(make, Retry(0.0), limiter, runspaces, statements, request_s)
        try:
            async with asyncio.timeout(30):
                return await asyncio.gather(*map(exchange.run, cmdlets), return_exceptions=True)
        finally:
            await exchange.close()

    return asyncio.run(ask())


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: Any) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize("raised", [ValueError("odd"), StopIteration("odd"), struct.error("odd")], ids=repr)
def test_whatever_a_library_raises_reaches_those_who_wait(raised: Exception) -> None:
    """Nobody waits for good: neither for the batch that it struck, nor for what was asked behind it."""
    found = asked(lambda: Fake(raising(raised)), *READS, *WRITES)
    assert [type(each) for each in found] == [Malformed] * 4 + [Unclear] * 4
    assert all("odd" in str(each) for each in found)


@pytest.mark.parametrize("raised", [ValueError("odd"), InputError([]), SignInRefused("odd")], ids=repr)
def test_where_no_runspace_can_be_made_whatever_waits_is_told(raised: Exception) -> None:
    found = asked(raising(raised), *READS, *WRITES, runspaces=2)
    assert {type(each) for each in found} == {Malformed if isinstance(raised, ValueError) else type(raised)}


def test_a_runspace_that_cannot_be_closed_keeps_nobody_waiting() -> None:
    class Unclosed(Fake):
        close = raising(ValueError("odd"))

    first = Unclosed(raising(Unavailable("gone")))
    made = iter([first, *(Fake() for _ in range(9))])
    found = asked(lambda: next(made), *READS)
    assert isinstance(found[0], Unavailable)
    assert not [each for each in found[1:] if not isinstance(each, Malformed | Answer)]


def test_outcomes_that_are_not_as_many_as_the_cmdlets_leave_none_waiting() -> None:
    found = asked(lambda: Fake(lambda cmdlets: [Answer(())]), *READS, *WRITES, statements=4)
    assert not [each for each in found if not isinstance(each, Answer | TenantError)]


def test_a_thread_that_does_not_end_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those who asked nor the end of the program."""
    monkeypatch.setattr(threads, "_CUT_S", 0.05)
    monkeypatch.setattr(exchange_psrp, "_OVERDUE_S", 0.0)
    never = threading.Event()

    class Stuck(Fake):
        deadline = 0.0

        def run(self, cmdlets: Sequence[Cmdlet]) -> Any:
            never.wait()

    try:
        found = asked(Stuck, *READS[:2], *WRITES[:2])
        assert [type(each) for each in found] == [Malformed] * 2 + [Unclear] * 2
        stuck = [thread for thread in threading.enumerate() if thread.name == "library"]
        assert stuck
        assert all(thread.daemon for thread in stuck)
    finally:
        never.set()


def test_what_waits_while_nothing_is_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_CUT_S", 0.05)
    never = threading.Event()

    class Stuck(Fake):
        def run(self, cmdlets: Sequence[Cmdlet]) -> Any:
            never.wait()

    try:
        sent, *waiting = asked(Stuck, *WRITES, request_s=0.02)
    finally:
        never.set()
    assert isinstance(sent, Unclear)
    assert [type(each) for each in waiting] == [TenantError] * 3


def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    ran: list[str] = []
    began, going = threading.Event(), threading.Event()

    def run(cmdlets: Sequence[Cmdlet]) -> Any:
        ran.extend(cmdlet.name for cmdlet in cmdlets)
        began.set()
        going.wait(30)
        return [Answer(()) for _ in cmdlets]

    async def ask() -> None:
        exchange = PsrpExchange(lambda: Fake(run), Retry(), Limiter("Exchange", 1, batches=True), 1, 1, 60.0)  # type: ignore[arg-type, return-value] # as far as it is used
        first, second, third = (asyncio.create_task(exchange.run(cmdlet)) for cmdlet in WRITES[:3])
        await asyncio.to_thread(began.wait, 30)
        second.cancel()
        going.set()
        await asyncio.gather(first, third)
        await exchange.close()
        with pytest.raises(TenantError, match="was closed"):
            await exchange.run(WRITES[3])

    asyncio.run(ask())
    assert ran == ["New-0", "New-2"]


def test_keys_that_cannot_be_exchanged_are_an_error_of_the_cmdlet(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret needs them, before anything is sent."""
    monkeypatch.setenv("PSRP_SECRET", CANARY)
    rule = {"front": "wsman", "match": {"method": "Send"}, "times": None, "do": {"status": 500}}
    tenant.control("POST", "/faults", [rule])
    timeouts = tenant.profile().timeouts.model_copy(update={"retry_s": 0.1})
    profile = profile_of(tenant).model_copy(update={"timeouts": timeouts})
    seen = tenant.seen()
    secret = Cmdlet("New-MailUser", {"Name": "x", "Password": Secret("env:PSRP_SECRET")})
    (found,) = run(profile, secret)
    assert isinstance(found, Unavailable)
    assert not tenant.writes("psrp", seen)
    monkeypatch.delenv("PSRP_SECRET")
    assert isinstance(run(profile, secret)[0], InputError)
