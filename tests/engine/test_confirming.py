"""Reading back many changes costs pages, or a few lookups where these cost less."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner import engine
from provisioner.engine.reading import Costs
from provisioner.model import Answer, Cmdlet, Query, request_key
from provisioner.resources.rows import cas_mailbox, user
from provisioner.resources.smtp_auth import SmtpAuth
from tests.engine.test_engine import Tenant, carry_out, desired, plan


class Large(Tenant):
    """A tenant whose listings have so many pages; `read` is what reading has cost."""

    pages = 1
    read = 0

    def get_casmailbox(self, p: dict[str, Any]) -> Answer:
        rows = super().get_casmailbox(p).rows
        requests = 1 if "Filter" in p else self.pages
        self.read += requests
        return Answer(rows, requests=requests)


@pytest.mark.parametrize(("count", "pages"), [(300, 3), (60, 60)])
def test_reading_back_costs_pages_or_look_ups_whichever_are_fewer(count: int, pages: int) -> None:
    tenant = Large({f"m{n}@x.com": None for n in range(count)}, delay_s=0.001)
    tenant.pages = pages
    changes = plan(tenant, desired(*(SmtpAuth(name, "enabled") for name in tenant.mailboxes)))
    tenant.read = 0
    results = carry_out(tenant, changes, writes=16, confirm_s=60.0)
    assert {status for status, _ in results.values()} == {engine.DONE}
    assert tenant.writes["Set-CASMailbox"] == count
    rechecked = pages
    assert tenant.read - rechecked <= count / 10 + 2 * min(pages, count / 20) + 3


def test_a_listing_with_more_pages_than_look_ups_is_not_asked_for() -> None:
    keys = [f"m{n}@contoso.com" for n in range(45)]
    parts = tuple(Query(request, frozenset(names)) for names, request in cas_mailbox.look_ups(keys))
    listing = Query(cas_mailbox.LISTING, frozenset(keys), parts=parts)
    costs = Costs()
    assert costs.cheaper([listing]) == (listing,), "its pages are not known yet"
    costs.learn({request_key(cas_mailbox.LISTING): Answer(requests=3)})
    assert costs.cheaper([listing]) == (listing,)
    costs.learn({request_key(cas_mailbox.LISTING): Answer(requests=4)})
    assert costs.cheaper([listing]) == parts
    assert frozenset(keys) == frozenset().union(*(part.covers for part in parts))


def test_look_ups_of_users_name_each_address() -> None:
    (first, request), (second, _) = user.several(f"m{n:02}@contoso.com" for n in range(21))
    assert (len(first), second) == (20, ["m20@contoso.com"])
    assert isinstance(request, Cmdlet)
    assert str(request.parameters["Filter"]).count("UserPrincipalName -eq") == 20
