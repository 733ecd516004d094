"""Bitbucket Data Center (confluence.atlassian.com, "Event payload")."""

from collections.abc import Sequence
from dataclasses import replace

from services.webhooks.domain import ChangeRequest, Push, RequestAction
from services.webhooks.forges.document import Document, Headers, required
from services.webhooks.forges.port import Identity, Reading, unknown
from services.webhooks.forges.signatures import sha256_header_of_any
from services.webhooks.refs import is_commit, is_zeros
from shared.contracts.changes import Pusher

FORGE = "bitbucket-data-center"
_ACTIONS = {
    "pr:opened": RequestAction.OPENED,
    "pr:from_ref_updated": RequestAction.UPDATED,
    "pr:modified": RequestAction.UPDATED,
    "pr:merged": RequestAction.MERGED,
    "pr:declined": RequestAction.CLOSED,
    "pr:deleted": RequestAction.CLOSED,
}


class BitbucketDataCenter:
    """One delivery tells of several refs. Payloads do not say the host in each version: a repository is `/<project>/<name>`."""

    def identify(self, headers: Headers) -> Identity:
        """It does not say which hook it was."""
        return Identity("", headers.get("x-request-id", ""), headers.get("x-event-key", ""))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """`X-Hub-Signature: sha256=<hex>`."""
        return sha256_header_of_any(secrets, body, headers.get("x-hub-signature", ""))

    def read(self, headers: Headers, body: bytes) -> Reading:
        """The test of a hook is `diagnostics:ping`."""
        document, event = Document.parse(body), self.identify(headers).event
        if event == "repo:refs_changed":
            return _pushes(document)
        if event in _ACTIONS:
            return _request(document, event)
        return Reading(ignored="pong: the hook is connected") if event == "diagnostics:ping" else unknown(event)

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """A delivery's `pullRequest`."""
        return replace(_change_request(item, RequestAction.OPENED, _account(item.at("author", "user"))), repository=repository)


def _pushes(document: Document) -> Reading:
    repository = _repository(document.at("repository"))
    required(repository__slug=repository)
    changes = list(document.objects("changes"))
    pushes = tuple(_push(document, repository, change, alone=len(changes) == 1) for change in changes)
    return Reading(pushes) if pushes else Reading(ignored="the push changed no branch and no tag")


def _push(document: Document, repository: str, change: Document, *, alone: bool) -> Push:
    ref, before, after = change.text("ref", "id"), change.text("fromHash"), change.text("toHash")
    required(changes__ref__id=ref, changes__toHash=is_commit(after))
    deleted = change.text("type") == "DELETE" or is_zeros(after)
    head, commit, obstacle = _head(document, after, ref, alone=alone)
    page = next((link.text("href") for link in document.objects("repository", "links", "self")), "")
    shown = page.endswith("/browse") and not deleted and not obstacle
    return Push(
        repository=repository,
        clone_url=next((link.text("href") for link in document.objects("repository", "links", "clone") if link.text("name") == "http"), ""),
        ref=ref,
        before=before if is_commit(before) and not is_zeros(before) else None,
        commit=None if deleted else commit,
        pusher=_account(document.at("actor")),
        title=head.text("message"),
        author=head.text("author", "displayName") or head.text("author", "name"),
        web_url=f"{page.removesuffix('/browse')}/commits/{commit}" if shown else None,
        obstacle="" if deleted else obstacle,
    )


def _head(document: Document, after: str, ref: str, *, alone: bool) -> tuple[Document, str, str]:
    """What is known of the head commit, the commit, and what keeps it from being known.

    `toHash` of an annotated tag is the tag object. Newer versions say its commit in `toCommit`, but which of several changes that is
    of, they do not: such tags are left to the sweep, which reads the commit from the repository.
    """
    told = document.at("toCommit")
    tag = ref.startswith("refs/tags/")
    if told.text("id") == after or (tag and alone and is_commit(told.text("id"))):
        return told, told.text("id"), ""
    if head := next((found for found in document.objects("commits") if found.text("id") == after), None):
        return head, after, ""
    if tag:
        return Document({}), after, "the delivery does not say the tag's commit: the sweep reads it from the repository"
    return Document({}), after, ""


def _request(document: Document, event: str) -> Reading:
    request = document.at("pullRequest")
    target = request.text("toRef", "displayId")
    if event == "pr:modified" and document.text("previousTarget", "displayId") == target:
        return Reading(ignored="the change request was changed (title or description): nothing to deploy changes by that")
    return Reading(request=_change_request(request, _ACTIONS[event], _account(document.at("actor"))))


def _change_request(request: Document, action: RequestAction, by: Pusher) -> ChangeRequest:
    target = request.text("toRef", "displayId")
    number, source, commit = request.text("id"), request.text("fromRef", "displayId"), request.text("fromRef", "latestCommit")
    here, there = _repository(request.at("toRef", "repository")), _repository(request.at("fromRef", "repository"))
    required(
        pullRequest__id=number,
        pullRequest__fromRef=source and is_commit(commit),
        pullRequest__toRef=target,
        pullRequest__toRef__repository=here,
    )
    return ChangeRequest(
        repository=here,
        number=number,
        action=action,
        source_repository=there,
        source=source,
        target=target,
        commit=commit,
        fork=here.lower() != there.lower(),
        by=by,
        title=request.text("title"),
        web_url=next((link.text("href") for link in request.objects("links", "self")), "") or None,
    )


def _repository(said: Document) -> str:
    key, slug = said.text("project", "key"), said.text("slug")
    return f"/{key}/{slug}" if key and slug else ""


def _account(said: Document) -> Pusher:
    return Pusher(
        forge=FORGE,
        login=said.text("name") or None,
        id=said.text("id") or None,
        email=said.text("emailAddress") or None,
    )
