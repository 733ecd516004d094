"""Answers what people ask of the target, on core NATS: what differs from the records; and mends it where they say so."""

import asyncio

import structlog

from services.deployer.ports import Upkeep
from shared.bus import Bus
from shared.contracts.examination import Question, Told, ask_subject, told_subject
from shared.contracts.places import Place
from shared.questions import answer_questions
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

    async def run(self) -> None:
        """Answers for ever."""
        await answer_questions(self._bus, ask_subject(self._target), _GROUP, Question, self._answer)

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
            return Told(number=0, differences=differences, done=tuple(done), databases={})
        return Told(
            number=0,
            places=(place,),
            differences=differences,
            done=tuple(done),
            releases={str(place): self._upkeep.releases(place)},
            databases={str(place): self._upkeep.databases(place)},
        )

    async def _tell(self, question: Question, part: Told) -> None:
        await self._bus.nc.publish(told_subject(self._target, question.id), part.encode())
