"""The sweep of change requests: the end of one whose delivery was lost is asked of its forge's API, where the connection has a token.

Without a token, previews go when their time to live is over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.webhooks.catalogue import Away, Catalogue, Connection, NotLetIn
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, ChangeRequest, RequestAction
from services.webhooks.intake import origin_of
from services.webhooks.store import Store
from services.webhooks.turns import Paused, Turns, by_turns
from shared.contracts.changes import Change, ChangeRequestClosed, FoundBy, Pusher, RequestChange, decode_change
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient
from shared.outbound import Refused
from shared.proto.catalogue_pb2 import REQUESTS
from shared.rate_limits import pause

log = structlog.get_logger()

EVERY_S = 300.0
"""How long between two looks at one connection."""

_DUE = """
UPDATE connections SET requests_next_at = now() + make_interval(secs => $1)
WHERE name = (SELECT name FROM connections WHERE requests_next_at <= now() AND forge <> 'slipway' AND repository <> ''
              ORDER BY requests_next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
_LATER = "UPDATE connections SET requests_next_at = now() + $2 WHERE name = $1"
_OPEN = """
SELECT type, message FROM (
    SELECT DISTINCT ON (repository, message::json ->> 'number') type, state, message FROM changes
    WHERE connection = $1 AND type <> 'slipway.ChangePushed.v1'
    ORDER BY repository, message::json ->> 'number', arrival DESC
) newest
WHERE state = 'taken' AND type <> $2
"""
_PATHS: Mapping[str, str] = {
    "github": "pulls/{}",
    "gitlab": "merge_requests/{}",
    "bitbucket": "pullrequests/{}",
    "bitbucket-data-center": "pull-requests/{}",
    "gitea": "pulls/{}",
}
"""Where a change request is below its repository, by kind of forge; its `state` is a word there, and GitHub and Gitea say `merged` beside it."""
_OVER = frozenset({"closed", "merged", "declined", "superseded"})
_GONE = 404
_FOUND = 200


@dataclass(frozen=True)
class RequestSweep:
    """Looks at the connections one after the other, spread over time; replicas share the work."""

    store: Store
    connections: Connections
    catalogue: Catalogue
    client: GuardedClient

    async def run(self) -> None:
        """For ever."""
        await by_turns(self.store, self.connections, Turns(_DUE, _LATER, EVERY_S), self.sweep)

    async def sweep(self, connection: Connection) -> list[Change]:
        """Asks after each change request that led to something and is open, as far as is known; answers the ends that were missed.

        Raises `Paused` where the forge wants a pause; what was found until then is recorded.
        """
        if not (connection.token or connection.has_app) or connection.forge not in _PATHS:
            return []
        rows = await self.store.pool.fetch(_OPEN, connection.name, ChangeRequestClosed.type_name())
        found: list[Change] = []
        for row in rows:
            known = decode_change(row["type"], row["message"])
            assert isinstance(known, RequestChange)
            try:
                action = await self._end_of(await self.catalogue.let_in(connection, REQUESTS), known)
            except (Failed, Refused, NotLetIn, Away, _NotSaid) as error:
                log.warning("change requests not swept", connection=connection.name, reason=str(error))
                return found
            if action is not None:
                found += await self._record(connection, known, action)
        return found

    async def _end_of(self, connection: Connection, known: RequestChange) -> RequestAction | None:
        """How it ended; None where it did not."""
        repository = ForgeRepository(connection.forge, known.repository, connection.api_url, connection.token)
        answer = await self.client.send("GET", repository.url(_PATHS[connection.forge].format(known.number)), repository.headers)
        if answer.status != _FOUND and (wait := pause(answer.headers, datetime.now(UTC))) is not None:
            raise Paused(wait, f"{repository.forge} answered {answer.status}: {answer.text()}")
        if answer.status == _GONE and connection.forge == "bitbucket-data-center":
            return RequestAction.CLOSED  # the only forge that deletes change requests; a repository that cannot be seen is 401 there
        if answer.status != _FOUND:
            raise _NotSaid(f"{repository.forge} answered {answer.status}: {answer.text()}")
        try:
            said = json.loads(answer.body)
            state, merged = str(said["state"]).lower(), said.get("merged") is True
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _NotSaid(f"{repository.forge} answered what is no change request: {answer.text()}") from error
        if state not in _OVER:
            return None
        return RequestAction.MERGED if merged or state == "merged" else RequestAction.CLOSED

    async def _record(self, connection: Connection, known: RequestChange, action: RequestAction) -> list[Change]:
        request = ChangeRequest(
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
        arrival = Arrival(origin_of(connection), FoundBy.SWEEP, (), expected=known.arrival, request=request)
        (recorded,) = await self.store.record([arrival])
        for change in recorded.changes:
            log.info("missed end of a change request found", repository=known.repository, number=known.number, arrival=change.arrival)
        return list(recorded.changes)


class _NotSaid(Exception):
    """The forge does not say: its answer is kept for the log."""
