"""The sweep of change requests: the open ones are compared with what is known; a difference becomes the change whose webhook was missed.

A forge's API is asked, which takes a token. Without one, previews go when their time to live is over.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from random import sample

import structlog

from services.webhooks.asking import NotSaid
from services.webhooks.catalogue import Away, Catalogue, Connection, NotLetIn, origin_of
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, ChangeRequest, LastOfRequest
from services.webhooks.forges import FORGES
from services.webhooks.pushers import Pushers
from services.webhooks.request_differences import Difference, Gone, Missed, differences
from services.webhooks.request_ends import end_of
from services.webhooks.request_lists import RequestLists
from services.webhooks.store import Store
from services.webhooks.turns import Paused, Setbacks, Turns, by_turns
from shared.contracts.changes import Change, FoundBy, Pusher
from shared.guarded_http import Failed, GuardedClient
from shared.outbound import Refused
from shared.proto.catalogue_pb2 import CLONE, REQUESTS

log = structlog.get_logger()

_MOST_ASKED = 10
"""Change requests of one look that a forge is asked about, of either kind: of a repository that is new here hundreds may be open."""

_DUE = """
UPDATE connections SET requests_next_at = now() + make_interval(secs => $1 * CASE forge WHEN 'bitbucket' THEN 5 ELSE 1 END)
WHERE name = (SELECT name FROM connections WHERE requests_next_at <= now() AND forge <> 'slipway' AND repository <> ''
              ORDER BY requests_next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
"""Bitbucket Cloud takes a thousand requests an hour, of all repositories of a token together, and those that find nothing new count."""
_LATER = "UPDATE connections SET requests_next_at = now() + $2 WHERE name = $1"


class RequestSweep:
    """Looks at the connections one after the other, spread over time; replicas share the work."""

    def __init__(
        self, store: Store, connections: Connections, catalogue: Catalogue, client: GuardedClient, every_s: float, grace_s: float
    ) -> None:
        self._store = store
        self._connections = connections
        self._catalogue = catalogue
        self._client = client
        self._lists = RequestLists(client)
        self._pushers = Pushers(client)
        self._turns = Turns(_DUE, _LATER, every_s)
        self._setbacks = Setbacks(every_s)
        self._grace_s = grace_s

    async def run(self) -> None:
        """For ever."""
        await by_turns(self._store, self._connections, self._turns, self._setbacks, self.sweep)

    async def sweep(self, connection: Connection) -> list[Change]:
        """Answers the changes found: what was opened, updated or closed without a webhook that told of it.

        Raises `Paused` where the forge wants a pause or gives no list, each time for longer; what was found until then is recorded.
        """
        if not (connection.token or connection.has_app) or connection.forge not in FORGES:
            return []
        try:
            changes = await self._compare(connection)
        except Away as error:
            log.warning("change requests not swept", connection=connection.name, reason=str(error))
            return []
        except (Failed, Refused, NotLetIn, NotSaid) as error:
            raise Paused(self._setbacks.another(connection.name), str(error)) from error
        self._setbacks.over(connection.name)
        return changes

    async def _compare(self, connection: Connection) -> list[Change]:
        """What two looks agree on: a webhook may be on its way, and what a forge lists may be older than what it has told."""
        first = await self._look(connection)
        if not first:
            return []
        await asyncio.sleep(self._grace_s)
        agreed = [found for number, found in (await self._look(connection)).items() if first.get(number) == found]
        if await self._store.waits(connection.name):
            return []
        gone = [found for found in agreed if isinstance(found, Gone)]
        missed = [found for found in agreed if isinstance(found, Missed)]
        changes: list[Change] = []
        asked: list[Difference] = [*missed[:_MOST_ASKED], *sample(gone, min(len(gone), _MOST_ASKED))]
        for found in asked:
            try:
                changes += await self._record(connection, found)
            except NotSaid as error:  # of this one: others may be seen
                log.warning("change request not swept", connection=connection.name, reason=str(error))
        return changes

    async def _look(self, connection: Connection) -> Mapping[str, Difference]:
        """What is known is read first: what is told while the forge answers makes a newer change, and the sweep gives way."""
        project = await self._catalogue.project(connection.organization, connection.project, connection.name)
        known = await self._store.known_requests(connection.name, connection.repository)
        if project is None or not (project.targets or any(last.stands for last in known.values())):
            return {}
        listed = await self._lists.of(await self._catalogue.let_in(connection, REQUESTS))
        return differences(listed, known, origin_of(connection), project.targets)

    async def _record(self, connection: Connection, found: Difference) -> list[Change]:
        request = await self._request(connection, found)
        if request is None:
            return []
        expected = found.last.change.arrival if found.last else 0
        arrival = Arrival(origin_of(connection), FoundBy.SWEEP, (), expected=expected, request=request)
        (recorded,) = await self._store.record([arrival])
        for change in recorded.changes:
            log.info("missed change request found", connection=connection.name, request=str(request), arrival=change.arrival)
        return list(recorded.changes)

    async def _request(self, connection: Connection, found: Difference) -> ChangeRequest | None:
        asked = await self._catalogue.let_in(connection, REQUESTS)
        if isinstance(found, Gone):
            return await end_of(self._client, asked, found.last.change)
        now = await self._lists.with_whole_commit(asked, found.now)
        return replace(now, by=await self._by(connection, now, found.last))

    async def _by(self, connection: Connection, now: ChangeRequest, last: LastOfRequest | None) -> Pusher:
        """Whose account a delivery would have named; nobody where the forge does not say so for sure: a person approves then.

        That is who pushed the commit, and of the first commit that is known here the author, too: one of them may not have the rights of
        the other. Who opened one again, or had it go elsewhere, no forge keeps a record of that is asked here. A fork's waits in any case.
        """
        if now.fork:
            return now.by
        forge = origin_of(connection).forge
        nobody = Pusher(forge=forge)
        if last and (last.is_over or last.change.commit == now.commit):
            return nobody
        let_in = await self._catalogue.let_in(connection, CLONE)
        pusher = await self._pushers.of(let_in, forge, f"refs/heads/{now.source}", now.commit)
        return pusher if last or (pusher.id and pusher.id == now.by.id) else nobody
