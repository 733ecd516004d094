"""A worker dies after any of its effects, in any step or undo: done again it succeeds, undone nothing of it stands."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_networks import EngineNetworks
from services.deployer.targets.local.engine_volumes import EngineVolumes
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.route_folder import RouteFolder
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.manifest import Strategy
from shared.contracts.releases import Release
from tests.integration.deployer.rig import Deployment, Site, deploy, prepare, roll_back, switch

_EFFECTS = (
    (Engine, ("create", "start", "update", "signal", "remove")),
    (EngineNetworks, ("create", "remove", "connect", "disconnect")),
    (EngineVolumes, ("create",)),
    (Records, ("keep_service", "keep_database", "forget_database", "claim", "release", "detach", "mark_undone")),
    (RouteFolder, ("apply",)),
)


class Died(BaseException):
    """The worker is dead: nothing catches this."""


class Fate:
    """Counts effects, and lets the worker die right after the given one."""

    def __init__(self) -> None:
        self.left = -1

    def after(self, effects: int) -> None:
        """Dies after so many effects from now."""
        self.left = effects

    def effect(self) -> None:
        """One more."""
        self.left -= 1
        if self.left == 0:
            raise Died


@pytest.fixture
async def fate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fate]:
    """Every effect of the target goes through it."""
    made = Fate()
    for cls, names in _EFFECTS:
        for name in names:
            monkeypatch.setattr(cls, name, _mortal(getattr(cls, name), made))
    yield made
    made.left = -1


def _mortal(method: Callable[..., Any], fate: Fate) -> Callable[..., Any]:
    @functools.wraps(method)
    async def awaited(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        fate.effect()
        return result

    @functools.wraps(method)
    def called(*arguments: Any, **named: Any) -> Any:
        result = method(*arguments, **named)
        fate.effect()
        return result

    return awaited if inspect.iscoroutinefunction(method) else called


@contextmanager
def dying(fate: Fate, effects: int) -> Iterator[list[bool]]:
    """The worker dies after so many effects, unless the block ends before; the list holds whether it did."""
    died: list[bool] = []
    fate.after(effects)
    try:
        yield died
    except Died:
        died.append(True)
    finally:
        fate.left = -1


async def forwards(deployment: Deployment, release: Release, former: Release) -> None:
    """Up to the pivot."""
    await prepare(deployment, release, former)
    await switch(deployment, release, former)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.timeout(400)
async def test_undone_after_a_death(here: Site, fate: Fate, strategy: Strategy) -> None:
    """Forwards it dies after the nth effect, backwards after the nth again; then the undo runs through, and all is as it was."""
    one = here.release("one", strategy=strategy)
    await deploy(here.deployment(), one)
    before = await here.described()
    two = here.release("two", strategy=strategy, hosts=(here.place.host("web"), f"more.{here.place.project}.localhost"))
    effects, died = 0, [True]
    while died:
        effects += 1 if strategy is Strategy.ROLLING else 2
        deployment = here.deployment()
        with dying(fate, effects) as died:
            await forwards(deployment, two, one)
        with dying(fate, effects):
            await roll_back(deployment, two, one)
        await roll_back(deployment, two, one)
        assert await here.described() == before, effects
    assert effects > 8
    assert await here.get() == (200, "one")


@pytest.mark.timeout(400)
async def test_done_again_after_a_death(here: Site, fate: Fate) -> None:
    """It dies after the nth effect; the next worker does all steps again, and the release serves."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    effects, died = 0, [True]
    while died:
        effects += 1
        deployment = here.deployment()
        with dying(fate, effects) as died:
            await forwards(deployment, two, one)
        await forwards(deployment, two, one)
        assert await here.get() == (200, "two")
        await roll_back(deployment, two, one)
        assert await here.described() == before, effects
    assert effects > 8


async def test_database_undone_after_a_death(here: Site, fate: Fate) -> None:
    """A database that is being made is undone after each of its effects; what is left is a detached volume at most."""
    before, spec = await here.described(), here.database()
    effects, died = 0, [True]
    while died:
        effects += 1
        deployment = here.deployment()
        with dying(fate, effects) as died:
            await deployment.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec)
        with dying(fate, effects):
            await deployment.undo(c.ProvisionDatabase, "provision-database-main", f.DatabaseRestored, database=spec)
        await deployment.undo(c.ProvisionDatabase, "provision-database-main", f.DatabaseRestored, database=spec)
        assert await here.described() == before, effects
    assert effects > 4
