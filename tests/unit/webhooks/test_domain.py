"""The rules: what a change is, and when two pushes say the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain import Arrival, Head, Origin, Push, State, change_of, clean, cleaned, follows, is_ref, judge
from shared.contracts.changes import FoundBy, Pusher

ORIGIN = Origin("main", "todo", "gh", "github", "", "")
PUSH = Push("github.com/acme/todo", "https://github.com/acme/todo.git", "refs/heads/main", None, "a" * 40, Pusher(forge="github"))


def _arrival(found_by: FoundBy = FoundBy.DELIVERY, expected: int | None = None) -> Arrival:
    return Arrival(ORIGIN, found_by, (PUSH,), expected=expected)


def _head(commit: str = "a", state: State = State.TAKEN, arrival: int = 7) -> Head:
    return Head(commit * 40, arrival, "01kchange", state)


def test_the_first_push_of_a_ref_is_a_change() -> None:
    """Nothing is known of it."""
    assert judge(PUSH, None, _arrival()) is None


@pytest.mark.parametrize("state", [State.PENDING, State.TAKEN])
def test_the_commit_of_the_last_change_is_the_same_change(state: State) -> None:
    """Whether it is settled or on its way."""
    known = judge(PUSH, _head(state=state), _arrival())
    assert known is not None
    assert known.change == "01kchange"


def test_an_earlier_commit_is_a_change_again() -> None:
    """A, B, A: only the last one counts."""
    assert judge(PUSH, _head("b"), _arrival()) is None


def test_an_ignored_change_is_the_same_for_the_sweep_only() -> None:
    """A person who pushes again means it; the sweep would find it every minute."""
    head = _head(state=State.IGNORED)
    assert judge(PUSH, head, _arrival()) is None
    assert judge(PUSH, head, _arrival(FoundBy.SWEEP, expected=7)) is not None


def test_the_sweep_gives_way_to_what_came_after_it_looked() -> None:
    """The arrival number moved in between."""
    assert judge(PUSH, _head("b", arrival=7), _arrival(FoundBy.SWEEP, expected=7)) is None
    assert judge(PUSH, _head("b", arrival=8), _arrival(FoundBy.SWEEP, expected=7)) is not None


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/größe/日本", "refs/tags/v1.0", "refs/heads/-x", "refs/heads/a@b"])
def test_refs_that_git_allows(ref: str) -> None:
    """As git-check-ref-format says."""
    assert is_ref(ref)


@pytest.mark.parametrize(
    "ref",
    ["main", "refs/heads", "refs/heads/", "refs/heads/a..b", "refs/heads/a b", "refs/heads/a\x00", "refs/heads/a.lock", "refs/heads/@{"],
)
def test_refs_that_git_does_not_allow(ref: str) -> None:
    """As git-check-ref-format says."""
    assert not is_ref(clean(ref))


@given(st.text(st.characters()))
def test_cleaned_text_can_be_stored(text: str) -> None:
    """UTF-8 holds it, PostgreSQL takes it, and good text is unchanged."""
    found = clean(text)
    assert "\x00" not in found
    assert found.encode().decode() == found
    assert clean(found) == found


def test_a_surrogate_pair_is_one_character() -> None:
    """JSON may write a character in two halves."""
    assert clean("\ud83d\ude80") == "🚀"


def test_a_change_fits_the_bus_whatever_the_forge_sent() -> None:
    """Texts are cut."""
    long = "ß" * 100_000
    push = replace(PUSH, title=long, author=long, web_url=long, clone_url=long, pusher=Pusher(forge="github", login=long, email=long))
    assert len(change_of(cleaned(push), _arrival(), 1).encode()) < 20_000


@pytest.mark.parametrize(
    ("pattern", "ref"), [("refs/heads/main", "refs/heads/main"), ("main", "refs/heads/main"), ("release/*", "refs/heads/release/1/2")]
)
def test_what_follows_a_ref(pattern: str, ref: str) -> None:
    """Full names, short names and patterns; other branches are not followed."""
    assert follows((pattern,), ref)
    assert not follows((pattern,), "refs/heads/other")
