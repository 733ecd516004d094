"""The deployer's side of an examination: its real answers over the real bus, about a target that is no more than a table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.deployer.questions import Questions
from shared.bus import Bus
from shared.contracts.examination import Difference, Kind
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec
from shared.work import Unavailable

PLACE = Place(organization="main", project="todo", environment="production")
STOPPED = Difference(place=PLACE, kind=Kind.CONTAINER, name="todo-web", what="does not run", remedy="started")
STRAY = Difference(kind=Kind.ROUTE, name="service.x.yml", what="no record speaks of it", remedy="removed")


class FakeUpkeep:
    """A target with one stopped container and one stray file."""

    def __init__(self) -> None:
        self.differ: dict[Place | None, list[Difference]] = {PLACE: [STOPPED], None: [STRAY]}
        self.live = {"web": "r1"}
        self.there: dict[str, DatabaseSpec] = {}
        self.away = False

    async def places(self) -> list[Place]:
        """One environment."""
        if self.away:
            raise Unavailable("the container engine does not answer")
        return [PLACE]

    async def examine(self, place: Place | None) -> list[Difference]:
        """What differs until it is mended."""
        return self.differ.get(place, [])

    async def mend(self, place: Place | None) -> list[str]:
        """Mends it."""
        return [f"{place}: {each.name} {each.remedy}" for each in self.differ.pop(place, [])]

    def releases(self, _place: Place) -> dict[str, str]:
        """What is live."""
        return self.live

    def databases(self, _place: Place) -> dict[str, DatabaseSpec]:
        """What is recorded."""
        return self.there


@asynccontextmanager
async def answering(bus: Bus, upkeep: FakeUpkeep) -> AsyncIterator[None]:
    """The deployer's side, as its process has it."""
    task = asyncio.create_task(Questions(bus, "local", upkeep).run())
    await bus.nc.flush()
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
