"""Transport settings: one declaration for each, the forms of a time, and the guard of weak TLS."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model.picture import LegacyTls
from provisioner.resources.tenant_settings import SETTINGS
from provisioner.resources.transport_config import TransportConfig, TransportConfigType, expiration
from tests.resources.recorded import answer, declared, mistakes, sent, snapshots

KIND = TransportConfigType()
LIVE = TransportConfig(SETTINGS, "default", "1.00:00:00", "", True, True)


@pytest.mark.parametrize(
    ("text", "form"),
    [("24h", "1.00:00:00"), ("1.00:00:00", "1.00:00:00"), ("12h", "12:00:00"), ("0.18:30:00", "18:30:00"),
     ("18:30", "18:30:00"), ("24:00", "1.00:00:00"), ("23:59:59", "23:59:59")],
)  # fmt: skip
def test_a_time_has_one_form(text: str, form: str) -> None:
    assert expiration(text) == expiration(form) == form


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"message_expiration": "11h"}, "MESSAGE-EXPIRATION-INVALID"),
        ({"message_expiration": "1.00:00:01"}, "MESSAGE-EXPIRATION-INVALID"),
        ({"message_expiration": "2 days"}, "MESSAGE-EXPIRATION-INVALID"),
        ({"external_postmaster_address": "postmaster"}, "EMAIL-INVALID"),
        ({"allow_legacy_tls_clients": True}, "literal_error"),
        ({"smtp_client_authentication_disabled": True}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_the_service_would_not_take_is_refused(section: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [mistake]


def test_one_call_sets_what_differs_and_null_is_the_service_s_choice() -> None:
    there = dataclasses.replace(LIVE, allow_legacy_tls_clients="disabled", external_postmaster_address="a@contoso.com")
    assert [sent(step) for step in KIND.steps(LIVE, there)] == [
        (
            "Set-TransportConfig",
            {"AllowLegacyTLSClients": False, "ExternalPostmasterAddress": "a@contoso.com"},
        )
    ]
    (back,) = KIND.steps(there, LIVE)
    assert sent(back)[1] == {"AllowLegacyTLSClients": None, "ExternalPostmasterAddress": None}


def test_weak_tls_is_guarded_where_it_begins() -> None:
    weak = dataclasses.replace(LIVE, allow_legacy_tls_clients="enabled")
    assert [guard.rule for guard in KIND.guards(LIVE, weak)] == ["TLS-LEGACY"]
    assert not [*KIND.guards(weak, weak), *KIND.guards(weak, LIVE)]
    assert (KIND.contribution(weak), KIND.contribution(LIVE)) == ((LegacyTls(True),), (LegacyTls(False),))


@pytest.mark.parametrize("rows", snapshots("transport_config"))
def test_recorded_rows_are_read_and_what_is_written_of_them_is_so(rows: list[dict[str, Any]]) -> None:
    there = answer(KIND, {SETTINGS: None}, rows)[SETTINGS]
    form = KIND.written_form(there)
    assert there.message_expiration == "1.00:00:00"
    if form is not None:
        again = declared(KIND, form[1])[SETTINGS]
        assert not KIND.steps(there, again)
