"""The contract of every forge's adapter, and what GitHub's says of real payloads."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain import cleaned
from services.webhooks.forges import FORGES
from services.webhooks.forges.port import Reading, Unreadable
from tests.component.webhooks.deliveries import A, B, example, push, signed

FOLDER = Path(__file__).parents[2] / "data"
EXAMPLES = [(forge, path) for forge in FORGES for path in sorted((FOLDER / forge).glob("*.json"))]
EVENT = {"github": "x-github-event"}
SIGNATURE = {"github": "x-hub-signature-256"}


def _headers(forge: str, path: Path) -> dict[str, str]:
    return {EVENT[forge]: path.stem.split("-")[0]}


@pytest.mark.parametrize(("forge", "path"), EXAMPLES, ids=lambda value: getattr(value, "stem", value))
def test_real_payloads_are_read(forge: str, path: Path) -> None:
    """A push gives a push with repository, ref and pusher; anything else a reason."""
    reading = FORGES[forge]().read(_headers(forge, path), path.read_bytes())
    if path.stem.startswith("push"):
        (found,) = reading.pushes
        assert found.repository
        assert found.ref.startswith("refs/")
        assert found.pusher.id
    else:
        assert reading.ignored


@pytest.mark.parametrize("forge", FORGES)
def test_only_the_right_secret_over_the_very_bytes_verifies(forge: str) -> None:
    """One of several secrets is enough; a changed byte, no secret, no signature or nonsense is not."""
    adapter, body = FORGES[forge](), b'{"a": 1}'
    headers = {SIGNATURE[forge]: signed(body, "two")}
    assert adapter.verify(headers, body, ("one", "two"))
    assert not adapter.verify(headers, body + b" ", ("one", "two"))
    assert not adapter.verify(headers, body, ("one",))
    assert not adapter.verify(headers, body, ())
    assert not adapter.verify({}, body, ("two",))
    assert not adapter.verify({SIGNATURE[forge]: "sha256=ÿÿ\ud800"}, body, ("two",))


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_json_object_is_unreadable(forge: str, body: bytes) -> None:
    """Whatever the bytes are, the failure is the expected one."""
    with pytest.raises(Unreadable):
        FORGES[forge]().read({EVENT[forge]: "push"}, body)


def test_githubs_zeros_mean_none() -> None:
    """`before` of zeros: the ref was made; `after` of zeros: it was deleted."""
    made = _read(example("push-tag-created"))
    deleted = _read(example("push-tag-deleted"))
    assert (made.before, made.commit) == (None, "6113728f27ae82c7b1a177c8d03f9e96e0adf246")
    assert (deleted.before, deleted.commit) == ("6113728f27ae82c7b1a177c8d03f9e96e0adf246", None)


def test_githubs_annotated_tag_leads_to_the_head_commit() -> None:
    """`after` is the tag object."""
    payload = push(A, ref="refs/tags/v1")
    payload["head_commit"]["id"] = B
    assert _read(payload).commit == B


def test_a_github_enterprise_server_is_another_host() -> None:
    """Repositories of the same name on two servers are two."""
    payload = push(A)
    payload["repository"]["html_url"] = "https://git.acme.example/Codertocat/Hello-World"
    assert _read(payload).repository == "git.acme.example/Codertocat/Hello-World"


def _read(payload: dict[str, Any]) -> Any:
    (found,) = FORGES["github"]().read({"x-github-event": "push"}, json.dumps(payload).encode()).pushes
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_a_mutated_payload_is_read_or_unreadable(data: st.DataObject) -> None:
    """Any value in any place: what comes out can be stored, or the failure is the expected one."""
    payload = example(data.draw(st.sampled_from(["push-branch-created", "push-tag-deleted"])))
    place: Any = payload
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON)
        break
    try:
        reading = FORGES["github"]().read({"x-github-event": "push"}, json.dumps(payload).encode())
    except Unreadable:
        return
    assert isinstance(reading, Reading)
    for found in reading.pushes:
        fit = cleaned(found)
        texts = (fit.repository, fit.clone_url, fit.ref, fit.title, fit.author, fit.web_url or "", fit.pusher.model_dump_json())
        assert not any("\x00" in text for text in texts)
        assert all(text.encode() is not None for text in texts)
