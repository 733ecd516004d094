"""Answers of gates over HTTP: by the gate's own token, or by somebody who may in its tool's place."""

from dataclasses import asdict, dataclass
from typing import Annotated

import bcrypt
from fastapi import APIRouter, Depends, Request

from services.api.access import asking, bearer, token_of
from services.api.dependencies import Using, parts_of
from services.api.gate_answers import answer
from services.api.refusals import not_found
from services.api.resources.gates import TOKEN, permitted
from services.api.resources.requests import Accepted, RequestPage, keep
from services.api.store import gates, requests
from services.api.store.gates import StoredGate
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.gates import GateAnswer
from shared.messages import Slug
from shared.problems import Problem

router = APIRouter(prefix="/gates/{organization}/{name}/answers", tags=["gates"], route_class=TransactionalRoute)

_BCRYPT_TAKES = 72
"""Bytes."""


@dataclass(frozen=True)
class Answerer:
    """Who answers a gate: its tool, by the gate's own token, or somebody who may in its place."""

    gate: StoredGate
    subject: str
    name: str


async def _answerer(organization: Slug, name: Slug, request: Request, _scheme: Annotated[object, Depends(bearer)]) -> Answerer:
    parts, token = parts_of(request), token_of(request)
    if token.startswith(TOKEN):
        gate = await gates.get(parts.pool, organization, name)
        if gate is None or not _is_right(token.encode(), gate):
            raise Problem(401, "unauthenticated", "This is not the gate's token.", headers={"WWW-Authenticate": "Bearer"})
        return Answerer(gate=gate, subject=gate.subject, name=f"gate {gate.name}")
    caller = await asking(request)
    gate = await permitted(caller, "gate.answer", parts, organization, name)
    return Answerer(gate=gate, subject=caller.id, name=caller.name)


def _is_right(password: bytes, gate: StoredGate) -> bool:
    return len(password) <= _BCRYPT_TAKES and bcrypt.checkpw(password, gate.password_hash.encode())


@router.post("", status_code=202)
async def answer_gate(said: GateAnswer, who: Annotated[Answerer, Depends(_answerer)], unit: Within) -> Accepted:
    """Answers the gate for a deployment that waits for it. The answer is kept; `url` tells whether it counted, or why not."""
    connection = await unit.begin()
    request = await answer(connection, who.gate, said, who.subject, who.name)
    await keep(connection, unit.parts.outbox, request, None, who.gate.resource, said.deployment)
    return Accepted(request=request.id, url=f"/api/v1/gates/{who.gate.organization}/{who.gate.name}/answers/{request.id}")


@router.get("/{request}")
async def get_answer(request: str, who: Annotated[Answerer, Depends(_answerer)], using: Using) -> RequestPage:
    """What became of an answer: `done` where it counted, `refused` with the reason where it did not."""
    found = await requests.get(using.pool, request)
    if found is None or (found.organization, found.subject) != (who.gate.organization, who.subject):
        raise not_found("answer", request)
    return RequestPage.model_validate(asdict(found))
