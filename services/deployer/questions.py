"""Answers what people ask of the target, on core NATS: what differs from the records; and mends it where they say so."""

import asyncio

import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from services.deployer.ports import Upkeep
from shared.bus import Bus
from shared.contracts.examination import Question, Told, ask_subject, told_subject
from shared.contracts.places import Place
from shared.work import Unavailable

log = structlog.get_logger()

_GROUP = "deployer"
"""One replica answers."""
_NOWHERE = None


class Questions:
    """One target's. Mending is one at a time; it goes on to its end, whether or not anybody still waits for the answer."""

    def __init__(self, bus: Bus, target: str, upkeep: Upkeep) -> None:
        self._bus = bus
        self._target = target
        self._upkeep = upkeep
        self._mending = asyncio.Lock()
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answers for ever."""
        asked = await self._bus.nc.subscribe(ask_subject(self._target), queue=_GROUP, cb=self._hear)
        try:
            await asyncio.Event().wait()
        finally:
            await asked.unsubscribe()
            for task in self._answering:
                task.cancel()

    async def _hear(self, raw: Msg) -> None:
        try:
            question = Question.decode(raw.data)
        except ValidationError as error:
            log.warning("question not understood", reason=str(error))
            return
        task = asyncio.create_task(self._answer(question))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question) -> None:
        number = 0
        try:
            wanted: list[Place | None] = [question.place] if question.place else [*await self._upkeep.places(), _NOWHERE]
            for number, place in enumerate(wanted, start=1):
                part = await self._part(question, place)
                await self._tell(question, part.model_copy(update={"number": number, "last": number == len(wanted)}))
        except Unavailable as error:
            await self._tell(question, Told(number=number + 1, last=True, error=str(error)))
        except Exception as error:  # the process edge: the one who asks is told, and the log says more
            log.exception("question not answered", question=question.id)
            await self._tell(
                question, Told(number=number + 1, last=True, error=f"{type(error).__name__}: the log of the deployer says more")
            )

    async def _part(self, question: Question, place: Place | None) -> Told:
        done: list[str] = []
        if question.mend:
            async with self._mending:
                done = await self._upkeep.mend(place)
            for line in done:
                log.info("mended", what=line, question=question.id)
        differences = tuple(await self._upkeep.examine(place))
        if place is None:
            return Told(number=0, differences=differences, done=tuple(done))
        return Told(
            number=0, places=(place,), differences=differences, done=tuple(done), releases={str(place): self._upkeep.releases(place)}
        )

    async def _tell(self, question: Question, part: Told) -> None:
        await self._bus.nc.publish(told_subject(self._target, question.id), part.encode())
