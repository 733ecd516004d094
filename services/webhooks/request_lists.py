"""The open change requests of repositories, as their forges' APIs list them; what has not changed is not sent again where the forge can."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog

from services.webhooks.asking import UNCHANGED, NotSaid, ask
from services.webhooks.catalogue import Connection
from services.webhooks.domain import ChangeRequest
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Document, Unreadable
from services.webhooks.refs import is_commit
from services.webhooks.request_rules import cleaned_request
from shared.forge_api import ForgeRepository
from shared.guarded_http import GuardedClient

log = structlog.get_logger()

MOST_PAGES = 10
"""That one look reads, 100 change requests at least: others are found once these are over."""


@dataclass(frozen=True)
class _List:
    """Where it is below the repository, the newest updated first; `size`: so many on a page that it is smaller than what is read of it.

    `below`: where the change requests are in a page.
    """

    size: int
    path: str
    below: tuple[str, ...] = ()


_BITBUCKET = ",".join(f"values.{name}" for name in ("id", "title", "author", "source", "destination", "links.html"))
_LISTS: Mapping[str, _List] = {
    "github": _List(10, "pulls?state=open&sort=updated&direction=desc&per_page={size}&page={page}"),
    "gitlab": _List(20, "merge_requests?state=opened&order_by=updated_at&sort=desc&per_page={size}&page={page}"),
    "bitbucket": _List(50, f"pullrequests?state=OPEN&sort=-updated_on&fields={_BITBUCKET}&pagelen={{size}}&page={{page}}", ("values",)),
    "bitbucket-data-center": _List(20, "pull-requests?state=OPEN&limit={size}&start={start}", ("values",)),
    "gitea": _List(20, "pulls?state=open&sort=recentupdate&limit={size}&page={page}"),
}


@dataclass(frozen=True)
class _Page:
    etag: str
    requests: tuple[ChangeRequest, ...]
    is_last: bool


class RequestLists:
    """Remembers what was answered last, of each connection."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client
        self._known: dict[str, dict[str, _Page]] = {}

    async def of(self, connection: Connection) -> list[ChangeRequest]:
        """The open ones, the newest updated first, `MOST_PAGES` pages at most. Raises as `ask` does."""
        repository = _repository(connection)
        known, pages = self._known.get(connection.name, {}), dict[str, _Page]()
        for path in _paths(_LISTS[connection.forge]):
            address = repository.url(path)
            pages[address] = await self._page(repository, path, known.get(address))
            if pages[address].is_last:
                break
        self._known[connection.name] = pages
        return [request for page in pages.values() for request in page.requests]

    async def with_whole_commit(self, connection: Connection, request: ChangeRequest) -> ChangeRequest:
        """Bitbucket Cloud lists the first digits of commits, and says the rest where it is asked for one. Raises as `ask` does."""
        if is_commit(request.commit):
            return request
        answer = await ask(self._client, _repository(connection), f"commit/{quote(request.commit, safe='')}")
        try:
            return replace(request, commit=Document.parse(answer.body).text("hash"))
        except Unreadable as error:
            raise NotSaid(f"it answered what is no commit: {answer.text()}") from error

    async def _page(self, repository: ForgeRepository, path: str, known: _Page | None) -> _Page:
        answer = await ask(self._client, repository, path, known.etag if known else "")
        if answer.status == UNCHANGED:
            if known is None:
                raise NotSaid(f"{repository.forge} answered {UNCHANGED} to what it was not asked")
            return known
        kind = _LISTS[repository.kind]
        try:
            items = list(Document.parse(b'{"all":%b}' % answer.body).objects("all", *kind.below))
        except Unreadable as error:
            raise NotSaid(f"{repository.forge} answered what is no list of change requests: {answer.text()}") from error
        return _Page(answer.headers.get("etag", ""), tuple(_read(repository, items)), is_last=len(items) < kind.size)


def _repository(connection: Connection) -> ForgeRepository:
    return ForgeRepository(connection.forge, connection.repository, connection.api_url, connection.token)


def _paths(kind: _List) -> Iterator[str]:
    for page in range(MOST_PAGES):
        yield kind.path.format(size=kind.size, page=page + 1, start=page * kind.size)


def _read(repository: ForgeRepository, items: list[Document]) -> Iterator[ChangeRequest]:
    """One that cannot be read, since it has no commit for instance, keeps no other from being found."""
    for item in items:
        try:
            yield cleaned_request(FORGES[repository.kind]().listed(item, repository.identity))
        except Unreadable as error:
            log.debug("change request not read", repository=repository.identity, reason=str(error))
