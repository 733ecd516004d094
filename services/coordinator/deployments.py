"""How a deployment comes to be."""

from dataclasses import replace

from services.coordinator.inputs import Begin
from services.coordinator.saga import DeploymentState, Origin, Saga
from services.coordinator.store import sagas
from services.coordinator.work import UnitOfWork
from shared.messages import new_id
from shared.telemetry import traceparent


async def create(work: UnitOfWork, origin: Origin, cause: str) -> str:
    """A new deployment, in the trace that is current; answers its id."""
    origin = replace(origin, trace=traceparent())
    saga = Saga(id=new_id(), origin=origin, state=DeploymentState.AUTHORIZING, created_at=await sagas.clock(work.connection))
    await work.create(saga, Begin(cause=cause))
    return saga.id
