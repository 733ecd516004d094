"""Recording arrivals: pushes are judged against the heads, changes and outbox rows written. One transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg
from opentelemetry.trace import SpanKind

from services.webhooks.domain import Arrival, Head, Known, State
from services.webhooks.push_rules import change_of, cleaned, judge
from services.webhooks.refs import is_commit
from services.webhooks.request_rules import cleaned_request, request_change_of
from services.webhooks.texts import clean
from shared.contracts.changes import Change, ChangePushed, FoundBy
from shared.forges import kind_of
from shared.outbox import Columns, Outbox, Outgoing, Row, outgoing
from shared.postgres import Connection
from shared.telemetry import exports, span, traceparent

FIRST_RESEND_S = 30.0

_PLACE = """
INSERT INTO heads (connection, repository, ref) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT locked.*, nextval('arrivals') AS number FROM (
    SELECT h.connection, h.repository, h.ref, h.commit, h.arrival, h.change, c.state
    FROM heads h
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (connection, repository, ref) USING (connection, repository, ref)
    LEFT JOIN changes c ON c.id = h.change
    ORDER BY h.connection COLLATE "C", h.repository COLLATE "C", h.ref COLLATE "C"
    FOR UPDATE OF h
) AS locked
"""
"""The number of what comes next is taken when the head is locked: a larger one is newer, whichever replica takes it."""
_NUMBERS = "SELECT nextval('arrivals') AS number FROM generate_series(1, $1)"
_WRITE = """
WITH new AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::bool[], $12::text[], $13::text[], $14::jsonb[]
    ) AS new (id, arrival, connection, repository, ref, commit, message, delivery, type, reason, moves, stream, subject, headers)
), moved AS (
    UPDATE heads SET commit = new.commit, arrival = new.arrival, change = new.id FROM new
    WHERE new.moves AND heads.connection = new.connection AND heads.repository = new.repository AND heads.ref = new.ref
), written AS (
    INSERT INTO changes (id, arrival, connection, repository, ref, commit, message, delivery, type, state, reason, settled_at, send_next_at)
    SELECT id, arrival, connection, repository, ref, commit, message, delivery, type,
           CASE WHEN reason IS NULL THEN 'pending' ELSE 'ignored' END,
           reason, CASE WHEN reason IS NOT NULL THEN now() END, now() + make_interval(secs => $15)
    FROM new
)
INSERT INTO outbox (id, stream, subject, headers, body, open)
SELECT id, stream, subject, headers, message, true FROM new WHERE reason IS NULL
RETURNING position, id
"""
_REASONS = """
UPDATE deliveries SET reason = said.reason FROM unnest($1::text[], $2::text[]) AS said (id, reason) WHERE deliveries.id = said.id
"""

SHORTEST = 7
"""Digits of a commit that tell it apart."""
_WHOLE = f"""
SELECT commit FROM heads WHERE connection = $1 AND repository = $2 AND ref = $3 AND length($4) >= {SHORTEST} AND starts_with(commit, $4)
"""  # noqa: S608 -- of constants

_NEWEST_OF_REQUEST = """
SELECT coalesce(max(arrival), 0) FROM changes
WHERE connection = $1 AND type <> 'slipway.ChangePushed.v1' AND repository = $2 AND message::json ->> 'number' = $3
"""

_Place = tuple[str, str, str]


@dataclass(frozen=True)
class Recorded:
    """What became of an arrival. `known`: pushes that are no new changes. `delivery`: the one that is kept with the reasons of that.

    `ignored`: changes that are settled as they are written, with the reason: their refs moved, and nobody is told.
    """

    delivery: str | None = None
    changes: tuple[Change, ...] = ()
    known: tuple[Known, ...] = ()
    ignored: tuple[tuple[ChangePushed, str], ...] = ()


def together(parts: Sequence[Recorded]) -> Recorded:
    """What became of an arrival that was recorded in parts."""
    return Recorded(
        changes=tuple(change for part in parts for change in part.changes),
        known=tuple(known for part in parts for known in part.known),
        ignored=tuple(pair for part in parts for pair in part.ignored),
    )


class Recording:
    """One transaction. Locks on heads are taken in the same order everywhere: sorted."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox
        self.sent: list[Row] = []
        """What was written to the outbox."""

    async def run(self, arrivals: Sequence[Arrival]) -> list[Recorded]:
        """Records them in their order; answers what became of each."""
        arrivals = [await self._prepared(_cleaned(arrival), arrivals[:place]) for place, arrival in enumerate(arrivals)]
        heads, numbers = await self._heads(arrivals)
        recorded = [_judge(arrival, heads, numbers) for arrival in arrivals]
        traces = {
            change.id: arrival.trace if len(arrival.pushes) <= 1 else None
            for arrival, one in zip(arrivals, recorded, strict=True)
            for change in one.changes
        }
        await self._write(recorded, heads, traces)
        return recorded

    async def _with_whole_commit(self, arrival: Arrival, before: Sequence[Arrival]) -> Arrival:
        """Bitbucket Cloud says a change request's commit by its first digits: the push that brought it says the rest."""
        request, origin = arrival.request, arrival.origin
        if request is None or is_commit(request.commit):
            return arrival
        place = (origin.connection, origin.repository or request.repository, request.ref(origin))
        whole = _brought(before, place, request.commit) or await self._connection.fetchval(_WHOLE, *place, request.commit)
        return replace(arrival, request=replace(request, commit=whole)) if whole else arrival

    async def _prepared(self, arrival: Arrival, before: Sequence[Arrival]) -> Arrival:
        return replace(arrival, request=None) if await self._overtaken(arrival) else await self._with_whole_commit(arrival, before)

    async def _overtaken(self, arrival: Arrival) -> bool:
        """The sweep asked after a change request, and a delivery has come since."""
        request, origin = arrival.request, arrival.origin
        if request is None or arrival.expected is None:
            return False
        place = (origin.connection, origin.repository or request.repository, request.number)
        newest: int = await self._connection.fetchval(_NEWEST_OF_REQUEST, *place)
        return newest != arrival.expected

    async def _heads(self, arrivals: Sequence[Arrival]) -> tuple[dict[_Place, Head | None], "_Numbers"]:
        """The heads, locked, and the arrival numbers of what comes now."""
        places = _places(arrivals)
        if places:
            await self._connection.execute(_PLACE, *_columns(places))
        rows = await self._connection.fetch(_LOCK, *_columns(places)) if places else []
        heads = {(row["connection"], row["repository"], row["ref"]): row for row in rows}
        more = sum(len(arrival.pushes) + (arrival.request is not None) for arrival in arrivals) - len(heads)
        others = await self._connection.fetch(_NUMBERS, more) if more else []
        numbers = _Numbers({place: row["number"] for place, row in heads.items()}, iter([row["number"] for row in others]))
        return {place: _head(row) for place, row in heads.items()}, numbers

    async def _write(self, recorded: Sequence[Recorded], heads: Mapping[_Place, Head | None], traces: Mapping[str, str | None]) -> None:
        sent = [change for one in recorded for change in one.changes]
        ignored = [pair for one in recorded for pair in one.ignored]
        changes = [*sent, *(change for change, _ in ignored)]
        if changes:
            await self._changes(changes, [reason for _, reason in ignored], {head.change for head in heads.values() if head}, traces)
        reasons = [(one.delivery, "; ".join(known.reason for known in one.known)) for one in recorded if one.delivery and one.known]
        if reasons:
            await self._connection.execute(_REASONS, [delivery for delivery, _ in reasons], [reason for _, reason in reasons])

    async def _changes(self, changes: Sequence[Change], reasons: Sequence[str], heads: set[str], traces: Mapping[str, str | None]) -> None:
        """Writes changes, moves the heads that stand at them, and sends all but the last ones, which there are reasons to ignore."""
        ids, streams, subjects, headers, bodies, _ = self._outgoing(changes, traces)
        sent = len(changes) - len(reasons)
        rows = await self._connection.fetch(
            _WRITE,
            ids,
            [change.arrival for change in changes],
            [change.connection for change in changes],
            [change.repository for change in changes],
            [change.ref for change in changes],
            [change.commit for change in changes],
            bodies,
            [change.delivery for change in changes],
            [change.type_name() for change in changes],
            [*([None] * sent), *reasons],
            [change.id in heads for change in changes],
            streams,
            subjects,
            headers,
            FIRST_RESEND_S,
        )
        positions = {row["id"]: row["position"] for row in rows}
        self.sent = [
            Row(positions[id_], stream, subject, json.loads(header), body.encode())
            for id_, stream, subject, header, body in zip(ids[:sent], streams, subjects, headers, bodies, strict=False)
        ]

    def _outgoing(self, changes: Sequence[Change], traces: Mapping[str, str | None]) -> Columns:
        """Each change that is sent goes on with the trace of what brought it, and its deployments with the change's."""
        return self._outbox.columns([_sent(change, traces[change.id]) if change.id in traces else change for change in changes])


def _sent(change: Change, trace: str | None) -> Outgoing:
    if trace and not exports():
        return outgoing(change, trace)
    name = "push received" if isinstance(change, ChangePushed) else "change request received"
    with span(name, {"traceparent": trace} if trace else {}, SpanKind.PRODUCER) as received:
        received.set_attributes(_about(change))
        return outgoing(change, traceparent())


def _about(change: Change) -> dict[str, str]:
    return {
        "vcs.repository.url.full": change.clone_url,
        "vcs.ref.head.name": change.ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "vcs.ref.head.revision": change.commit,
        "vcs.provider.name": kind_of(change.pusher.forge),
        "slipway.change": change.id,
        "slipway.found_by": change.found_by,
    }


@dataclass(frozen=True)
class _Numbers:
    """Arrival numbers: each head has one, taken when it was locked; what comes besides has those that were taken afterwards."""

    of_heads: dict[_Place, int]
    others: Iterator[int]

    def next(self, place: _Place | None = None) -> int:
        """The next one at that head."""
        found = self.of_heads.pop(place, None) if place else None
        return next(self.others) if found is None else found


def _judge(arrival: Arrival, heads: dict[_Place, Head | None], numbers: _Numbers) -> Recorded:
    changes: list[Change] = []
    known = [Known(arrival.ignored, "")] if arrival.ignored else []
    ignored: list[tuple[ChangePushed, str]] = []
    for push in arrival.pushes:
        place = _place(arrival, push.repository, push.ref)
        reason = judge(push, heads.get(place), arrival)
        if reason is not None:
            known.append(reason)
            if not reason.moved:
                continue
        change = change_of(push, arrival, numbers.next(place))
        heads[place] = Head(change.commit, change.arrival, change.id, State.IGNORED if reason else State.PENDING)
        if reason:
            ignored.append((change, reason.reason))
        else:
            changes.append(change)
    request = arrival.request
    if request is not None and not is_commit(request.commit):
        known.append(Known(f"{request}: {_NOT_WHOLE}", request.ref(arrival.origin)))
    elif request is not None:
        changes.append(request_change_of(request, arrival, numbers.next()))
    delivery = arrival.delivery if arrival.found_by is FoundBy.DELIVERY else None
    return Recorded(delivery, tuple(changes), tuple(known), tuple(ignored))


_NOT_WHOLE = "the forge says only the first digits of its commit, and no push has told the rest yet. Redeliver it once one has"


def _brought(arrivals: Sequence[Arrival], place: _Place, digits: str) -> str | None:
    """The commit with these first digits that a push among the arrivals brought to that ref, of several the last."""
    pushes = [(arrival, push) for arrival in reversed(arrivals) for push in reversed(arrival.pushes)]
    commits = (push.commit for arrival, push in pushes if push.commit and _place(arrival, push.repository, push.ref) == place)
    return next((commit for commit in commits if len(digits) >= SHORTEST and commit.startswith(digits)), None)


def _place(arrival: Arrival, repository: str, ref: str) -> _Place:
    return arrival.origin.connection, arrival.origin.repository or repository, ref[:2000]


def _places(arrivals: Sequence[Arrival]) -> list[_Place]:
    return sorted({_place(arrival, push.repository, push.ref) for arrival in arrivals for push in arrival.pushes})


def _columns(places: Sequence[_Place]) -> list[list[str]]:
    return [[place[column] for place in places] for column in range(3)]


def _head(row: asyncpg.Record) -> Head | None:
    if row["change"] is None:
        return None
    return Head(row["commit"], row["arrival"], row["change"], State(row["state"] or State.TAKEN))


def _cleaned(arrival: Arrival) -> Arrival:
    return replace(
        arrival,
        pushes=tuple(cleaned(push) for push in arrival.pushes),
        request=cleaned_request(arrival.request) if arrival.request else None,
        ignored=clean(arrival.ignored)[:2000],
    )
