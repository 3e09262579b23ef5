"""What a probe proposes, followed: each proposal is written into the plan and applied, and the device is tried again.

Devices of every kind meet tenants that refuse them for every reason, alone and together. A proposal that is followed
must lead to another answer than before, and in a few steps to an accepted message or to words for a person.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from tests.cli.shop import Shop, open_shop
from tests.cli.test_causes import (
    ABLE,
    ELSEWHERE,
    HERE,
    INSIDE,
    OUTSIDE,
    PASSWORD,
    SITES,
    UNABLE,
    apply,
    load,
    merged,
    no_passwords_by_entra,
    no_passwords_by_microsoft,
    no_passwords_by_policy,
    plan,
    probe,
    write,
)
from tests.cli.test_probe import SEED
from tests.generated import whole

FROM = {"from": "erp@contoso.com"}
BOTH = {"tls": "1.2", "authentication": ["basic"]}
DEVICES: Mapping[str, dict[str, Any]] = {
    "signs in": plan(**FROM, supports=ABLE, method="client_submission"),
    "signs in at a site": plan(SITES, **FROM, supports=ABLE, method="client_submission", site="hq"),
    "relays": plan(SITES, **FROM, supports=UNABLE, method="smtp_relay", site="hq"),
    "relays from its own address": plan(**FROM, supports=UNABLE, sender_ip_addresses=["93.184.216.10"]),
    "relays without TLS": plan(SITES, **FROM, supports={"tls": "none", "authentication": []}, site="hq"),
    "sends direct": plan(**FROM, supports=UNABLE, recipients="organization", method="direct_send"),
    "sends direct at a site": plan(
        SITES, **FROM, supports=UNABLE, recipients="organization", method="direct_send", site="hq"
    ),
}


def rejects_direct_send(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)


def has_the_switch_off(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)


def nothing(_: Shop) -> None:
    pass


TROUBLES = (
    nothing,
    rejects_direct_send,
    has_the_switch_off,
    no_passwords_by_policy,
    no_passwords_by_entra,
    no_passwords_by_microsoft,
)
PLACES = (HERE, ELSEWHERE)
RECIPIENTS = (INSIDE, OUTSIDE)
CASES = tuple(
    (kind, troubles, place, to)
    for kind, troubles, place, to in itertools.product(DEVICES, itertools.combinations(TROUBLES, 2), PLACES, RECIPIENTS)
)
STEPS = 4


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = {"smtp_source_addresses": {"127.0.0.10": "93.184.216.10", "127.0.0.11": "93.184.216.11"}}
    objects = {**SEED["objects"], "AuthenticationPolicy": [{"Name": "No basic", "AllowBasicAuthSmtp": False}]}
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "settings": settings, "objects": objects}) as here:
        yield here


def asked(body: Mapping[str, Any], place: Sequence[str], to: Sequence[str]) -> Sequence[str]:
    device = body["devices"]["it"]
    signs_in = device.get("method") == "client_submission"
    return (*to, *place, *(PASSWORD if signs_in else ()))


def followed(shop: Shop, case: tuple[str, tuple[Any, ...], Sequence[str], Sequence[str]]) -> list[str]:
    """The steps from the device's first answer to the last one. Fails where a proposal changes nothing."""
    kind, troubles, place, to = case
    shop.reset()
    load(shop, settings={"basic_smtp_auth_retired_from": None})
    load(shop, graph={"securityDefaults": {"isEnabled": False}})
    for trouble in troubles:
        trouble(shop)
    body = DEVICES[kind]
    told: list[str] = []
    seen: set[tuple[str, str]] = set()
    for _ in range(STEPS):
        write(shop, body)
        found = probe(shop, *asked(body, place, to))
        if found["accepted"]:
            return [*told, "accepted"]
        remedy = found["remedy"] or {"sentence": found["diagnosis"]["fix"], "plan": ""}
        told.append(f"{found['diagnosis']['cause']}: {remedy['sentence']} {remedy['plan']!r}")
        at = (found["diagnosis"]["cause"], remedy["plan"])
        assert at not in seen, (
            f"it is proposed again: {case[0]}, {[t.__name__ for t in troubles]}, {place}, {to}: {told}"
        )
        seen.add(at)
        proposed = yaml.safe_load(remedy["plan"] or "{}")
        if not proposed and "provisioner apply" not in remedy["sentence"]:
            return told
        body = merged(dict(body), proposed)
        apply(shop, body)
    raise AssertionError(f"no end: {case[0]}, {[t.__name__ for t in troubles]}, {place}, {to}: {told}")


def test_what_a_probe_proposes_leads_to_mail_or_to_words_for_a_person(shop: Shop) -> None:
    drawn = CASES if whole() else random.sample(CASES, 4)
    ends = [followed(shop, case)[-1] for case in drawn]
    assert ends
    assert not whole() or sum(end == "accepted" for end in ends) > len(ends) // 3
