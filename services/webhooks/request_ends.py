"""How change requests ended, as their forges' APIs say it."""

from collections.abc import Mapping

from services.webhooks.asking import GONE, NotSaid, ask
from services.webhooks.catalogue import Connection
from services.webhooks.domain import ChangeRequest, RequestAction
from services.webhooks.forges.document import Document, Unreadable, required
from shared.contracts.changes import Pusher, RequestChange
from shared.forge_api import ForgeRepository
from shared.guarded_http import GuardedClient

_PATHS: Mapping[str, str] = {
    "github": "pulls/{}",
    "gitlab": "merge_requests/{}",
    "bitbucket": "pullrequests/{}",
    "bitbucket-data-center": "pull-requests/{}",
    "gitea": "pulls/{}",
}
"""Where a change request is below its repository, by kind of forge; its `state` is a word there, and GitHub and Gitea say `merged` beside it."""
_OVER = frozenset({"closed", "merged", "declined", "superseded"})


async def end_of(client: GuardedClient, connection: Connection, known: RequestChange) -> ChangeRequest | None:
    """The change request as it is now that it is over; None where it is not. Raises as `ask` does."""
    action = await _action(client, connection, known.number)
    if action is None:
        return None
    return ChangeRequest(
        repository=known.repository,
        number=known.number,
        action=action,
        source_repository="",
        source=known.source,
        target=known.target.removeprefix("refs/heads/"),
        commit=known.commit,
        fork=known.fork,
        by=Pusher(forge=known.pusher.forge),
        title=known.title,
        web_url=known.web_url,
    )


async def _action(client: GuardedClient, connection: Connection, number: str) -> RequestAction | None:
    repository = ForgeRepository(connection.forge, connection.repository, connection.api_url, connection.token)
    try:
        answer = await ask(client, repository, _PATHS[connection.forge].format(number))
    except NotSaid as error:
        if error.status == GONE and connection.forge == "bitbucket-data-center":
            return RequestAction.CLOSED  # the only forge that deletes change requests; a repository that cannot be seen is 401 there
        raise
    try:
        said = Document.parse(answer.body)
        required(state=said.text("state"))
    except Unreadable as error:
        raise NotSaid(f"{repository.forge} answered what is no change request: {answer.text()}") from error
    state = said.text("state").lower()
    if state not in _OVER:
        return None
    return RequestAction.MERGED if said.flag("merged") or state == "merged" else RequestAction.CLOSED
