"""Jobs run once a deployment, whatever comes again."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from services.deployer.fence import Claim
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.exits import ended_by_itself
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.releases import JobSpec
from shared.work import LowerEpoch, StepFailure, Unavailable
from tests.integration.deployer.rig import Deployment, Site, deploy
from tests.polling import eventually

STEP = "run-job-migrate"


async def never(*_: object) -> Any:
    """A request that the engine never gets."""
    raise Unavailable("the engine went away")


async def test_runs_once(here: Site) -> None:
    """A command that comes again reads how the job ended instead of running it twice; its lines are streamed."""
    first = here.deployment()
    job = here.job("echo migrating; date +%s%N")
    ran = await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    again = await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    assert again.log_tail == ran.log_tail
    assert first.journal.lines[0] == "migrating"


async def test_failed_job_fails_again_without_running(here: Site) -> None:
    """The exit code and the last lines are reported, also to a command that comes again; a NUL in them is shown as such."""
    first = here.deployment()
    job = here.job(r"printf 'no such\0column\n'; date +%s%N; exit 7")
    tails = []
    for _ in range(2):
        with pytest.raises(StepFailure) as failed:
            await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
        assert failed.value.failure.code == "job_failed"
        assert "exit code 7" in failed.value.failure.message
        tails.append(failed.value.failure.log_tail)
    assert tails[0] == tails[1]
    assert tails[0][0] == "no such\ufffdcolumn"


async def test_timeout(here: Site) -> None:
    """A job that takes too long is killed and says so."""
    with pytest.raises(StepFailure) as failed:
        await here.deployment().do(c.RunJob, STEP, f.JobSucceeded, job=here.job("echo waiting; sleep 60", timeout_s=0.5))
    assert failed.value.failure.code == "job_timed_out"
    (container,) = (await here.target.state.describe(here.place)).containers.values()
    assert not container["running"]


async def test_worker_dies_while_the_job_runs(here: Site) -> None:
    """The next worker waits for the same run."""
    first = here.deployment()
    job = here.job("date +%s%N; sleep 1")
    running = asyncio.create_task(first.do(c.RunJob, STEP, f.JobSucceeded, job=job))

    async def started() -> bool:
        return any(container["running"] for container in (await here.target.state.describe(here.place)).containers.values())

    await eventually(started)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    ran = await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    assert len(ran.log_tail) == 1


@pytest.mark.parametrize("script", ["true", "exit 1", "sleep 60"], ids=["succeeded", "failed", "running"])
async def test_undo_runs_the_jobs_own_undo(here: Site, script: str) -> None:
    """Undone, the job is ended and its own undo has run once; nothing of it is left, and a late worker is refused."""
    before = await here.described()
    first = here.deployment()
    job = here.job(script, undo="echo undone", timeout_s=30)
    running = asyncio.create_task(first.do(c.RunJob, STEP, f.JobSucceeded, job=job))

    async def there() -> bool:
        return any(container["id"] for container in (await here.target.state.describe(here.place)).containers.values())

    await eventually(there)
    if script != "sleep 60":
        await asyncio.wait([running])
    else:
        await asyncio.sleep(0.5)
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    await asyncio.gather(running, return_exceptions=True)
    assert undone.ran_undo
    assert first.journal.lines.count("undone") == 1
    assert await here.described() == before
    again = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert not again.ran_undo
    with pytest.raises(LowerEpoch):
        await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    assert await here.described() == before


async def test_undo_of_a_job_that_never_ran(here: Site) -> None:
    """Its own undo is not run."""
    undone = await here.deployment().undo(c.RunJob, STEP, f.JobUndone, job=here.job("true", undo="echo undone"))
    assert not undone.ran_undo


def once(remove: Callable[[Engine, str], Awaitable[bool]]) -> Callable[[Engine, str], Awaitable[bool]]:
    """The worker dies of the second removal."""
    calls = count(1)

    async def removed(engine: Engine, name: str) -> bool:
        return await (remove(engine, name) if next(calls) == 1 else never())

    return removed


def first_says_no(real: Callable[[Engine, Container], Awaitable[bool]]) -> Callable[[Engine, Container], Awaitable[bool]]:
    """The first container that it is asked of went down with its engine."""
    calls = count(1)

    async def ended(engine: Engine, found: Container) -> bool:
        return next(calls) > 1 and await real(engine, found)

    return ended


async def made_only(deployment: Deployment, job: JobSpec) -> str:
    """The job's container, whose start the engine never got; its name."""
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(Engine, "try_start", never)
        with pytest.raises(Unavailable):
            await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    (name,) = (await deployment.target.state.describe(deployment.place)).containers
    return str(name)


async def test_undo_of_a_job_that_never_ran_and_is_being_removed(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal that a worker asked for before it died is under way when the next one looks: that is no sign of a run."""
    before = await here.described()
    first, job = here.deployment(), here.job("true", undo="echo undone")
    await made_only(first, job)
    engine, looks, removals = here.target.engine, count(1), count(1)
    inspect, remove_idle = engine.inspect, engine.remove_idle

    async def being_removed(name: str) -> Container | None:
        found = await inspect(name)
        return found and dataclasses.replace(found, status="removing") if next(looks) < 4 else found

    async def under_way(name: str) -> bool:
        return next(removals) > 1 and await remove_idle(name)

    monkeypatch.setattr(engine, "inspect", being_removed)
    monkeypatch.setattr(engine, "remove_idle", under_way)
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert not undone.ran_undo
    assert "undone" not in first.journal.lines
    assert await here.described() == before


async def test_undo_that_died_between_two_removals(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's container is gone, and that of its own undo is not: the next undo takes it away, and says that it ran."""
    before = await here.described()
    first, job = here.deployment(), here.job("true", undo="echo undone")
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    with monkeypatch.context() as dying:
        dying.setattr(Engine, "remove", once(Engine.remove))
        with pytest.raises(Unavailable):
            await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert len((await here.target.state.describe(here.place)).containers) == 1
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert undone.ran_undo
    assert first.journal.lines.count("undone") == 1
    assert await here.described() == before


async def test_a_job_that_ran_again_is_undone_again(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that made way for the second run died before it removed the container of the first one's undo."""
    before = await here.described()
    first, job = here.deployment(), here.job("echo working", undo="echo undone in $(cat /proc/sys/kernel/random/uuid)")
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    with monkeypatch.context() as dying:
        dying.setattr("services.deployer.targets.local.jobs.ended_by_itself", first_says_no(ended_by_itself))
        dying.setattr(Engine, "remove", once(Engine.remove))
        with suppress(Unavailable):  # where it has both to remove before it goes on
            await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert undone.ran_undo
    assert len({line for line in first.journal.lines if line.startswith("undone")}) == 2
    assert await here.described() == before


async def test_removed_when_the_deployment_ends(here: Site) -> None:
    """The retirement takes the job's container away, and a command that comes again afterwards does not run it once more."""
    first, job = here.deployment(), here.job("true")
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    await deploy(first, here.release("one"))
    after = await here.described()
    assert len((await here.target.state.describe(here.place)).containers) == 1
    with pytest.raises(StepFailure) as failed:
        await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    assert failed.value.failure.code == "deployment_ended"
    assert await here.described() == after


async def test_the_sweep_of_another_undo_leaves_a_job_to_its_own(here: Site) -> None:
    """Two undos at the same time: the job's container is still there when its own undo comes to look whether it ran."""
    before = await here.described()
    first, job = here.deployment(), here.job("true", undo="echo undone")
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    await here.target.sweep.begin(Claim(here.target.fence, here.place, first.epoch + 1, first.id, STEP))
    await first.undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=here.release("one"))
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert undone.ran_undo
    assert await here.described() == before


@pytest.mark.parametrize("looks", ["its own undo", "the sweep of another"])
async def test_a_start_that_lands_after_the_look_is_undone(here: Site, looks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request of a worker that died: whoever found the job's container not started, and goes to remove it, sees that it runs by now."""
    before = await here.described()
    first, job = here.deployment(), here.job("sleep 60", undo="echo undone")
    engine, start = here.target.engine, here.target.engine.try_start
    name = await made_only(first, job)
    look, last = {"its own undo": ("inspect", 2), "the sweep of another": ("summaries", 1)}[looks]
    real, calls = getattr(engine, look), count(1)

    async def late(wanted: object) -> object:
        found = await real(wanted)
        if next(calls) == last:
            assert await start(name) is None
        return found

    monkeypatch.setattr(engine, look, late)
    if looks == "the sweep of another":
        await here.target.sweep.begin(Claim(here.target.fence, here.place, first.epoch + 1, first.id, STEP))
        await first.undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=here.release("one"))
    undone = await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert undone.ran_undo
    assert await here.described() == before


async def test_a_job_whose_undo_was_given_up_goes_with_the_next_deployment(here: Site) -> None:
    """Somebody accepted the environment as it stood; reconcile takes the container away once another deployment has had its turn."""
    before = await here.described()
    first, job = here.deployment(), here.job("true", undo="exit 1")
    await first.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    with pytest.raises(StepFailure):
        await first.undo(c.RunJob, STEP, f.JobUndone, job=job)
    await here.target.reconcile.once()
    assert await here.described() != before
    await here.deployment().undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=here.release("one"))
    await here.target.reconcile.once()
    assert await here.described() == before


async def test_a_job_whose_deployment_was_not_retired_goes_with_the_next_deployment(here: Site) -> None:
    """Its retirement failed; reconcile takes the container away once another deployment has had its turn."""
    before = await here.described()
    await here.deployment().do(c.RunJob, STEP, f.JobSucceeded, job=here.job("true", undo="echo undone"))
    await here.target.reconcile.once()
    assert await here.described() != before
    await here.deployment().undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=here.release("one"))
    await here.target.reconcile.once()
    assert await here.described() == before
