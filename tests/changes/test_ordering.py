"""What is needed comes first, and what closes comes last."""

from __future__ import annotations

from provisioner.changes import ordering
from provisioner.model import Action, Address, Change, consequence

OPENING, CLOSING = consequence.WIDENS, consequence.STOPS


def test_what_is_needed_comes_first_and_deletes_the_other_way_round() -> None:
    a, b, c = (Address("x", k) for k in "abc")
    made = [Change(a, Action.CREATE, None, 1, needs=(b,)), Change(b, Action.CREATE, None, 1, needs=(c,))]
    made.append(Change(c, Action.CREATE, None, 1))
    assert [str(x.address.key) for x in ordering.order(made)] == ["c", "b", "a"]
    gone = [Change(x.address, Action.DELETE, 1, None, needs=x.needs) for x in made]
    assert [str(x.address.key) for x in ordering.order(gone)] == ["a", "b", "c"]


def test_what_opens_and_closes_comes_after_what_opens_and_before_what_only_closes() -> None:
    closes, both, opens = (Address("x", key) for key in "abc")
    made = [
        Change(closes, Action.UPDATE, 1, 2, consequences=(CLOSING,)),
        Change(both, Action.UPDATE, 1, 2, consequences=(OPENING, CLOSING)),
        Change(opens, Action.UPDATE, 1, 2, consequences=(OPENING,)),
    ]
    assert [c.address for c in ordering.order(made)] == [opens, both, closes]
    assert ordering.stages(made) == {
        opens: ordering.Stage.FREE,
        both: ordering.Stage.MIXED,
        closes: ordering.Stage.CLOSING,
    }
    assert len(set(ordering.Stage)) == 3


def test_a_change_is_never_before_the_stage_of_what_it_needs() -> None:
    first, then = Address("x", "first"), Address("x", "then")
    made = [
        Change(then, Action.CREATE, None, 1, needs=(first, Address("x", "elsewhere")), consequences=(OPENING,)),
        Change(first, Action.UPDATE, 1, 2, consequences=(CLOSING,)),
    ]
    assert ordering.stages(made) == {first: ordering.Stage.CLOSING, then: ordering.Stage.CLOSING}
    assert [c.address for c in ordering.order(made)] == [first, then]


def test_what_is_disabled_comes_after_what_needed_it_so_far() -> None:
    """Not where another change needs it: two that exchange what they need would wait for each other."""
    connector, rule, other = Address("x", "a"), Address("y", "b"), Address("y", "c")
    off = Change(connector, Action.UPDATE, 1, 2, disables=True)
    freed = Change(rule, Action.UPDATE, 1, 2, releases=(connector,))
    assert [c.address for c in ordering.order([off, freed])] == [rule, connector]
    user = Change(other, Action.UPDATE, 1, 2, needs=(connector,))
    assert ordering.dependencies([off, freed, user]) == {connector: set(), rule: set(), other: {connector}}
    changed = Change(connector, Action.UPDATE, 1, 2)
    assert ordering.dependencies([changed, freed]) == {connector: set(), rule: set()}


def test_names_that_differ_in_case_are_one_object() -> None:
    """`absent` may write a name otherwise than the tenant, by whose spelling others name it."""
    as_written, as_named, rule = Address("x", "to bank"), Address("x", "To Bank"), Address("y", "rule")
    gone = Change(as_written, Action.DELETE, 1, None)
    freed = Change(rule, Action.UPDATE, 1, 2, releases=(as_named,))
    gone_too = Change(rule, Action.DELETE, 1, None, needs=(as_named,))
    for other in (freed, gone_too):
        assert [c.address for c in ordering.order([gone, other])] == [rule, as_written]
