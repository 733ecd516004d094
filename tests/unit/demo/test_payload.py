"""The stand-in for GitHub speaks as GitHub does."""

from examples.demo.payload import ACCOUNT, LOGIN, Moved, body_of, headers_of
from services.webhooks.forges.github import GitHub

SECRET = "s" * 32
MOVED = Moved("refs/heads/main", "a" * 40, "b" * 40, "Übermut 🚢", "2026-01-01T00:00:00+00:00")


def test_its_delivery_is_read_as_a_push_of_that_account() -> None:
    """Repository, commits and pusher arrive as they were; the signature fits this secret only."""
    body = body_of(MOVED, "acme/todo", "http://127.0.0.1:1234/acme/todo")
    headers = {name.lower(): value for name, value in headers_of(body, SECRET).items()}
    assert GitHub().verify(headers, body, [SECRET])
    assert not GitHub().verify(headers, body, ["t" * 32])
    (push,) = GitHub().read(headers, body).pushes
    assert (push.repository, push.ref, push.before, push.commit) == ("127.0.0.1/acme/todo", "refs/heads/main", "a" * 40, "b" * 40)
    assert (push.pusher.login, push.pusher.id, push.title) == (LOGIN, str(ACCOUNT), "Übermut 🚢")


def test_each_delivery_has_a_number_of_its_own() -> None:
    """What is told apart by its number is no redelivery."""
    body = body_of(MOVED, "acme/todo", "http://127.0.0.1:1234/acme/todo")
    assert headers_of(body, SECRET)["X-GitHub-Delivery"] != headers_of(body, SECRET)["X-GitHub-Delivery"]
