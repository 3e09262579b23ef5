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


@pytest.mark.one_of("transport")
@pytest.mark.parametrize("transport", ["rest", "psrp"])
@pytest.mark.parametrize("row", range(30))
def test_dear(row: int, transport: str) -> None:
    """A test whose one case costs three times as much as the other."""


@pytest.mark.part(0.3)
@pytest.mark.parametrize("number", range(6))
def test_example(number: int) -> None:
    """A test of which a share of the cases is enough."""


@pytest.mark.part(0.5)
def test_one_example() -> None:
    """A test of which one of two is enough; `test_another_example` is the other."""


@pytest.mark.part(0.5)
def test_another_example() -> None:
    """See `test_one_example`."""


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


def test_the_dear_case_is_drawn_more_rarely(collected: list[pytest.Item]) -> None:
    kept = [name for seed in range(10) for name in names(drawn(collected, seed)) if name.startswith("test_dear")]
    assert len(kept) == 300
    assert 30 < sum("psrp" in name for name in kept) < 110


def test_a_share_of_what_is_marked_part_is_kept_and_of_each_test_with_cases_at_least_one(
    collected: list[pytest.Item],
) -> None:
    for seed in range(5):
        kept = names(drawn(collected, seed))
        assert sum(name.startswith("test_example") for name in kept) == 2
        assert sum(name in {"test_one_example", "test_another_example"} for name in kept) == 1


def test_a_seed_draws_the_same_in_whatever_order_and_seeds_together_draw_all(collected: list[pytest.Item]) -> None:
    for seed in range(5):
        assert names(drawn(collected, seed)) == names(drawn(collected[::-1], seed))
    assert names(collected) == {name for seed in range(40) for name in names(drawn(collected, seed))}
