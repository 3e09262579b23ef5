"""What only the whole picture shows. Every rule has a stable id, a severity and a page in docs/rules/.

`lint` looks at a plan alone, `check` at the plan, the tenant and the changes together. A finding that blocks is lifted
only by name: `allow:` in the plan, `--allow RULE[:pattern]` on the command line.
"""

from provisioner.mailflow.asking import further_questions, questions, reduce_evidence, sign_in_questions
from provisioner.rules.catalogue import CLOSE_BEFORE_OPEN, RULES, rule_of
from provisioner.rules.plan_alone import lint, not_offered
from provisioner.rules.unmanaged import check_unmanaged
from provisioner.rules.waivers import lifted, parse_allow, waive
from provisioner.rules.whole_picture import check

__all__ = [
    "CLOSE_BEFORE_OPEN",
    "RULES",
    "check",
    "check_unmanaged",
    "further_questions",
    "lifted",
    "lint",
    "not_offered",
    "parse_allow",
    "questions",
    "reduce_evidence",
    "rule_of",
    "sign_in_questions",
    "waive",
]
