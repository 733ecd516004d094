"""The contract of every forge's adapter: what it reads in what the forge sends, and whom it believes."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain import ChangeRequest, Push
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Unreadable
from services.webhooks.forges.gitlab import GitLab
from services.webhooks.push_rules import cleaned
from services.webhooks.refs import is_commit
from tests.component.webhooks.deliveries import A, B, push, signed
from tests.unit.webhooks.forge_cases import CASES, DATA, PAGE, TITLES, Case, delivery, page, read, said

EVERY = [case for cases in CASES.values() for case in cases]
NOW = 1_789_373_472.0
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def _name(case: Case) -> str:
    return f"{case.forge}-{case.file}"


@pytest.mark.parametrize("case", EVERY, ids=_name)
def test_what_is_read(case: Case) -> None:
    """Each delivery says what the table says."""
    assert said(read(case.forge, case.file)) == case.said


def test_every_delivery_is_in_the_table() -> None:
    """A file that no case names would be read by nobody."""
    stored = {(forge, path.stem) for forge in FORGES for path in DATA.glob(f"{forge}/*.json")}
    assert stored == {(case.forge, case.file) for case in EVERY}
    assert set(TITLES) == set(FORGES)


def test_the_page_shows_the_table() -> None:
    """docs/forges.md is made from these cases: `python -m tests.unit.webhooks.forge_cases`."""
    assert PAGE.read_text() == page(PAGE.read_text())


@pytest.mark.parametrize("case", EVERY, ids=_name)
def test_a_push_says_all_that_a_change_needs(case: Case) -> None:
    """Repository, full ref, and an account by its immutable id."""
    for found in read(case.forge, case.file).pushes:
        assert found.repository.lower().endswith(("/hello-world", "/todo"))
        assert found.ref.startswith(("refs/heads/", "refs/tags/"))
        assert found.commit is None or is_commit(found.commit)
        assert (found.pusher.forge, bool(found.pusher.id)) == (case.forge, True)


@pytest.mark.parametrize("case", [case for case in EVERY if case.file in ("push", "push-branch-created")], ids=_name)
def test_a_push_tells_people_what_they_look_for(case: Case) -> None:
    """The message, the author, the commit's page, where it is cloned from."""
    (found,) = read(case.forge, case.file).pushes
    assert found.title.startswith(("Initial commit", "Show what is due"))
    assert found.author in ("Codertocat", "Ada Löwe", "Grace H.")
    assert found.web_url is not None
    assert str(found.commit) in found.web_url
    assert found.clone_url.endswith(".git")


@pytest.mark.parametrize("case", CASES["a message that asks for nothing"], ids=_name)
def test_a_marker_anywhere_in_the_message_is_found(case: Case) -> None:
    """In the title or below it, in any letters."""
    (found,) = read(case.forge, case.file).pushes
    assert cleaned(found).skips


def test_an_account_without_a_unique_name_is_told_by_its_id_only() -> None:
    """Nicknames of Bitbucket Cloud may be anybody's: a person could take another's rights with one."""
    (found,) = read("bitbucket", "push").pushes
    assert (found.pusher.login, found.pusher.id) == (None, "557058:0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")


@pytest.mark.parametrize(
    ("forge", "repository", "source"),
    [
        ("github", "github.com/acme/todo", "github.com/bob/todo"),
        ("gitlab", "gitlab.example.com/acme/web/todo", "gitlab.example.com/bob/todo"),
        ("bitbucket", "bitbucket.org/acme/todo", "bitbucket.org/bob/todo"),
        ("bitbucket-data-center", "/WEB/todo", "/~BOB/todo"),
        ("gitea", "git.example.com/acme/todo", "git.example.com/bob/todo"),
    ],
)
def test_a_forks_request_is_told_from_our_own(forge: str, repository: str, source: str) -> None:
    """What comes from another repository is a fork's; one whose fork is gone too."""
    ours, theirs = _request(forge, "request-merged"), _request(forge, "request-of-fork-opened")
    assert (ours.fork, ours.repository, ours.source_repository) == (False, repository, repository)
    assert (theirs.fork, theirs.repository, theirs.source_repository) == (True, repository, source)
    assert ours.commit.startswith("e2b7f8410c6d")
    assert ours.web_url is not None


def _request(forge: str, file: str) -> ChangeRequest:
    found = read(forge, file).request
    assert found is not None
    return found


@pytest.mark.parametrize(("forge", "file"), [(forge, "push") for forge in FORGES])
def test_a_redelivery_has_the_same_identity(forge: str, file: str) -> None:
    """Every forge names its deliveries."""
    headers = {name.lower(): value for name, value in delivery(forge, file)[0].items()}
    assert FORGES[forge]().identify(headers).key
    assert FORGES[forge]().identify({}).key == ""


def test_every_attempt_of_gitlab_has_the_same_identity() -> None:
    """The signed id is the idempotency key; the id of the event is not the delivery's."""
    assert GitLab().identify({"idempotency-key": "k", "x-gitlab-event-uuid": "e"}).key == "k"
    assert GitLab().identify({"webhook-id": "k", "x-gitlab-event-uuid": "e"}).key == "k"
    assert GitLab().identify({"x-gitlab-event-uuid": "e"}).key == ""


def _hex(body: bytes, secret: str) -> str:
    return signed(body, secret).removeprefix("sha256=")


SIGNATURES: list[tuple[str, str, Callable[[bytes, str], str]]] = [
    ("github", "x-hub-signature-256", signed),
    ("bitbucket", "x-hub-signature", signed),
    ("bitbucket-data-center", "x-hub-signature", signed),
    ("gitea", "x-gitea-signature", _hex),
    ("gitea", "x-forgejo-signature", _hex),
    ("gitea", "x-hub-signature-256", signed),
]


@pytest.mark.parametrize(("forge", "header", "sign"), SIGNATURES)
def test_only_the_right_secret_over_the_very_bytes_verifies(forge: str, header: str, sign: Callable[[bytes, str], str]) -> None:
    """One of several secrets is enough; a changed byte, no secret, no signature or nonsense is not."""
    adapter, body = FORGES[forge](), b'{"a": 1}'
    headers = {header: sign(body, "two")}
    assert adapter.verify(headers, body, ("one", "two"))
    assert not adapter.verify(headers, body + b" ", ("one", "two"))
    assert not adapter.verify(headers, body, ("one",))
    assert not adapter.verify(headers, body, ())
    assert not adapter.verify({}, body, ("two",))
    assert not adapter.verify({header: ""}, body, ("two",))
    assert not adapter.verify({header: "sha256=ÿÿ\ud800"}, body, ("two",))
    assert not adapter.verify({header: "sha1=" + hmac.new(b"two", body, hashlib.sha1).hexdigest()}, body, ("two",))


def test_a_good_signature_of_gitea_does_not_rescue_a_bad_one_of_forgejo() -> None:
    """The first that is there has to fit."""
    headers = {"x-forgejo-signature": _hex(b"{}", "other"), "x-gitea-signature": _hex(b"{}", "one")}
    assert not FORGES["gitea"]().verify(headers, b"{}", ("one",))


def test_gitlabs_plain_token_is_compared() -> None:
    """Old and new hold during a rotation; an empty one is none."""
    adapter = GitLab()
    assert adapter.verify({"x-gitlab-token": "two"}, b"{}", ("one", "two"))
    assert not adapter.verify({"x-gitlab-token": "three"}, b"{}", ("one", "two"))
    assert not adapter.verify({"x-gitlab-token": ""}, b"{}", ("", "two"))
    assert not adapter.verify({}, b"{}", ("one",))
    assert not adapter.verify({"x-gitlab-token": "ü\ud800"}, b"{}", ("one",))


def _standard(body: bytes, key: str = KEY, identity: str = "k-1", moment: str = str(int(NOW))) -> dict[str, str]:
    signature = hmac.new(base64.b64decode(key.removeprefix("whsec_")), f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": f"v1,{base64.b64encode(signature).decode()}"}


def test_gitlabs_signing_token_is_standard_webhooks() -> None:
    """Id, time and body are signed; several signatures may stand beside each other, and several keys hold."""
    adapter, body = GitLab(lambda: NOW), b'{"a": 1}'
    good = _standard(body)
    assert adapter.verify(good, body, ("plain", KEY))
    assert adapter.verify(good | {"webhook-signature": f"v1,AAAA v2,x {good['webhook-signature']}"}, body, (KEY,))
    assert not adapter.verify(good, body + b" ", (KEY,))
    assert not adapter.verify(good | {"webhook-id": "k-2"}, body, (KEY,))
    assert not adapter.verify(good | {"webhook-signature": good["webhook-signature"].removeprefix("v1,")}, body, (KEY,))
    assert not adapter.verify(good, body, ("whsec_" + base64.b64encode(bytes(32)).decode(),))
    assert not adapter.verify(good, body, ("whsec_not base64",))


@pytest.mark.parametrize("moment", [str(int(NOW) - 301), str(int(NOW) + 301), "", "now", "-1", "9" * 400, "١٢٣"])
def test_a_signature_of_another_time_is_refused(moment: str) -> None:
    """What was caught on its way is worth nothing five minutes later."""
    assert not GitLab(lambda: NOW).verify(_standard(b"{}", moment=moment), b"{}", (KEY,))


def test_a_signed_request_does_not_fall_back_to_the_token() -> None:
    """Where a signing token is known, a bad signature is bad; and a signing token is no plain one."""
    adapter = GitLab(lambda: NOW)
    forged = _standard(b"{}") | {"webhook-signature": "v1,AAAA", "x-gitlab-token": "plain"}
    assert not adapter.verify(forged, b"{}", (KEY, "plain"))
    assert adapter.verify({"x-gitlab-token": "plain"}, b"{}", (KEY, "plain"))
    assert not adapter.verify({"x-gitlab-token": KEY}, b"{}", (KEY,))


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_json_object_is_unreadable(forge: str, body: bytes) -> None:
    """Whatever the bytes are, the failure is the expected one."""
    headers = {name.lower(): value for name, value in delivery(forge, "push")[0].items()}
    with pytest.raises(Unreadable):
        FORGES[forge]().read(headers, body)


@pytest.mark.parametrize("case", [case for case in EVERY if case.file.startswith(("push", "tag", "request", "pull", "delete"))], ids=_name)
def test_what_lacks_everything_is_unreadable_or_ignored(case: Case) -> None:
    """An empty object says nothing, and is no error of ours."""
    headers = {name.lower(): value for name, value in delivery(case.forge, case.file)[0].items()}
    try:
        reading = FORGES[case.forge]().read(headers, b"{}")
    except Unreadable as error:
        assert "lacks" in str(error)  # noqa: PT017 -- either is right
    else:
        assert (reading.pushes, reading.request, bool(reading.ignored)) == ((), None, True)


def test_githubs_annotated_tag_leads_to_the_head_commit() -> None:
    """`after` is the tag object."""
    payload = push(A, ref="refs/tags/v1")
    payload["head_commit"]["id"] = B
    assert _github(payload).commit == B


def test_a_github_enterprise_server_is_another_host() -> None:
    """Repositories of the same name on two servers are two."""
    payload = push(A)
    payload["repository"]["html_url"] = "https://git.acme.example/Codertocat/Hello-World"
    assert _github(payload).repository == "git.acme.example/Codertocat/Hello-World"


def _github(payload: dict[str, Any]) -> Push:
    (found,) = FORGES["github"]().read({"x-github-event": "push"}, json.dumps(payload).encode()).pushes
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_a_mutated_payload_is_read_or_unreadable(data: st.DataObject) -> None:
    """Any value in any place of any delivery: what comes out can be stored, or the failure is the expected one."""
    case = data.draw(st.sampled_from(EVERY))
    headers, payload = delivery(case.forge, case.file)
    place: Any = payload
    while True:
        key = data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else sorted(place)))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON)
        break
    try:
        reading = FORGES[case.forge]().read({name.lower(): value for name, value in headers.items()}, json.dumps(payload).encode())
    except Unreadable:
        return
    for found in reading.pushes:
        fit = cleaned(found)
        texts = (fit.repository, fit.clone_url, fit.ref, fit.title, fit.author, fit.web_url or "", fit.pusher.model_dump_json())
        assert not any("\x00" in text for text in texts)
        assert all(text.encode() is not None for text in texts)
