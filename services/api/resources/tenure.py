"""Whether the reader of a long stream may still read it."""

import asyncio

from fastapi import Request

from services.api.access import Caller, caller_with, token_of
from services.api.dependencies import Parts
from services.api.resources.deployments import permitted
from shared.problems import Problem

RECHECK_S = 10.0
"""How often it is looked at whether its token and its reader's roles still hold."""


class Tenure:
    """Whether the stream's reader may still read it: looked at now and then, since tokens end and roles are taken away."""

    def __init__(self, request: Request, caller: Caller, parts: Parts, deployment: str | None = None) -> None:
        self.caller = caller
        """With the roles that they had when it was looked at last."""
        self._token = token_of(request)
        self._parts = parts
        self._deployment = deployment
        self._checked = asyncio.get_running_loop().time()

    async def holds(self) -> bool:
        """False once the token was revoked or has expired, or the right to see the stream's deployment (or anything at all) has gone."""
        now = asyncio.get_running_loop().time()
        if now - self._checked < RECHECK_S:
            return True
        self._checked = now
        caller = await caller_with(self._token, self._parts)
        if caller is None or not caller.resources:
            return False
        self.caller = caller
        return self._deployment is None or await self._may_see(self._deployment)

    async def _may_see(self, deployment: str) -> bool:
        try:
            await permitted(self.caller, "event.read", self._parts.pool, deployment)
        except Problem:
            return False
        return True
