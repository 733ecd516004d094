"""Calls of a forge's API for somebody who waits. What the forge refuses is a problem in its own words."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

from pydantic import ValidationError

from services.api.forges.port import Body
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.problems import Problem

T = TypeVar("T")
LIMIT_S = 25.0
"""For all calls of one wish: less than its client waits before it asks again."""
_MOVED = (
    "forge-moved",
    "It redirects, which is not followed: have the connection lead to where the repository is now (slipway connections change).",
)
_ADVICE = {
    401: ("token-refused", "It does not take the token: give another."),
    403: ("token-weak", "The token may lack the right to {wish}: docs/forges.md lists the rights that it takes."),
    404: ("repository-unknown", "There is no such repository, or the token may not see it."),
    **dict.fromkeys((301, 302, 307, 308), _MOVED),
}
"""By the forge's status: the kind of problem, and what to do."""


class Calls:
    """Every call takes the forge's time; nothing here holds a connection to the database meanwhile. `wish`: what they are for."""

    def __init__(self, client: GuardedClient, wish: str) -> None:
        self._client = client
        self._wish = wish

    async def call(
        self, method: str, repository: ForgeRepository, url: str, body: Body | None = None, *, good_too: Collection[int] = ()
    ) -> Response:
        """An answer that says that it is done, or has a status that is `good_too`. Raises `Problem`."""
        content = None if body is None else json.dumps(body).encode()
        try:
            response = await self._client.send(method, url, repository.headers, content)
        except Refused as refused:
            raise Problem(422, "forge-refused", f"{repository.forge} is not called: {refused}") from refused
        except Failed as failed:
            raise Problem(502, "forge-away", f"{repository.forge} cannot be asked: {failed}") from failed
        if not 200 <= response.status < 300 and response.status not in good_too:
            raise self._refusal(repository, response)
        return response

    def _refusal(self, repository: ForgeRepository, response: Response) -> Problem:
        status, said = response.status, f"{repository.forge} answered {response.status}: {response.text()}."
        if status == 429:
            wait = response.headers.get("retry-after", "60")
            return Problem(503, "forge-limits", f"{said} It wants a pause: try again later.", headers={"Retry-After": wait})
        if status >= 500:
            return Problem(502, "forge-away", f"{said} Try again later.")
        slug, advice = _ADVICE.get(status, ("hook-refused", ""))
        return Problem(422, slug, f"{said} {advice.format(wish=self._wish)}".strip())


@asynccontextmanager
async def in_time(repository: ForgeRepository) -> AsyncIterator[None]:
    """Raises `Problem` where the block takes too long."""
    try:
        async with asyncio.timeout(LIMIT_S):
            yield
    except TimeoutError:
        raise Problem(502, "forge-away", f"{repository.forge} takes longer than {LIMIT_S:.0f} s. Try again later.") from None


def read(reader: Callable[[bytes], T], response: Response, repository: ForgeRepository) -> T:
    """What an answer says; raises `Problem` where it does not speak the forge's API."""
    try:
        return reader(response.body)
    except ValidationError as error:
        detail = f"What answers for {repository.forge} at {repository.url('')} does not speak its API: {response.text(100)}"
        raise Problem(502, "forge-unreadable", detail) from error
