"""Gets deployments their credentials to clone with: each on its own, since a forge that is asked for one may take its time."""

import asyncio
from collections.abc import Iterable

import structlog

from services.coordinator.catalogue import ForgeAway, Unknown
from services.coordinator.coordinator import Coordinator
from services.coordinator.inputs import Input, SourceDenied, SourceGiven
from services.coordinator.saga import Saga, Want
from services.coordinator.store import sagas
from shared.consumer import is_outage
from shared.contracts.answers import Failure

log = structlog.get_logger()


class Sources:
    """Those that are being asked for. What stands in the deployments' rows is what counts."""

    def __init__(self, coordinator: Coordinator, tasks: asyncio.TaskGroup) -> None:
        self._coordinator = coordinator
        self._tasks = tasks
        self._at_work: set[str] = set()

    def get(self, deployments: Iterable[str]) -> None:
        """Begins to get what these want."""
        for deployment in deployments:
            if deployment not in self._at_work:
                self._at_work.add(deployment)
                self._tasks.create_task(self._serve(deployment))

    async def _serve(self, deployment: str) -> None:
        """While api or the database is away the deployment keeps wanting; the next look begins again."""
        try:
            await self._give(deployment)
        except Exception as error:  # the edge of a task: one deployment's trouble is none of the others'
            if is_outage(error):
                log.warning("no credential yet", deployment=deployment, error=str(error) or type(error).__name__)
            else:
                log.exception("want not served", deployment=deployment, want=Want.SOURCE)
        finally:
            self._at_work.discard(deployment)

    async def _give(self, deployment: str) -> None:
        async with self._coordinator.pool.acquire() as connection:
            saga = await sagas.read(connection, deployment)
        if saga is None or saga.wants is not Want.SOURCE:
            return
        said = await self._ask(saga)
        async with self._coordinator.work() as work:
            await work.lock([deployment])
            await work.apply(deployment, said)

    async def _ask(self, saga: Saga) -> Input:
        place, former = saga.origin.place, saga.cloned_from
        assert former is not None
        try:
            source = await self._coordinator.catalogue.source(
                place.organization, place.project, former.connection, saga.origin.target, former.ref, former.commit, made=True
            )
        except Unknown as unknown:
            return SourceDenied(Failure(code="clone_denied", message=str(unknown)))
        except ForgeAway as away:
            return SourceDenied(Failure(code="clone_unreachable", message=str(away), may_pass=True))
        return SourceGiven(source)
