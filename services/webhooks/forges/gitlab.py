"""GitLab (docs.gitlab.com, "Webhook events"): gitlab.com and self-managed; hooks of projects, groups and the system."""

import time
from collections.abc import Callable, Sequence

from services.webhooks.domain import ChangeRequest, Push, RequestAction
from services.webhooks.forges.document import Document, Headers, identity_of, required
from services.webhooks.forges.port import Identity, Reading, unknown
from services.webhooks.forges.signatures import SIGNING_KEY, is_any, signed_as_standard_webhooks
from services.webhooks.refs import is_commit, is_zeros
from shared.contracts.changes import Pusher

FORGE = "gitlab"
_ACTIONS = {
    "open": RequestAction.OPENED,
    "reopen": RequestAction.OPENED,
    "close": RequestAction.CLOSED,
    "merge": RequestAction.MERGED,
}


class GitLab:
    """Four answers that are no 2xx disable a hook there: what is ignored is answered 200."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def identify(self, headers: Headers) -> Identity:
        """`Idempotency-Key` is the same in each attempt (`webhook-id` has the same value); `X-Gitlab-Event-UUID` is not one delivery's."""
        key = headers.get("idempotency-key", "") or headers.get("webhook-id", "")
        return Identity(headers.get("x-gitlab-webhook-uuid", ""), key, headers.get("x-gitlab-event", ""))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """The signing token (`whsec_…`) where one is among the secrets and the request is signed, else the plain `X-Gitlab-Token`.

        What is signed has to fit: it does not fall back to the token. A signing token itself is not taken as a plain one.
        """
        plain = [secret for secret in secrets if not secret.startswith(SIGNING_KEY)]
        if len(plain) < len(secrets) and "webhook-signature" in headers:
            return signed_as_standard_webhooks(secrets, headers, body, self._now())
        return is_any(plain, headers.get("x-gitlab-token", ""))

    def read(self, headers: Headers, body: bytes) -> Reading:
        """By `object_kind`; system hooks say no more than `System Hook` in their header."""
        document = Document.of(headers, body)
        match document.text("object_kind"):
            case "push" | "tag_push":
                return Reading((_push(document),))
            case "merge_request":
                return _request(document)
            case kind:
                return unknown(kind or document.text("event_name") or self.identify(headers).event)

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """Names and ids stand elsewhere than in a delivery (docs.gitlab.com, "Merge requests API"); of another project the id alone."""
        number, commit, origin = item.text("iid"), item.text("sha"), item.text("source_project_id")
        source, target = item.text("source_branch"), item.text("target_branch")
        required(iid=number, source_branch=source, target_branch=target, sha=is_commit(commit))
        fork = not origin or origin != item.text("target_project_id")
        return ChangeRequest(
            repository=repository,
            number=number,
            action=RequestAction.OPENED,
            source_repository=repository if not fork else origin and f"project {origin}",
            source=source,
            target=target,
            commit=commit,
            fork=fork,
            by=Pusher(forge=FORGE, login=item.text("author", "username") or None, id=item.text("author", "id") or None),
            title=item.text("title"),
            web_url=item.text("web_url") or None,
        )


def _push(document: Document) -> Push:
    """`checkout_sha` is the commit, also of an annotated tag, whose object is `after`; null where the ref was deleted."""
    ref, before, after = document.text("ref"), document.text("before"), document.text("after")
    repository = identity_of(document.text("project", "web_url"))
    required(ref=ref, after=is_commit(after), project__web_url=repository)
    said = document.text("checkout_sha")
    commit = None if is_zeros(after) else said if is_commit(said) else after
    head = next((found for found in document.objects("commits") if found.text("id") == commit), Document({}))
    email = document.text("user_email")
    return Push(
        repository=repository,
        clone_url=document.text("project", "git_http_url"),
        ref=ref,
        before=before if is_commit(before) and not is_zeros(before) else None,
        commit=commit,
        pusher=Pusher(
            forge=FORGE,
            login=document.text("user_username") or None,
            id=document.text("user_id") or None,
            email=email if "@" in email else None,
        ),
        title=head.text("message") or head.text("title"),
        author=head.text("author", "name"),
        web_url=head.text("url") or (f"{document.text('project', 'web_url')}/-/commit/{commit}" if commit else None),
    )


def _request(document: Document) -> Reading:
    said, request = document.text("object_attributes", "action"), document.at("object_attributes")
    action = _ACTIONS.get(said)
    if said == "update" and (request.has("oldrev") or document.has("changes", "target_branch")):
        action = RequestAction.UPDATED
    if action is None:
        return Reading(ignored=f"the change request was changed ({said[:50] or 'no action'}): nothing to deploy changes by that")
    number, commit = request.text("iid"), request.text("last_commit", "id")
    source, target = request.text("source_branch"), request.text("target_branch")
    repository = identity_of(document.text("project", "web_url"))
    required(iid=number, source_branch=source, target_branch=target, last_commit__id=is_commit(commit), project__web_url=repository)
    origin = request.text("source_project_id")
    found = ChangeRequest(
        repository=repository,
        number=number,
        action=action,
        source_repository=identity_of(request.text("source", "web_url")),
        source=source,
        target=target,
        commit=commit,
        fork=not origin or origin != request.text("target_project_id"),
        by=Pusher(forge=FORGE, login=document.text("user", "username") or None, id=document.text("user", "id") or None),
        title=request.text("title"),
        web_url=request.text("url") or None,
    )
    return Reading(request=found)
