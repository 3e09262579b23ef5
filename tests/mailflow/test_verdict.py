"""Whether a mailbox can sign in: every switch alone, their precedence, and what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Address, Answer, Cmdlet, Observed, Present, Unknown, request_key
from provisioner.resources.rows import (
    authentication_policy,
    organization_config,
    security_defaults,
    transport_config,
    user,
)
from provisioner.resources.smtp_auth import SmtpAuth
from provisioner.rules import Switches, judge, switches_of


@pytest.mark.parametrize(
    ("mailbox", "organization", "allowed", "blocked_by"),
    [
        ("enabled", "disabled", True, ""),
        ("enabled", "enabled", True, ""),
        ("disabled", "enabled", False, "mailbox"),
        ("disabled", "disabled", False, "mailbox"),
        ("inherit", "enabled", True, ""),
        ("inherit", "disabled", False, "organization"),
        ("inherit", None, None, ""),
        ("enabled", None, True, ""),
        (None, "enabled", None, ""),
    ],
)
@pytest.mark.parametrize("authentication", ["basic", "oauth"])
def test_the_mailbox_comes_before_the_organization_for_every_client(
    mailbox: str | None, organization: str | None, allowed: bool | None, blocked_by: str, authentication: str
) -> None:
    verdict = judge(Switches(mailbox, organization), authentication)
    assert (verdict.allowed, verdict.blocked_by) == (allowed, blocked_by)


PASSWORDS: list[tuple[dict[str, Any], bool | None, str]] = [
    ({"policy": "Block Basic", "policy_allows": False}, False, "authentication_policy"),
    ({"policy": "Printers", "policy_allows": True}, True, ""),
    ({"security_defaults": True}, False, "security_defaults"),
    (
        {"policy": "B", "policy_allows": False, "security_defaults": True},
        False,
        "authentication_policy",
    ),
    ({"security_defaults": None}, None, ""),
    ({"policy": None, "policy_allows": None}, None, ""),
]


@pytest.mark.parametrize(("change", "allowed", "blocked_by"), PASSWORDS)
def test_what_forbids_passwords_forbids_nothing_to_oauth(
    change: dict[str, Any], allowed: bool | None, blocked_by: str
) -> None:
    switches = Switches("enabled", "disabled", **change)
    verdict = judge(switches, "basic")
    assert (verdict.allowed, verdict.blocked_by) == (allowed, blocked_by)
    assert judge(switches, "oauth").allowed is True


def test_that_passwords_end_is_a_warning_and_no_verdict() -> None:
    """Whether an administrator has switched basic authentication on again, no documented setting shows."""
    verdict = judge(Switches("enabled", "disabled"), "basic")
    assert (verdict.allowed, verdict.blocked_by) == (True, "")
    assert "off by default from 2026-12-31" in verdict.warning
    assert judge(Switches("enabled", "disabled"), "oauth").warning == ""


def test_the_exchange_switch_is_named_before_what_forbids_passwords() -> None:
    verdict = judge(Switches("inherit", "disabled", "B", False, True), "basic")
    assert verdict.blocked_by == "organization"


def test_what_could_not_be_read_is_named_and_blocks_nothing() -> None:
    verdict = judge(Switches("enabled", None, None, None, None), "basic")
    assert (verdict.allowed, verdict.unknown) == (None, ("the authentication policy", "the security defaults"))


# --- from what was read ----------------------------------------------------------------------------------------------

ERP = "erp@contoso.com"
USER = {"UserPrincipalName": ERP, "WindowsEmailAddress": ERP, "AuthenticationPolicy": None}
POLICY = {
    "Name": "Block Basic",
    "Guid": "aaaa-1",
    "DistinguishedName": "CN=Block Basic,CN=Auth",
    "AllowBasicAuthSmtp": False,
}


def observed(*answers: tuple[Any, Any], smtp_auth: str = "enabled") -> Observed:
    evidence = {request_key(q): Answer(tuple(a)) if isinstance(a, list) else a for q, a in answers}
    return Observed({Address("smtp_auth", ERP): Present(SmtpAuth(ERP, smtp_auth))}, evidence=evidence)


ASK_USER = Cmdlet("Get-User", {"Identity": ERP})
CALM: tuple[tuple[Any, Any], ...] = (
    (transport_config.REQUEST, [{"SmtpClientAuthenticationDisabled": True}]),
    (organization_config.REQUEST, [{"DefaultAuthenticationPolicy": None}]),
    (authentication_policy.REQUEST, [POLICY]),
    (security_defaults.REQUEST, [{"isEnabled": False}]),
)


def test_everything_that_was_read_is_in_the_switches() -> None:
    found = switches_of(ERP, observed(*CALM, (ASK_USER, [USER])))
    assert found == Switches("enabled", "disabled", "", True, False)


@pytest.mark.parametrize("name", ["Block Basic", "block basic", "AAAA-1", "CN=Block Basic,CN=Auth"])
def test_a_policy_is_known_by_each_of_its_names(name: str) -> None:
    found = switches_of(ERP, observed(*CALM, (ASK_USER, [USER | {"AuthenticationPolicy": name}])))
    assert (found.policy, found.policy_allows) == (name, False)


def test_the_user_s_policy_comes_before_the_organization_s() -> None:
    default = (organization_config.REQUEST, [{"DefaultAuthenticationPolicy": "Block Basic"}])
    own = {"Name": "Printers", "AllowBasicAuthSmtp": True}
    answers = (*CALM[:1], default, (authentication_policy.REQUEST, [POLICY, own]), CALM[3])
    assert switches_of(ERP, observed(*answers, (ASK_USER, [USER]))).policy_allows is False
    printers = USER | {"AuthenticationPolicy": "Printers"}
    assert switches_of(ERP, observed(*answers, (ASK_USER, [printers]))).policy_allows is True


def test_a_user_is_found_in_a_listing_and_never_taken_for_another() -> None:
    other = {**USER, "UserPrincipalName": "a@contoso.com", "WindowsEmailAddress": "a@contoso.com"}
    found = switches_of(ERP, observed(*CALM, (user.LISTING, [other | {"AuthenticationPolicy": "Block Basic"}, USER])))
    assert found.policy_allows is True
    assert switches_of(ERP, observed(*CALM, (ASK_USER, [other]))).policy is None


def test_failed_and_missing_answers_are_unknown() -> None:
    refused = Unknown("forbidden", "permission")
    found = switches_of(
        ERP,
        observed(
            (transport_config.REQUEST, refused),
            (security_defaults.REQUEST, refused),
            (authentication_policy.REQUEST, refused),
        ),
    )
    assert found == Switches("enabled", None, None, None, None)
    unheard = switches_of(ERP, observed(*CALM, (ASK_USER, [USER | {"AuthenticationPolicy": "Gone"}])))
    assert unheard.policy_allows is None
