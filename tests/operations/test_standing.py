"""What to do about a refusal, with the plan at hand."""

from __future__ import annotations

import pytest

from provisioner.mailflow.attempt import Decision
from provisioner.operations.standing import advised

PATH = "client_submission"
WRITE, GIVE = "write enabled for the mailbox", "give the user a policy that allows it"
OFF = Decision(False, PATH, reason="organization", hint=WRITE)
BOTH = Decision(False, PATH, reason="organization", hint=WRITE, others=("authentication_policy",))
POLICY = Decision(False, PATH, reason="authentication_policy", hint=GIVE)
ON = Decision(True, PATH)
APPLY = "the plan changes that: provisioner apply"


@pytest.mark.parametrize(
    ("now", "then", "advice"),
    [
        (OFF, OFF, WRITE),
        (OFF, ON, APPLY),
        (OFF, Decision(None, PATH), APPLY),
        (BOTH, POLICY, f"{APPLY}; then {GIVE}"),
        (POLICY, BOTH, GIVE),
        (ON, ON, ""),
        (Decision(None, PATH, hint="look"), ON, "look"),
    ],
)
def test_the_plan_is_to_be_applied_where_it_has_what_lacks(now: Decision, then: Decision, advice: str) -> None:
    assert advised(now, then) == advice
