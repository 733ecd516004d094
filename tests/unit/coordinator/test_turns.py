"""Whose turn it is in the queue of an environment."""

from services.coordinator.saga import DeploymentState, Saga
from services.coordinator.turns import turn
from tests.unit.coordinator.scenario import START, origin


def queued(arrival: int, *, by_hand: bool = False) -> Saga:
    """One that waits for the environment."""
    return Saga(f"d{arrival}", origin(arrival=arrival, by_hand=by_hand), DeploymentState.QUEUED, START)


def test_the_newest_push_takes_the_environment_and_older_ones_give_way() -> None:
    """Nobody wants what was pushed over."""
    now = turn([queued(1), queued(3), queued(2)], None)
    assert now.next == "d3"
    assert {name: newer.by for name, newer in now.give_way.items()} == {"d1": "d3", "d2": "d3"}


def test_a_push_that_was_overtaken_does_not_take_the_place_of_the_newer_one() -> None:
    """Its build took longer; what the environment runs was pushed later."""
    now = turn([queued(1)], queued(2))
    assert now.next is None
    assert now.give_way["d1"].by == "d2"


def test_what_a_person_asked_for_comes_before_a_newer_push_and_is_not_lost() -> None:
    """The roll-back first, then the push."""
    now = turn([queued(2), queued(1, by_hand=True)], None)
    assert (now.next, now.give_way) == ("d1", {})


def test_a_person_may_go_back_behind_what_runs() -> None:
    """Whoever asks for an older deployment again means it."""
    assert turn([queued(1, by_hand=True)], queued(2)).next == "d1"


def test_a_persons_newer_wish_takes_the_place_of_all_before_it() -> None:
    """Of pushes, and of an earlier wish."""
    now = turn([queued(1), queued(2, by_hand=True), queued(3, by_hand=True)], None)
    assert now.next == "d3"
    assert set(now.give_way) == {"d1", "d2"}


def test_an_empty_queue_is_nobodys_turn() -> None:
    """Nothing happens."""
    assert turn([], None).next is None
