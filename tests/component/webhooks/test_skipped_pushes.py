"""A commit that asks for no deployment, pushed to Slipway's own remote: the pusher hears it, and the sweep leaves it."""

from pathlib import Path

from services.webhooks.git.repositories import Repositories
from services.webhooks.store import Store
from services.webhooks.sweep import OwnSweep
from shared.outbox import Outbox
from tests.component.webhooks.conftest import Webhooks
from tests.component.webhooks.workingcopy import WorkingCopy


async def test_a_pusher_is_told_that_the_commit_asks_for_nothing(webhooks: Webhooks, tmp_path: Path) -> None:
    """The first line of its message counts; no change is sent, none is missed, and the next commit is deployed as ever."""
    copy = await WorkingCopy.new(tmp_path / "copy")
    await copy.commit("Mend a comma [skip ci]")
    pushed = await copy.git("push", webhooks.remote(), "main:other")
    assert "other: the commit's message asks for no deployment: [skip ci]." in pushed.remote
    assert await webhooks.coordinator.nothing()
    repositories = Repositories(webhooks.settings.repositories, Path("/nonexistent"), 10**9)
    sweep = OwnSweep(Store(webhooks.pool, Outbox("webhooks")), repositories, webhooks.settings.clone_url, 60)
    assert await sweep.sweep() == []
    commit = await copy.commit("More")
    await copy.git("push", webhooks.remote(), "main:other")
    assert (await webhooks.coordinator.take()).commit == commit
