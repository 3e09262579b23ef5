"""What a run of the suite draws: one case of tests that are alike, the same in each worker, and in time every one."""

from __future__ import annotations

import pytest

from tests.generated import drawn


@pytest.mark.one_of("transport")
@pytest.mark.parametrize("transport", ["rest", "psrp"])
@pytest.mark.parametrize("change", ["create", "delete"])
def test_alike(transport: str, change: str) -> None:
    """A test that repeats another's for each transport."""


@pytest.mark.one_of("number", cases=3)
@pytest.mark.parametrize("number", range(9))
def test_many(number: int) -> None:
    """A test of which three cases are enough."""


@pytest.mark.parametrize("number", range(2))
def test_each(number: int) -> None:
    """A test of which no case is left out."""


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> list[pytest.Item]:
    module = request.node.getparent(pytest.Module)
    return [item for item in module.collect() if isinstance(item, pytest.Item) and item.name != request.node.name]


def names(items: list[pytest.Item]) -> set[str]:
    return {item.name for item in items}


def test_one_of_each_group_is_kept_and_all_that_is_not_marked(collected: list[pytest.Item]) -> None:
    kept = names(drawn(collected, 7))
    assert sum("create" in name for name in kept) == sum("delete" in name for name in kept) == 1
    assert sum(name.startswith("test_many") for name in kept) == 3
    assert {"test_each[0]", "test_each[1]"} <= kept


def test_a_seed_draws_the_same_in_whatever_order_and_seeds_together_draw_all(collected: list[pytest.Item]) -> None:
    for seed in range(5):
        assert names(drawn(collected, seed)) == names(drawn(collected[::-1], seed))
    assert names(collected) == {name for seed in range(40) for name in names(drawn(collected, seed))}
