"""The rules: what a change is, and when two pushes say the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain import Arrival, ChangeRequest, Head, Origin, Push, RequestAction, State
from services.webhooks.push_rules import change_of, cleaned, judge
from services.webhooks.refs import follows, is_ref
from services.webhooks.request_rules import cleaned_request, request_change_of, why_ignored
from services.webhooks.texts import clean
from shared.contracts.changes import ChangeRequestClosed, FoundBy, Pusher, RequestChange

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
    ("pattern", "ref"),
    [
        ("refs/heads/main", "refs/heads/main"),
        ("refs/heads/release/*", "refs/heads/release/1/2"),
        ("refs/tags/v*", "refs/tags/v2.0"),
    ],
)
def test_what_follows_a_ref(pattern: str, ref: str) -> None:
    """Full names and patterns; other branches are not followed, nor one that is named like a tag."""
    assert follows((pattern,), ref)
    assert not follows((pattern,), "refs/heads/other")
    assert not follows((pattern,), f"refs/heads/{ref}")


FORK = ChangeRequest(
    "github.com/acme/todo", "7", RequestAction.OPENED, "github.com/bob/todo", "feature/due", "main", "1" * 40, fork=True,
    by=Pusher(forge="github", login="bob", id="5"), title="Due dates\n\nmore",
)  # fmt: skip


def _made(request: ChangeRequest, forge: str = "github") -> RequestChange:
    arrival = _arrival()
    arrival = replace(arrival, origin=replace(arrival.origin, forge=forge, repository="github.com/acme/todo"))
    assert why_ignored(request, arrival.origin) == ""
    return request_change_of(cleaned_request(request), arrival, 3)


@pytest.mark.parametrize(
    ("forge", "ref"),
    [
        ("github", "refs/pull/7/head"),
        ("gitlab:git.acme.example", "refs/merge-requests/7/head"),
        ("bitbucket-data-center:git.acme.example", "refs/pull-requests/7/from"),
        ("gitea:git.acme.example", "refs/pull/7/head"),
    ],
)
def test_a_fork_s_commit_is_fetched_from_the_repository_itself(forge: str, ref: str) -> None:
    """Forges keep it there; of a change request within the repository it is its branch."""
    made = _made(FORK, forge)
    assert (made.ref, made.fork, made.number, made.title) == (ref, True, "7", "Due dates")
    assert _made(replace(FORK, fork=False), forge).ref == "refs/heads/feature/due"


def test_bitbucket_cloud_keeps_no_commits_of_forks() -> None:
    """Its change requests of forks are recorded with the reason; that one was closed is taken all the same."""
    origin = replace(_arrival().origin, forge="bitbucket", repository="github.com/acme/todo")
    assert "cannot be fetched" in why_ignored(FORK, origin)
    assert why_ignored(replace(FORK, action=RequestAction.CLOSED), origin) == ""


@pytest.mark.parametrize(
    ("action", "made", "merged"),
    [(RequestAction.CLOSED, ChangeRequestClosed, False), (RequestAction.MERGED, ChangeRequestClosed, True)],
)
def test_what_is_over_needs_no_whole_commit(action: RequestAction, made: type[RequestChange], merged: bool) -> None:
    """Bitbucket Cloud says the first digits only, and a branch may be gone."""
    found = _made(replace(FORK, action=action, commit="1234567"), "bitbucket")
    assert isinstance(found, made)
    assert found.model_dump()["merged"] is merged
    assert found.commit == "0" * 40


@pytest.mark.parametrize(
    "request_",
    [
        replace(FORK, repository="github.com/eve/todo"),
        replace(FORK, number="7.*"),
        replace(FORK, number="٧"),
        replace(FORK, target="main..evil"),
        replace(FORK, source="a b", fork=False),
        replace(FORK, source="x" * 2000, fork=False),
    ],
)
def test_what_a_forge_cannot_mean_is_recorded(request_: ChangeRequest) -> None:
    """Another repository, a number that is none, names that git does not allow."""
    assert why_ignored(request_, replace(_arrival().origin, repository="github.com/acme/todo"))


def test_a_change_request_fits_the_bus_whatever_the_forge_sent() -> None:
    """Texts are cut and fit for storage."""
    long = "ß" * 100_000 + "\x00"
    by = Pusher(forge="github", login=long, email=long)
    assert len(_made(replace(FORK, title=long, web_url=long, source_repository=long, by=by)).encode()) < 20_000
