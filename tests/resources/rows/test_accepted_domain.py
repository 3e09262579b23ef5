from __future__ import annotations

import pytest

from provisioner.model import Unknown
from provisioner.resources.rows.accepted_domain import AcceptedDomain, decode


def test_domains_come_by_their_canonical_name_whatever_the_case() -> None:
    rows = [
        {"DomainName": "Contoso.COM", "DomainType": "authoritative"},
        {"Name": "relay.example", "DomainType": "InternalRelay"},
        {"DomainName": "out.example", "DomainType": "ExternalRelay"},
    ]
    assert decode(rows) == {
        "contoso.com": AcceptedDomain("contoso.com", "authoritative"),
        "relay.example": AcceptedDomain("relay.example", "internal_relay"),
        "out.example": AcceptedDomain("out.example", "external_relay"),
    }


def test_a_domain_without_its_type_is_unknown_and_one_without_name_is_no_listing() -> None:
    assert isinstance(decode([{"DomainName": "contoso.com"}])["contoso.com"], Unknown)
    twice = [{"DomainName": "contoso.com", "DomainType": kind} for kind in ("Authoritative", "InternalRelay")]
    assert isinstance(decode(twice)["contoso.com"], Unknown)
    with pytest.raises(ValueError, match="DomainName or Name"):
        decode([{"DomainType": "Authoritative"}])
