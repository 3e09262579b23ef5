"""The words of the sending picture, and the scopes that they are made of."""

from __future__ import annotations

import pytest

from provisioner.model.picture import ADDRESS, ANY, CERTIFICATE, NONE, TLS, Restriction, Scope, holds, shared, within


def scope(*items: str) -> Scope:
    return frozenset(items)


@pytest.mark.parametrize(
    ("inner", "outer", "answer"),
    [
        (NONE, NONE, True),
        (NONE, ANY, True),
        (ANY, NONE, False),
        (scope("contoso.com"), ANY, True),
        (ANY, scope("contoso.com"), False),
        (scope("contoso.com"), scope("contoso.com", "fabrikam.com"), True),
        (scope("contoso.com", "fabrikam.com"), scope("contoso.com"), False),
        # A wildcard means the subdomains, at any depth, and not the domain itself.
        (scope("mail.contoso.com"), scope("*.contoso.com"), True),
        (scope("a.b.contoso.com"), scope("*.contoso.com"), True),
        (scope("*.mail.contoso.com"), scope("*.contoso.com"), True),
        (scope("contoso.com"), scope("*.contoso.com"), False),
        (scope("notcontoso.com"), scope("*.contoso.com"), False),
        (scope("*.contoso.com"), scope("mail.contoso.com"), False),
        # Networks.
        (scope("52.202.8.9/32"), scope("52.202.8.0/24"), True),
        (scope("52.202.8.0/24"), scope("52.202.8.0/24"), True),
        (scope("52.202.8.0/24"), scope("52.202.8.0/25"), False),
        (scope("52.202.9.0/32"), scope("52.202.8.0/24"), False),
        # A range that nobody parses is only equal to itself.
        (scope("52.202.8.1-52.202.8.9"), scope("52.202.8.1-52.202.8.9"), True),
        (scope("52.202.8.5/32"), scope("52.202.8.1-52.202.8.9"), False),
    ],
)
def test_a_scope_lies_within_another(inner: Scope, outer: Scope, answer: bool) -> None:
    assert within(inner, outer) is answer
    if len(inner) == 1:
        assert holds(outer, next(iter(inner))) is answer


NET = scope("52.202.8.0/24")
HALF = scope("52.202.8.0/25")


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        (Restriction(ANY, ADDRESS, HALF), Restriction(ANY, ADDRESS, NET), True),
        (Restriction(ANY, ADDRESS, NET), Restriction(ANY, ADDRESS, HALF), False),
        (Restriction(ANY, ADDRESS, NET), Restriction(scope("a.example"), ADDRESS, NET), True),
        (Restriction(scope("a.example"), ADDRESS, NET), Restriction(ANY, ADDRESS, NET), False),
        (Restriction(ANY, ADDRESS, NET), Restriction(ANY, CERTIFICATE, NET), False),
        (Restriction(ANY, TLS, scope(TLS)), Restriction(ANY, TLS, scope(TLS)), True),
    ],
)
def test_a_restriction_refuses_all_that_another_refuses(wide: Restriction, narrow: Restriction, answer: bool) -> None:
    assert wide.covers(narrow) is answer


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"192.0.2.5/32", "192.0.2.6/32"}, {"192.0.2.6/32"}, {"192.0.2.6/32"}),
        ({"192.0.2.0/24"}, {"192.0.2.6/32", "198.51.100.7/32"}, {"192.0.2.6/32"}),
        ({"192.0.2.0/24"}, {"192.0.2.0/26"}, {"192.0.2.0/26"}),
        ({"*"}, {"contoso.com", "*.contoso.com"}, {"contoso.com", "*.contoso.com"}),
        ({"*.contoso.com"}, {"mail.contoso.com", "mail.fabrikam.com"}, {"mail.contoso.com"}),
        ({"192.0.2.5/32"}, {"192.0.2.6/32"}, set()),
        ({"*"}, set(), set()),
    ],
)
def test_two_scopes_share_the_narrower_of_what_both_cover(one: set[str], other: set[str], both: set[str]) -> None:
    assert shared(frozenset(one), frozenset(other)) == both
    assert shared(frozenset(other), frozenset(one)) == both
