"""`mailflow` and the sandbox implement the same behaviour from the same sources: generated tenants and attempts.

`python -m tests.mailflow` compares all of them and prints the table.
"""

from __future__ import annotations

import pytest

from provisioner.mailflow import Decision
from tests.generated import share
from tests.mailflow.comparing import ALL, disagreement, reasons_of, tally
from tests.mailflow.comparing import OPEN as OPEN_ONES

TENANTS = range(2_000)


def test_both_decide_alike_wherever_a_source_decides() -> None:
    seeds = list(share(TENANTS))
    found = tally(seeds)
    assert not found.wrong, "\n".join(found.wrong[:3])
    if len(seeds) == len(TENANTS):  # of a few tenants, drawn by chance, neither need hold
        assert min(found.reasons[name] for name in ALL) >= 100, found.report()
        assert min(found.undecided[name] for name in OPEN_ONES) >= 100, found.report()
        assert found.open.total() <= 0.08 * found.compared, found.report()


@pytest.mark.parametrize("first", [0, 20])
def test_both_decide_alike_in_these_tenants_on_every_run(first: int) -> None:
    """Few, and always the same, so that what breaks either side shows in a suite that draws its seeds."""
    found = tally(range(first, first + 20))
    assert not found.wrong, "\n".join(found.wrong[:3])


ALLOWED, REFUSED = Decision(True, "direct_send"), Decision(False, "direct_send", reason="partner_restricts")
OPEN = Decision(None, "direct_send", reason="ambiguous", missing=("which of a and b decides",), possible=("mailbox",))


@pytest.mark.parametrize(
    ("found", "reasons", "whole", "wrong"),
    [
        (ALLOWED, set(), True, ""),
        (ALLOWED, {"mailbox"}, True, "allowed here, refused there: ['mailbox']"),
        (REFUSED, {"partner_restricts"}, True, ""),
        (REFUSED, set(), True, "refused here (partner_restricts), allowed there"),
        (REFUSED, {"mailbox"}, True, "certain here and not given there: ['partner_restricts']"),
        (REFUSED, {"mailbox", "partner_restricts"}, True, "given there and not known here: ['mailbox']"),
        (OPEN, set(), True, ""),
        (OPEN, {"mailbox"}, True, ""),
        (OPEN, {"organization"}, True, "given there and not known here: ['organization']"),
        (Decision(None, "direct_send", missing=("x",)), set(), True, "open although everything was read: ('x',)"),
        (Decision(None, "direct_send", missing=("x",)), set(), False, ""),
        (
            Decision(False, "smtp_relay", reason="no_connector"),
            {"no_connector", "sender_not_accepted"},
            True,
            "",
        ),
    ],
)
def test_a_disagreement_is_noticed(found: Decision, reasons: set[str], whole: bool, wrong: str) -> None:
    assert disagreement(found, frozenset(reasons), whole=whole) == wrong


def test_each_refusal_of_the_sandbox_stands_for_reasons() -> None:
    assert reasons_of("550 5.7.513 Service unavailable") == ("ip_blocked",)
    assert reasons_of("550 5.7.51 TenantInboundAttribution") == ("partner_restricts",)
    assert reasons_of("535 5.7.3 Authentication unsuccessful") == ("unlicensed",)
