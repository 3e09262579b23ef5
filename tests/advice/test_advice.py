"""Every advice, followed as a reader would: the finding is gone, nothing else stops, and no advice undoes another."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from provisioner.resources import dkim
from provisioner.rules import RULES
from provisioner.rules.catalogue import CLOSE_BEFORE_OPEN
from tests.advice.following import Count, Wrong, follow_all, follow_each, said
from tests.advice.worlds import World, combined, pieces
from tests.generated import share

pytestmark = pytest.mark.impure

WITHOUT_ADVICE = {"PROTECTED"}
AT_APPLY = {CLOSE_BEFORE_OPEN}
OF_OBSERVED_MAIL = {rule for rule in RULES if rule.startswith("REPLAY-")}
"""No world here has observed mail: tests/rules/test_replay.py and tests/cli/test_replay.py say what these advise."""
OF_ROTATION = {"DKIM-ROTATING", "DKIM-ROTATE-DNS"}
"""An action of its own raises them: tests/cli/test_mail_settings.py."""
OF_ZONES = {"DNS-OVERWRITE"}
"""No world here publishes in a zone: tests/cli/test_dns_publish.py."""
OF_DANE = {rule for rule in RULES if rule.startswith("DANE-")}
"""Commands of their own raise them: tests/cli/test_dane.py."""
_COMBINATIONS = 400


@pytest.mark.part(0.5)
@pytest.mark.parametrize("world", pieces(), ids=lambda world: world.name)
def test_an_advice_does_what_it_says(world: World, tmp_path: Path) -> None:
    told = said(world, tmp_path).told
    assert world.raises <= {t.rule for t in told}
    assert {t.rule for t in told if not t.hint} <= WITHOUT_ADVICE | {"UNREAD"}
    follow_each(world, tmp_path)
    follow_all(world, tmp_path, random.Random(1))


def test_the_advice_of_several_findings_agrees(tmp_path: Path) -> None:
    for number in share(range(_COMBINATIONS)):
        world = combined(number)
        follow_each(world, tmp_path)
        follow_all(world, tmp_path, random.Random(number))


def test_the_advice_of_every_rule_is_tried() -> None:
    raised = {rule for world in pieces() for rule in world.raises}
    assert raised >= RULES.keys() - AT_APPLY - OF_OBSERVED_MAIL - OF_ROTATION - OF_ZONES - OF_DANE


def test_a_record_to_publish_is_advised_once(tmp_path: Path) -> None:
    """What this tool once said: "publish it; publish selector1…"."""
    made = ("New-DkimSigningConfig", {"DomainName": "contoso.com", "Enabled": False, "KeySize": 2048})
    world = World("to be published", {"dkim": {"contoso.com": {"enabled": True}}}, [made])
    fixes = {t.hint for t in said(world, tmp_path).told if t.rule == "DKIM-CNAME-MISSING"}
    assert {hint.partition("-contoso-com")[0] for hint in fixes} == {
        f"publish selector{n}._domainkey.contoso.com CNAME selector{n}" for n in (1, 2)
    }
    follow_each(world, tmp_path)
    follow_all(world, tmp_path, random.Random(1))


def test_an_entry_that_devices_need_too_is_corrected_with_them(tmp_path: Path) -> None:
    """Each of the three makes the same precondition: without the others' names it is told again."""
    supports = {"tls": "1.2", "authentication": ["basic"]}
    one = {"from": "erp@contoso.com", "recipients": "anyone", "supports": supports}
    two = {**one, "from": "bills@contoso.com", "mailbox": "erp@contoso.com"}
    blocked = ("load", {"graph": {"users": [{"userPrincipalName": "erp@contoso.com", "accountEnabled": False}]}})
    entry = {"mailboxes": {"erp@contoso.com": {"enabled": True}}}
    devices = {"devices": {"one": one, "two": two}}
    both = "correct from or mailbox of device/one, device/two"
    for plan, other in ((devices, both), (entry | devices, f"correct the plan, and {both}")):
        world = World("needed by several", plan, [blocked])
        told = [t for t in said(world, tmp_path).told if t.rule == "PRECONDITION"]
        assert told
        assert {t.hint.partition(" or ")[2] for t in told} == {other}
        follow_each(world, tmp_path)


def test_advice_that_leads_in_a_circle_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this tool once said: write 2048 where only creation sets the size, and then write 1024 again."""
    (world,) = (w for w in pieces() if w.name == "key to be")
    counts: dict[str, Count] = {}
    follow_each(world, tmp_path, counts)
    assert counts["DKIM-KEY-1024"].followed == 1
    monkeypatch.setattr(
        dkim, "_STRONGER_KEY", "write enabled: true to switch it on, or enabled: false if that is intended"
    )
    with pytest.raises(Wrong, match="it is told again"):
        follow_each(world, tmp_path)
