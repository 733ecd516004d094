"""Makes, changes, tests and removes hooks at a forge, by the forge's form. What the forge refuses is a problem in its own words."""

from dataclasses import dataclass
from urllib.parse import quote

from services.api.forges import HOOKS
from services.api.forges.calls import Calls, in_time, read
from services.api.forges.port import Hook, HookForm
from shared.forge_api import ForgeRepository
from shared.guarded_http import GuardedClient


@dataclass(frozen=True)
class Made:
    """A hook that is as it shall be."""

    hook: Hook
    created: bool
    """It was not there before."""
    test: bool
    """A delivery is on its way, because the hook is new or because the forge was asked for one."""


class ForgeHooks:
    """The hooks of repositories."""

    def __init__(self, client: GuardedClient) -> None:
        self._calls = Calls(client, "make hooks")

    async def ensure(self, repository: ForgeRepository, known: str, url: str, secret: str) -> Made:
        """One hook that calls this address, whose id may be known: found and set, or made; and a test of it. Once, however often it is asked."""
        async with in_time(repository):
            return await self._ensure(repository, known, url, secret)

    async def _ensure(self, repository: ForgeRepository, known: str, url: str, secret: str) -> Made:
        form = HOOKS[repository.kind]
        found = await self._find(form, repository, known, url)
        body = form.body(url, secret)
        if found is None:
            response = await self._calls.call("POST", repository, repository.url(form.path), body)
            hook = read(form.made, response, repository)
        else:
            change = {name: value for name, value in body.items() if name != form.kind}
            await self._calls.call(form.change, repository, repository.url(f"{form.path}/{quote(found.id, safe='')}"), change)
            hook = Hook(found.id, url)
        created = found is None
        return Made(hook, created, (created and form.pings) or await self._test(form, repository, hook))

    async def remove(self, repository: ForgeRepository, known: str, url: str) -> bool:
        """Whether there was one to remove."""
        form = HOOKS[repository.kind]
        async with in_time(repository):
            found = await self._find(form, repository, known, url)
            if found is None:
                return False
            await self._calls.call("DELETE", repository, repository.url(f"{form.path}/{quote(found.id, safe='')}"), good_too=(404,))
            return True

    async def _find(self, form: HookForm, repository: ForgeRepository, known: str, url: str) -> Hook | None:
        response = await self._calls.call("GET", repository, repository.url(f"{form.path}?{form.all}"))
        hooks = read(form.read, response, repository)
        return next((hook for hook in hooks if hook.id == known), None) or next((hook for hook in hooks if hook.url == url), None)

    async def _test(self, form: HookForm, repository: ForgeRepository, hook: Hook) -> bool:
        if form.test is None:
            return False
        path = form.test.path.format(id=quote(hook.id, safe=""), url=quote(hook.url, safe=""))
        older = range(400, 500) if form.test.maybe else ()
        return (await self._calls.call("POST", repository, repository.url(path), form.test.body, good_too=older)).status < 300
