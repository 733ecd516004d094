"""The form of payloads that GitHub gave the world: GitHub's own, and those of Gitea and Forgejo."""

from urllib.parse import urlsplit

from services.webhooks.domain import ChangeRequest, Push, RequestAction
from services.webhooks.forges.document import Document, required
from services.webhooks.forges.port import Reading
from services.webhooks.refs import is_commit, is_zeros
from shared.contracts.changes import Pusher

_ACTIONS = {
    "opened": RequestAction.OPENED,
    "reopened": RequestAction.OPENED,
    "synchronize": RequestAction.UPDATED,
    "synchronized": RequestAction.UPDATED,
    "closed": RequestAction.CLOSED,
}


def push_in(document: Document, forge: str) -> Push:
    """A push is one ref; annotated tags lead to the commit that they point to (`head_commit`), `after` is the tag object."""
    ref, after, before = document.text("ref"), document.text("after"), document.text("before")
    repository = repository_in(document)
    required(ref=ref, after=is_commit(after), repository__full_name=repository)
    head = document.text("head_commit", "id")
    return Push(
        repository=repository,
        clone_url=document.text("repository", "clone_url"),
        ref=ref,
        before=before if is_commit(before) and not is_zeros(before) else None,
        commit=None if document.flag("deleted") or is_zeros(after) else head if is_commit(head) else after,
        pusher=pusher_in(document, forge),
        title=document.text("head_commit", "message"),
        author=document.text("head_commit", "author", "name"),
        web_url=document.text("head_commit", "url") or None,
    )


def deletion_in(document: Document, forge: str) -> Push:
    """The event `delete`: a branch or tag, named in short."""
    name, kind = document.text("ref"), document.text("ref_type")
    repository = repository_in(document)
    required(ref=name, ref_type=kind in ("branch", "tag"), repository__full_name=repository)
    ref = f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}"
    return Push(repository, document.text("repository", "clone_url"), ref, None, None, pusher_in(document, forge))


def creation_in(document: Document) -> Reading:
    """The event `create` names no commit; the push that comes with it does."""
    return Reading(ignored=f"the {document.text('ref_type')[:20] or 'ref'} was made: the push that comes with it says where it stands")


def request_in(document: Document, forge: str) -> Reading:
    """The event `pull_request`: opened, new commits, another target, closed, merged.

    A fork that is gone has no name, and is one all the same. At Gitea whoever may read can push to `refs/for/<branch>`, which makes a
    change request of the repository itself without a branch (docs.gitea.com, "Agit Setup"): that is a fork's, by what its author may.
    """
    said, request = document.text("action"), document.at("pull_request")
    action = _ACTIONS.get(said)
    if said == "edited" and document.has("changes", "base" if forge == "github" else "ref"):
        action = RequestAction.UPDATED
    if action is None:
        return Reading(ignored=f"the change request was {said[:50] or 'changed'}: nothing to deploy changes by that")
    if action is RequestAction.CLOSED and (request.flag("merged") or request.has("merged_at")):
        action = RequestAction.MERGED
    repository = repository_in(document)
    required(repository__full_name=repository)
    return Reading(request=_request(request, document.text("repository", "full_name"), repository, action, pusher_in(document, forge)))


def listed_in(item: Document, repository: str, forge: str) -> ChangeRequest:
    """One of the API's list: a delivery's `pull_request`, without what came to pass."""
    author = Pusher(forge=forge, login=item.text("user", "login") or None, id=item.text("user", "id") or None)
    full_name = item.text("base", "repo", "full_name")
    required(base__repo__full_name=full_name)
    return _request(item, full_name, repository, RequestAction.OPENED, author)


def _request(request: Document, full_name: str, repository: str, action: RequestAction, by: Pusher) -> ChangeRequest:
    """In Gitea's list one without a branch may bear the name of a branch that is there; its label is empty all the same."""
    number, from_name = request.text("number"), request.text("head", "repo", "full_name")
    source, target, commit = (request.text(*path) for path in (("head", "ref"), ("base", "ref"), ("head", "sha")))
    required(number=number, head__ref=source, base__ref=target, head__sha=is_commit(commit))
    branchless = source.startswith("refs/") or (request.has("head", "label") and not request.text("head", "label"))
    return ChangeRequest(
        repository=repository,
        number=number,
        action=action,
        source_repository=from_name and f"{repository.partition('/')[0]}/{from_name}",
        source=source,
        target=target,
        commit=commit,
        fork=branchless or from_name.lower() != full_name.lower(),
        by=by,
        title=request.text("title"),
        web_url=request.text("html_url") or None,
    )


def pusher_in(document: Document, forge: str) -> Pusher:
    """`sender` is the account, with its immutable id; `pusher` has the mail address."""
    return Pusher(
        forge=forge,
        login=document.text("sender", "login") or document.text("pusher", "login") or document.text("pusher", "name") or None,
        id=document.text("sender", "id") or None,
        email=document.text("pusher", "email") or None,
    )


def repository_in(document: Document) -> str:
    """Host and full name, the host empty where it is not said; nothing without a name."""
    name = document.text("repository", "full_name")
    return name and f"{_host(document)}/{name}"


def _host(document: Document) -> str:
    try:
        return urlsplit(document.text("repository", "html_url")).hostname or ""
    except ValueError:
        return ""
