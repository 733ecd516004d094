"""Makes, changes, tests and removes hooks at a forge, by the forge's form. What the forge refuses is a problem in its own words."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from services.api.forges import HOOKS
from services.api.forges.port import Body, Hook, HookForm
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.problems import Problem

T = TypeVar("T")
LIMIT_S = 25.0
"""For all calls of one wish: less than its client waits before it asks again."""
_MOVED = ("forge-moved", "It redirects, which is not followed: connect the repository's present address.")
_ADVICE = {
    401: ("token-refused", "It does not take the token: give another."),
    403: ("token-weak", "The token may lack the right to make hooks: docs/forges.md lists the rights that it takes."),
    404: ("repository-unknown", "There is no such repository, or the token may not see it."),
    **dict.fromkeys((301, 302, 307, 308), _MOVED),
}
"""By the forge's status: the kind of problem, and what to do."""


@dataclass(frozen=True)
class Made:
    """A hook that is as it shall be."""

    hook: Hook
    created: bool
    """It was not there before."""
    test: bool
    """A delivery is on its way, because the hook is new or because the forge was asked for one."""


class ForgeHooks:
    """The hooks of repositories. Every call takes the forge's time; nothing here holds a connection to the database meanwhile."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    async def ensure(self, repository: ForgeRepository, known: str, url: str, secret: str) -> Made:
        """One hook that calls this address, whose id may be known: found and set, or made; and a test of it. Once, however often it is asked."""
        async with _in_time(repository):
            return await self._ensure(repository, known, url, secret)

    async def _ensure(self, repository: ForgeRepository, known: str, url: str, secret: str) -> Made:
        form = HOOKS[repository.kind]
        found = await self._find(form, repository, known, url)
        body = form.body(url, secret)
        if found is None:
            response = await self._call("POST", repository, form.path, body)
            hook = _read(form.made, response, repository)
        else:
            await self._call(form.change, repository, f"{form.path}/{quote(found.id, safe='')}", body)
            hook = Hook(found.id, url)
        created = found is None
        return Made(hook, created, (created and form.pings) or await self._test(form, repository, hook))

    async def remove(self, repository: ForgeRepository, known: str, url: str) -> bool:
        """Whether there was one to remove."""
        form = HOOKS[repository.kind]
        async with _in_time(repository):
            found = await self._find(form, repository, known, url)
            if found is None:
                return False
            await self._call("DELETE", repository, f"{form.path}/{quote(found.id, safe='')}", good_too=(404,))
            return True

    async def _find(self, form: HookForm, repository: ForgeRepository, known: str, url: str) -> Hook | None:
        response = await self._call("GET", repository, f"{form.path}?{form.all}")
        hooks = _read(form.read, response, repository)
        return next((hook for hook in hooks if hook.id == known), None) or next((hook for hook in hooks if hook.url == url), None)

    async def _test(self, form: HookForm, repository: ForgeRepository, hook: Hook) -> bool:
        if form.test is None:
            return False
        path = form.test.path.format(id=quote(hook.id, safe=""), url=quote(hook.url, safe=""))
        older = range(400, 500) if form.test.maybe else ()
        return (await self._call("POST", repository, path, form.test.body, good_too=older)).status < 300

    async def _call(
        self, method: str, repository: ForgeRepository, path: str, body: Body | None = None, *, good_too: Collection[int] = ()
    ) -> Response:
        content = None if body is None else json.dumps(body).encode()
        try:
            response = await self._client.send(method, repository.url(path), repository.headers, content)
        except Refused as refused:
            raise Problem(422, "forge-refused", f"{repository.forge} is not called: {refused}") from refused
        except Failed as failed:
            raise Problem(502, "forge-away", f"{repository.forge} cannot be asked: {failed}") from failed
        if not 200 <= response.status < 300 and response.status not in good_too:
            raise _refusal(repository, response)
        return response


@asynccontextmanager
async def _in_time(repository: ForgeRepository) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(LIMIT_S):
            yield
    except TimeoutError:
        raise Problem(502, "forge-away", f"{repository.forge} takes longer than {LIMIT_S:.0f} s. Try again later.") from None


def _refusal(repository: ForgeRepository, response: Response) -> Problem:
    status, said = response.status, f"{repository.forge} answered {response.status}: {response.text()}."
    if status == 429:
        wait = response.headers.get("retry-after", "60")
        return Problem(503, "forge-limits", f"{said} It wants a pause: try again later.", headers={"Retry-After": wait})
    if status >= 500:
        return Problem(502, "forge-away", f"{said} Try again later.")
    slug, advice = _ADVICE.get(status, ("hook-refused", ""))
    return Problem(422, slug, f"{said} {advice}".strip())


def _read(reader: Callable[[bytes], T], response: Response, repository: ForgeRepository) -> T:
    try:
        return reader(response.body)
    except ValidationError as error:
        detail = f"What answers for {repository.forge} at {repository.url('')} does not speak its API: {response.text(100)}"
        raise Problem(502, "forge-unreadable", detail) from error
