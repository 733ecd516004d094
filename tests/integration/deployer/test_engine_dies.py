"""The engine dies, or the machine with all that runs on it, in mid-deployment: that is no fault of the application's.

What went down is started again, by whoever looks at it next; what ended by itself is reported as that.
"""

import asyncio
import gc
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.deployer.fence import Claim
from services.deployer.targets.local.unknown_run import unknown_run
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.releases import JobSpec
from shared.work import StepFailure, Unavailable
from tests.integration.deployer.mortal import MortalEngine, mortal_engine, why_not
from tests.integration.deployer.rig import Deployment, Machine, Site, deploy, machine, prepare, retire, site, switch
from tests.polling import eventually, until

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(120),
    # aiodocker leaves the connection of a log that the engine broke off to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STEP = "run-job-migrate"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What the collector finds it shall find here, and not in a test after these."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def engine() -> Iterator[MortalEngine]:
    """One that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="slm-"))
    with mortal_engine(folder) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mortal_machine(engine: MortalEngine) -> Iterator[Machine]:
    """A home and a Traefik beside that engine."""
    with machine(engine.settings.address, ("18",)) as made:
        yield made


@pytest.fixture
async def there(mortal_machine: Machine) -> AsyncIterator[Site]:
    """An environment of the test's own, on that engine."""
    async with site(mortal_machine) as made:
        yield made


async def reboot(there: Site, engine: MortalEngine) -> None:
    """All at once, and the engine again."""
    await asyncio.to_thread(engine.kill_with_everything)
    await start(there, engine)


async def start(there: Site, engine: MortalEngine) -> None:
    """The engine answers again, also on connections that were kept."""
    await asyncio.to_thread(engine.start)

    async def answers() -> bool:
        with suppress(Unavailable):
            await there.target.engine.ping()
            return True
        return False

    await eventually(answers)


async def test_a_candidate_that_went_down_with_the_machine_is_checked_all_the_same(there: Site, engine: MortalEngine) -> None:
    """Between its start and its check, and between its check and the switch."""
    one, two = there.release("one"), there.release("two")
    await deploy(there.deployment(), one)
    second = there.deployment()
    await prepare(second, two, one)
    await reboot(there, engine)
    await second.do(c.CheckCandidate, "check-container-web", f.CandidateHealthy, release=two, former=one)
    assert any("started again" in line for line in second.journal.lines)
    await reboot(there, engine)
    await switch(second, two, one)
    await reboot(there, engine)
    await second.do(c.CheckEndpoint, "check-endpoint-web", f.EndpointHealthy, release=two, former=one)
    await retire(second, two, one)
    assert await there.get() == (200, "two")


async def test_a_candidate_outlives_its_engine(there: Site, engine: MortalEngine) -> None:
    """It goes on while the engine is away, and is checked when that is back."""
    one, deployment = there.release("one"), there.deployment()
    await prepare(deployment, one)
    engine.kill()
    await start(there, engine)
    await switch(deployment, one)
    assert not any("started again" in line for line in deployment.journal.lines)
    assert await there.get() == (200, "one")


async def test_what_crashes_by_itself_after_the_machine_is_back_has_crashed(there: Site, engine: MortalEngine) -> None:
    """It is started once more, and its exit code and last lines are reported."""
    release, deployment = there.release("one", command=("sh", "-c", "sleep 1; echo no such table; exit 3")), there.deployment()
    await deployment.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=release)
    await reboot(there, engine)
    with pytest.raises(StepFailure) as failed:
        await deployment.do(c.CheckCandidate, "check-container-web", f.CandidateHealthy, release=release)
    assert failed.value.failure.code == "crashed_at_start"
    assert "exit code 3" in failed.value.failure.message


async def test_what_crashed_with_another_engine_running_has_crashed(there: Site, engine: MortalEngine) -> None:
    """The engine that runs did not start it, and saw it end by itself."""
    release, deployment = (
        there.release("one", command=("sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 3")),
        there.deployment(),
    )
    await deployment.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=release)
    engine.kill()
    await start(there, engine)
    name = there.target.workloads.container(there.place, release)
    await there.target.engine.execute(name, ("touch", "/tmp/end"))
    await there.target.engine.wait(name)
    with pytest.raises(StepFailure) as failed:
        await deployment.do(c.CheckCandidate, "check-container-web", f.CandidateHealthy, release=release)
    assert failed.value.failure.code == "crashed_at_start"
    assert not any("started again" in line for line in deployment.journal.lines)


async def test_a_database_that_went_down_with_the_machine_is_healthy(there: Site, engine: MortalEngine) -> None:
    """The engine starts it again, or the check does."""
    deployment, spec = there.deployment(), there.database()
    await deployment.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec)
    await reboot(there, engine)
    await deployment.do(c.ConnectDatabase, "connect-database-main", f.DatabaseConnected, database=spec)
    await deployment.do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=spec)


async def die_and_forget(there: Site, engine: MortalEngine, name: str) -> None:
    """The engine dies before it writes down that it started a container, and comes back."""
    found = await there.target.engine.inspect(name)
    assert found is not None
    engine.kill()
    engine.forget_start(found.id)
    await start(there, engine)
    again = await there.target.engine.inspect(name)
    assert again is not None
    assert again.status == "created"


async def test_a_candidate_whose_start_the_engine_forgot(there: Site, engine: MortalEngine) -> None:
    """What runs without the engine's knowing is ended, and the candidate started."""
    release, deployment = there.release("one"), there.deployment()
    await deployment.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=release)
    await die_and_forget(there, engine, there.target.workloads.container(there.place, release))
    await deploy(deployment, release)
    assert await there.get() == (200, "one")


async def forget_at_work(there: Site, engine: MortalEngine, deployment: Deployment, job: JobSpec) -> None:
    """The engine forgets the start of a job that is at work; its worker gave up."""
    running = asyncio.create_task(deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job))

    async def at_work() -> bool:
        return "working" in deployment.journal.lines

    await eventually(at_work)
    (name,) = (await there.target.state.describe(there.place)).containers
    await die_and_forget(there, engine, name)
    with pytest.raises(Unavailable):
        await running


async def test_a_job_whose_start_the_engine_forgot(there: Site, engine: MortalEngine) -> None:
    """It has run, and is undone before it runs again."""
    deployment, job = there.deployment(), there.job("echo working; sleep 4; echo done", undo="echo taken back")
    await forget_at_work(there, engine, deployment, job)
    await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    assert [line for line in deployment.journal.lines if not line.startswith("the job")][-3:] == ["taken back", "working", "done"]


@pytest.mark.parametrize("end", ["undone", "retired", "swept"])
async def test_what_runs_without_the_engines_knowing_ends_with_its_container(there: Site, engine: MortalEngine, end: str) -> None:
    """Whoever removes it: its undo, the retirement of a later deployment, or reconcile."""
    deployment, release = there.deployment(), there.release("one")
    await deployment.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=release)
    name = there.target.workloads.container(there.place, release)
    found = await there.target.engine.inspect(name)
    assert found is not None
    await die_and_forget(there, engine, name)
    assert unknown_run(found.id)
    if end == "undone":
        await deployment.undo(c.DeployContainer, "deploy-container-web", f.ContainerRemoved, release=release)
    elif end == "retired":
        await deploy(there.deployment(), there.release("two"))
    else:
        await there.deployment().do(c.AssignDomain, "assign-domain-web", f.DomainAssigned, release=release)
        await there.target.reconcile.once()
    assert await there.target.engine.inspect(name) is None
    await asyncio.to_thread(until, lambda: not unknown_run(found.id), within=5)


async def test_the_sweep_leaves_a_job_that_runs_without_the_engines_knowing(there: Site, engine: MortalEngine) -> None:
    """Its own undo has to see that it ran."""
    before, deployment, job = await there.described(), there.deployment(), there.job("echo working; sleep 60", undo="echo taken back")
    await forget_at_work(there, engine, deployment, job)
    await there.target.sweep.begin(Claim(there.target.fence, there.place, deployment.epoch + 1, deployment.id, STEP))
    await deployment.undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=there.release("one"))
    undone = await deployment.undo(c.RunJob, STEP, f.JobUndone, job=job)
    assert undone.ran_undo
    assert await there.described() == before


async def interrupted(there: Site, engine: MortalEngine, job: JobSpec) -> Deployment:
    """A deployment whose job was at work when the machine went down; its worker gave up."""
    deployment = there.deployment()
    running = asyncio.create_task(deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job))

    async def at_work() -> bool:
        return "working" in deployment.journal.lines

    await eventually(at_work)
    await reboot(there, engine)
    with pytest.raises(Unavailable):
        await running
    return deployment


async def test_a_job_that_may_run_again_does(there: Site, engine: MortalEngine) -> None:
    """One that went down with the machine did not succeed, whatever exit code the engine makes up."""
    job = there.job("echo working; sleep 4; echo done")
    deployment = await interrupted(there, engine, job.model_copy(update={"repeatable": True}))
    ran = await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job.model_copy(update={"repeatable": True}))
    assert ran.log_tail == ("working", "done")


async def test_a_job_with_an_undo_is_undone_and_runs_again(there: Site, engine: MortalEngine) -> None:
    """Its own way back comes first."""
    job = there.job("echo working; sleep 4; echo done", undo="echo taken back")
    deployment = await interrupted(there, engine, job)
    await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job)
    said = [line for line in deployment.journal.lines if not line.startswith("the job")]
    assert said[-3:] == ["taken back", "working", "done"]


async def test_a_job_that_must_not_run_again_fails(there: Site, engine: MortalEngine) -> None:
    """It says that it may have done half of its work; it was started once."""
    deployment = await interrupted(there, engine, there.job("echo working; sleep 4; echo done"))
    for _ in range(2):
        with pytest.raises(StepFailure) as failed:
            await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=there.job("echo working; sleep 4; echo done"))
        assert failed.value.failure.code == "job_interrupted"
    assert failed.value.failure.log_tail == ("working",)
