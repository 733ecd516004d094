"""Who pushed what the sweep has found: asked of the forge's own record of pushes, where the connection has a token.

A commit's author proves nothing. Bitbucket Cloud keeps no such record: there, and where the forge does not say, a person approves.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from services.webhooks.catalogue import Connection
from services.webhooks.forges.document import Document, Unreadable
from services.webhooks.texts import clean
from shared.contracts.changes import Pusher
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient
from shared.outbound import Refused

log = structlog.get_logger()

_FOUND = 200


@dataclass(frozen=True)
class _Pushed:
    """One line of a forge's record."""

    ref: str
    commit: str
    login: str
    id: str


@dataclass(frozen=True)
class Pushers:
    """Asks forges."""

    client: GuardedClient

    async def of(self, connection: Connection, forge: str, ref: str, commit: str) -> Pusher:
        """Whose push brought the ref to the commit; nobody where that is not said. `forge` is whose accounts they are."""
        if connection.token and connection.forge in _RECORDS:
            try:
                for pushed in await self._record(connection, ref):
                    if (pushed.ref, pushed.commit) == (ref, commit):
                        return Pusher(forge=forge, login=clean(pushed.login) or None, id=clean(pushed.id) or None)
            except (Failed, Refused, Unreadable) as error:
                log.warning("pusher not known", connection=connection.name, ref=ref, reason=str(error))
        return Pusher(forge=forge)

    async def _record(self, connection: Connection, ref: str) -> Iterator[_Pushed]:
        repository = ForgeRepository(connection.forge, connection.repository, connection.api_url, connection.token)
        path, pushes = _RECORDS[connection.forge]
        answer = await self.client.send("GET", repository.url(path.format(quote(ref, safe=""))), repository.headers)
        if answer.status != _FOUND:
            raise Unreadable(f"{repository.forge} answered {answer.status}: {answer.text()}")
        return pushes(Document.parse(b'{"all":%b}' % answer.body))


def _github(said: Document) -> Iterator[_Pushed]:
    """https://docs.github.com/en/rest/repos/repos#list-repository-activities."""
    for one in said.objects("all"):
        yield _Pushed(one.text("ref"), one.text("after"), one.text("actor", "login"), one.text("actor", "id"))


def _gitlab(said: Document) -> Iterator[_Pushed]:
    """https://docs.gitlab.com/api/events/#list-all-visible-events-for-a-project."""
    for one in said.objects("all"):
        push = one.at("push_data")
        kind = "tags" if push.text("ref_type") == "tag" else "heads"
        yield _Pushed(f"refs/{kind}/{push.text('ref')}", push.text("commit_to"), one.text("author", "username"), one.text("author", "id"))


def _bitbucket_data_center(said: Document) -> Iterator[_Pushed]:
    """https://developer.atlassian.com/server/bitbucket/rest/latest/api-group-repository/ (ref-change-activities)."""
    for one in said.objects("all", "values"):
        change = one.at("refChange")
        yield _Pushed(change.text("ref", "id"), change.text("toHash"), one.text("user", "name"), one.text("user", "id"))


def _gitea(said: Document) -> Iterator[_Pushed]:
    """The feed of a repository; what was pushed is JSON in `content`."""
    for one in said.objects("all"):
        try:
            pushed = Document.parse(one.text("content").encode("utf-8", "surrogatepass"))
        except Unreadable:
            continue  # another kind of activity
        yield _Pushed(one.text("ref_name"), pushed.text("HeadCommit", "Sha1"), one.text("act_user", "login"), one.text("act_user", "id"))


_RECORDS: Mapping[str, tuple[str, Callable[[Document], Iterator[_Pushed]]]] = {
    "github": ("activity?per_page=30&ref={}", _github),
    "gitlab": ("events?action=pushed&per_page=50", _gitlab),
    "bitbucket-data-center": ("ref-change-activities?limit=30&ref={}", _bitbucket_data_center),
    "gitea": ("activities/feeds?limit=50", _gitea),
}
"""Where the record is below the repository, the newest first, and how it is read."""
