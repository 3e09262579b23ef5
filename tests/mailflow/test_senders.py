"""Groups of senders: which of them can hold the same sender, and which hold a device."""

from __future__ import annotations

import pytest

from provisioner.mailflow.senders import EVERYONE, NOBODY, Affected, Group, Sender, affected, sender_of
from provisioner.model.devices import Device, Site

NET, INSIDE, ELSEWHERE = frozenset({"52.202.8.0/24"}), frozenset({"52.202.8.9/32"}), frozenset({"8.8.8.8/32"})
HQ, WILD = frozenset({"mail.contoso.com"}), frozenset({"*.contoso.com"})
CONTOSO, FABRIKAM = frozenset({"contoso.com"}), frozenset({"fabrikam.com"})
ERP, FAX = frozenset({"erp@contoso.com"}), frozenset({"fax@fabrikam.com"})


def network(scope: frozenset[str], domains: frozenset[str] = frozenset({"*"})) -> Group:
    return Group(networks=scope, domains=domains)


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (EVERYONE, Group(ERP), True),
        (EVERYONE, Group(recipients=CONTOSO), True),
        # Mailboxes.
        (Group(ERP), Group(ERP | FAX), True),
        (Group(ERP), Group(FAX), False),
        # Networks overlap, certificates by wildcard; a sender may have an address and a certificate.
        (network(NET), network(INSIDE), True),
        (network(NET), network(ELSEWHERE), False),
        (Group(certificates=HQ), Group(certificates=WILD), True),
        (Group(certificates=HQ), Group(certificates=frozenset({"mail.fabrikam.com"})), False),
        (network(NET), Group(certificates=HQ), True),
        (Group(networks=NET, certificates=HQ), network(ELSEWHERE), True),
        # Domains: a sender of one of them may come from anywhere, unless the sources differ.
        (Group(domains=CONTOSO), network(NET), True),
        (Group(domains=CONTOSO), network(NET, FABRIKAM), False),
        (Group(domains=CONTOSO), Group(domains=CONTOSO | FABRIKAM), True),
        (network(NET, CONTOSO), network(INSIDE, FABRIKAM), False),
        (network(NET, CONTOSO), network(ELSEWHERE, CONTOSO), False),
        # A mailbox and a connector share a sender where the connector names the domain.
        (Group(ERP), network(NET), False),
        (Group(ERP), network(NET, CONTOSO), True),
        (Group(ERP), network(NET, FABRIKAM), False),
        (Group(ERP), Group(domains=WILD | CONTOSO), True),
        # Mail that leaves the tenant.
        (Group(recipients=CONTOSO), Group(recipients=CONTOSO), True),
        (Group(recipients=CONTOSO), Group(recipients=FABRIKAM), False),
        (Group(recipients=CONTOSO), Group(ERP), False),
        (Group(recipients=CONTOSO), network(NET), False),
    ],
)
def test_two_groups_meet_where_one_sender_can_be_in_both(one: Group, other: Group, meets: bool) -> None:
    assert one.meets(other) is meets
    assert other.meets(one) is meets


SCANNER = Sender("scanner", ERP, INSIDE, HQ, CONTOSO)


@pytest.mark.parametrize(
    ("group", "held"),
    [
        (EVERYONE, True),
        (Group(ERP), True),
        (Group(FAX), False),
        (network(NET), True),
        (network(ELSEWHERE), False),
        (Group(certificates=WILD), True),
        (Group(networks=ELSEWHERE, certificates=HQ), True),
        (Group(networks=ELSEWHERE, certificates=frozenset({"mail.fabrikam.com"})), False),
        (network(NET, FABRIKAM), False),
        (Group(domains=CONTOSO), True),
        (Group(domains=FABRIKAM), False),
        (Group(recipients=frozenset({"*"})), False),
    ],
)
def test_a_group_holds_a_device_by_what_is_known_of_it(group: Group, held: bool) -> None:
    assert SCANNER.is_of(group) is held


def test_a_device_without_an_address_is_of_no_network() -> None:
    assert not Sender("erp", ERP, domains=CONTOSO).is_of(network(NET))


def test_a_device_sends_from_its_site_or_else_from_its_own_addresses() -> None:
    device = Device("scanner", "scan@fabrikam.com", "anyone", "1.2", frozenset(), "erp@contoso.com",
                    sender_ip_addresses=ELSEWHERE)  # fmt: skip
    own = sender_of(device, None)
    assert own == Sender("scanner", ERP | {"scan@fabrikam.com"}, ELSEWHERE, frozenset(), CONTOSO | FABRIKAM)
    assert sender_of(device, Site("hq", NET)).networks == NET


def test_an_unsigned_device_has_the_mailbox_of_its_own_address_and_its_certificate() -> None:
    device = Device("mfp", "mfp@contoso.com", "anyone", "1.2", frozenset(), "", certificate="mail.contoso.com")
    assert sender_of(device, None) == Sender("mfp", frozenset({"mfp@contoso.com"}), frozenset(), HQ, CONTOSO)


# --- who is concerned ------------------------------------------------------------------------------------------------


def test_without_known_senders_all_are_concerned() -> None:
    lost = affected(frozenset({Group(ERP)}), None)
    assert lost.concerned(frozenset({network(NET)}))
    assert not lost.concerned(NOBODY)
    assert not affected(NOBODY, None).concerned(frozenset({EVERYONE}))


def test_a_device_links_a_mailbox_to_a_network() -> None:
    lost = frozenset({Group(ERP)})
    assert affected(lost, [SCANNER]).concerned(frozenset({network(NET)}))
    assert not affected(lost, [SCANNER]).concerned(frozenset({network(ELSEWHERE)}))
    assert not affected(lost, []).concerned(frozenset({network(NET)}))
    stranger = Sender("other", FAX, INSIDE, domains=FABRIKAM)
    assert not affected(lost, [stranger]).concerned(frozenset({network(NET)}))


def test_many_mailboxes_are_compared_as_one_set() -> None:
    lost = affected(frozenset({Group(ERP), Group(FAX), network(NET)}), [])
    assert lost == Affected(frozenset({Group(ERP | FAX), network(NET)}), ())
    assert lost.concerned(frozenset({Group(FAX)}))
    assert lost.concerned(frozenset({network(INSIDE)}))
    assert not lost.concerned(frozenset({Group(frozenset({"a@contoso.com"}))}))
    assert affected(frozenset({Group(ERP), EVERYONE}), []).groups == {EVERYONE}
