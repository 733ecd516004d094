"""Bitbucket Cloud (support.atlassian.com, "Event payloads"). It sends nothing over 256 KB, and retries twice on 5xx."""

from collections.abc import Sequence

from services.webhooks.domain import ChangeRequest, Push, RequestAction
from services.webhooks.forges.document import Document, Headers, Unreadable, identity_of, required
from services.webhooks.forges.port import Identity, Reading, unknown
from services.webhooks.forges.signatures import sha256_header_of_any
from services.webhooks.refs import is_commit
from shared.contracts.changes import Pusher

FORGE = "bitbucket"
_ACTIONS = {
    "pullrequest:created": RequestAction.OPENED,
    "pullrequest:updated": RequestAction.UPDATED,
    "pullrequest:fulfilled": RequestAction.MERGED,
    "pullrequest:rejected": RequestAction.CLOSED,
}


class Bitbucket:
    """One delivery tells of several refs. It has no ping: the test of a hook is a push."""

    def identify(self, headers: Headers) -> Identity:
        """Attempts are told apart by `X-Attempt-Number`; the request is the same."""
        return Identity(headers.get("x-hook-uuid", ""), headers.get("x-request-uuid", ""), headers.get("x-event-key", ""))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """`X-Hub-Signature: sha256=<hex>`; it is not sent where the hook has no secret, and then nothing is taken."""
        return sha256_header_of_any(secrets, body, headers.get("x-hub-signature", ""))

    def read(self, headers: Headers, body: bytes) -> Reading:
        """An update of a pull request may be one of its title alone: that cannot be told from the payload."""
        event = self.identify(headers).event
        if event == "repo:push":
            return _pushes(Document.parse(body))
        document = Document.parse(body)
        return _request(document, _ACTIONS[event]) if event in _ACTIONS else unknown(event)

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """A delivery's `pullrequest`; the first digits of its commit are there as long as its branch is."""
        here, by = item.text("destination", "repository", "full_name"), _account(item.at("author"))
        required(destination__repository__full_name=here, source__commit__hash=item.text("source", "commit", "hash"))
        return _change_request(item, here, repository, RequestAction.OPENED, by)


def _pushes(document: Document) -> Reading:
    page = document.text("repository", "links", "html", "href")
    repository = identity_of(page)
    required(repository__links__html__href=repository)
    pushes = tuple(_push(document, repository, page, change) for change in document.objects("push", "changes"))
    return Reading(pushes) if pushes else Reading(ignored="the push changed no branch and no tag")


def _push(document: Document, repository: str, page: str, change: Document) -> Push:
    """`new` is null where the ref was deleted, `old` where it was made; `target` is the commit, also of an annotated tag."""
    new, old = change.at("new"), change.at("old")
    known = new if change.has("new") else old
    folder, name = {"branch": "heads", "named_branch": "heads", "tag": "tags"}.get(known.text("type"), ""), known.text("name")
    commit, before = new.text("target", "hash"), old.text("target", "hash")
    required(push__changes__name=name, push__changes__type=folder)
    if change.has("new") and not is_commit(commit):
        raise Unreadable("the payload lacks push.changes.new.target.hash, or it is not what the forge sends")
    return Push(
        repository=repository,
        clone_url=f"{page.removesuffix('/')}.git",
        ref=f"refs/{folder}/{name}",
        before=before if is_commit(before) else None,
        commit=commit or None,
        pusher=_account(document.at("actor")),
        title=new.text("target", "message"),
        author=new.text("target", "author", "user", "display_name") or new.text("target", "author", "raw").partition(" <")[0],
        web_url=new.text("target", "links", "html", "href") or None,
    )


def _request(document: Document, action: RequestAction) -> Reading:
    repository = identity_of(document.text("repository", "links", "html", "href"))
    required(repository__links__html__href=repository)
    here, by = document.text("repository", "full_name"), _account(document.at("actor"))
    return Reading(request=_change_request(document.at("pullrequest"), here, repository, action, by))


def _change_request(request: Document, here: str, repository: str, action: RequestAction, by: Pusher) -> ChangeRequest:
    number, commit = request.text("id"), request.text("source", "commit", "hash")
    source, target = request.text("source", "branch", "name"), request.text("destination", "branch", "name")
    required(pullrequest__id=number, pullrequest__source=source, pullrequest__destination=target)
    there = request.text("source", "repository", "full_name")
    return ChangeRequest(
        repository=repository,
        number=number,
        action=action,
        source_repository=there and f"{repository.partition('/')[0]}/{there}",
        source=source,
        target=target,
        commit=commit,
        fork=there.lower() != here.lower(),  # of a fork that is gone nothing is said
        by=by,
        title=request.text("title"),
        web_url=request.text("links", "html", "href") or None,
    )


def _account(said: Document) -> Pusher:
    """By its id alone: a nickname is not unique there, and anyone may take another's."""
    return Pusher(forge=FORGE, id=said.text("account_id") or said.text("uuid") or None)
