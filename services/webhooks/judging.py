"""Judging what is stored: deliveries are taken out of the backlog in their order, and what they say becomes changes.

What was read of a delivery before it was stored is handed over in memory; the rest, of a burst or after a restart, is read here from what
is stored.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import asyncpg
import structlog
from prometheus_client import Gauge

from services.webhooks.backlog import Backlog, Kept, Waiting
from services.webhooks.domain import Arrival, Origin
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Unreadable
from services.webhooks.held import Held, Holdings
from services.webhooks.reading import Reader, why_nothing
from services.webhooks.store import Judged, Recorded, Store
from shared.contracts.changes import FoundBy
from shared.postgres import UNAVAILABLE
from shared.problems import Problem

log = structlog.get_logger()

WAITING = Gauge("slipway_deliveries_waiting", "Deliveries stored and not judged yet")
MOST = 50_000
"""Deliveries that may wait: about a minute's work. What arrives then is told to come again, before it is read."""
AT_ONCE = 128
TOGETHER = 32 * 1024
"""Bodies of up to so many bytes are read from the database together; a larger one alone: it may have 25 MB."""
POLL_S = 1.0
"""How long a delivery waits that another replica stored and did not judge."""
PAUSE_S = 1.0
"""Until it is tried again, where that may help."""
READING_S = 20.0
"""How long a large one may be read here, where no forge waits for an answer."""
TRIES = 3
"""… and how often, before it is given up: it would keep all others waiting."""
GIVING_WAY_S = 0.5
"""How long what arrives comes first, each time: a burst is stored at full speed, and a part of it is judged meanwhile …"""
GIVING_WAY_MOST = 10_000
"""… unless more than these wait: what goes on for longer is taken at the rate at which it can be judged."""
FEW = 8
"""So many that wait are judged in a moment: their senders are told what became of them."""
MOMENT_S = 1.0
"""Where it takes longer all the same, they are told that it is stored."""
PUSHES_MOST = 2000
"""What deliveries that are judged together may tell of: who tells of more is judged alone."""
_PASSES = (asyncpg.QueryCanceledError, *UNAVAILABLE)
"""The database is away, or somebody has ended what it was at: no reason to give up what was taken."""


class TooMuchAtOnce(Exception):
    """Not for one transaction."""


class Judging:
    """A background task of the process. Replicas take turns, batch by batch: all deliveries are judged in one order."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.held = Holdings()
        self._waiting = 0
        self._asked = 0
        self._first = ""
        """The delivery that is judged now, or the first of several."""
        self._unread = ("", 0)
        """One that could not be read in time, and how often."""
        self._stored = asyncio.Event()

    async def measure(self) -> None:
        """Sets the gauge of what waits, to NaN where the database does not say."""
        waiting = math.nan
        with suppress(*UNAVAILABLE):
            waiting = await self._store.backlog()
        WAITING.set(waiting)

    @property
    def full(self) -> bool:
        """Whether no more should be stored: as many wait as may, as far as this process has seen."""
        return self._waiting >= MOST

    async def outcome(self, held: Held) -> Recorded | None:
        """What becomes of a delivery that was just stored, where that is known in a moment."""
        self._waiting += 1
        self._stored.set()
        if len(self.held) > FEW and not held.became.done():
            return None
        self._asked += 1
        try:
            async with asyncio.timeout(MOMENT_S):
                return await held.became
        except TimeoutError:
            return None
        finally:
            self._asked -= 1

    async def run(self, pressed: Callable[[], bool]) -> None:
        """Judges for ever; gives way, half a second each time, while `pressed` says that many others arrive."""
        while True:
            self._stored.clear()
            try:
                while await self._judge():
                    await self._give_way(pressed)
            except _PASSES as error:
                log.warning("deliveries not judged yet", reason=str(error) or type(error).__name__)
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                async with asyncio.timeout(POLL_S):
                    await self._stored.wait()
            except TimeoutError:
                continue

    async def _give_way(self, pressed: Callable[[], bool]) -> None:
        now = asyncio.get_running_loop().time
        until = now() + GIVING_WAY_S
        while pressed() and not self._asked and self._waiting < GIVING_WAY_MOST and now() < until:
            await asyncio.sleep(GIVING_WAY_S / 20)

    async def _judge(self) -> bool:
        """Some; whether there were any."""
        began = asyncio.get_running_loop().time()
        try:
            judged = await self._store.judge(AT_ONCE, self._arrivals)
        except _PASSES:
            raise
        except Exception as error:  # noqa: BLE001 -- it belongs to one of them
            log.warning("deliveries are judged one by one", reason=str(error) or type(error).__name__)
            return await self._judge_apart()
        self._settle(judged)
        if not judged.became:  # what was there before we looked, another replica has judged
            self.held.let_go_of_all_before(began)
        return bool(judged.became)

    async def _judge_apart(self) -> bool:
        """As many as would have been judged together; whether there were any."""
        judged = [await self._judge_one() for _ in range(AT_ONCE)]
        return any(judged)

    async def _judge_one(self) -> bool:
        """The first, if there is one. What cannot be judged is given up, and keeps no other from being judged."""
        self._first = ""
        try:
            judged = await self._store.judge(1, self._arrivals)
        except _PASSES:
            raise
        except Problem as problem:
            unread, tries = self._unread
            self._unread = self._first, tries + 1 if unread == self._first else 1
            if self._unread[1] < TRIES:
                log.warning("delivery not judged yet", delivery=self._first, reason=problem.detail, tries=self._unread[1])
                await asyncio.sleep(PAUSE_S)
            else:
                await self._give_up("it could not be read in time. The log of webhooks says more")
            return True
        except Exception as error:
            if not self._first:
                raise  # it is none's
            log.exception("delivery not judged", delivery=self._first)
            await self._give_up(f"it could not be judged: {type(error).__name__}. The log of webhooks says more")
            return True
        self._settle(judged)
        return bool(judged.became)

    async def _give_up(self, reason: str) -> None:
        """The one that was tried last, unless another replica has done it: it stands with the reason, and can be read again by hand."""
        await self._store.give_up(self._first, reason)
        log.error("delivery given up", delivery=self._first, reason=reason)
        self.held.let_go(self._first, None)

    def _settle(self, judged: Judged) -> None:
        self._waiting = judged.left
        for delivery, recorded in judged.became.items():
            self.held.let_go(delivery, recorded)

    async def _arrivals(self, backlog: Backlog, waiting: Sequence[Waiting]) -> list[Arrival]:
        """What they say, of each."""
        self._first = waiting[0].delivery
        unread = [one.delivery for one in waiting if self.held.get(one.delivery) is None]
        small = await backlog.show(unread, TOGETHER) if unread else {}
        arrivals = [self.held.get(one.delivery) or await self._read(one, small, backlog) for one in waiting]
        if len(waiting) > 1 and sum(len(arrival.pushes) for arrival in arrivals) > PUSHES_MOST:
            raise TooMuchAtOnce(f"{len(waiting)} deliveries tell of more than {PUSHES_MOST} refs")
        return arrivals

    async def _read(self, waiting: Waiting, small: Mapping[str, Kept], backlog: Backlog) -> Arrival:
        """As intake would have read it before it was stored."""
        kept = small.get(waiting.delivery) or (await backlog.show([waiting.delivery]))[waiting.delivery]
        if kept.origin is None or kept.forge not in FORGES:
            return _nothing(waiting, "its connection is gone")
        if kept.body is None:
            return _nothing(waiting, "its body is forgotten")
        try:
            reading = await self._reader.read(kept.forge, kept.headers, kept.body, READING_S)
        except Unreadable as error:
            return _nothing(waiting, f"it could not be read: {error}")
        why = why_nothing(reading, kept.origin)
        return Arrival(
            kept.origin,
            FoundBy.DELIVERY,
            () if why else reading.pushes,
            waiting.delivery,
            trace=waiting.trace,
            ignored=why,
            request=None if why else reading.request,
        )


def _nothing(waiting: Waiting, why: str) -> Arrival:
    nowhere = Origin(organization="", project="", connection="", forge="", repository="", clone_url="")
    return Arrival(nowhere, FoundBy.DELIVERY, (), waiting.delivery, ignored=why)
