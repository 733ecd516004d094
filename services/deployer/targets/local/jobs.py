"""Jobs: a container under the step's key, which keeps its exit code until the deployment has ended."""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass

from services.deployer.fence import Claim
from services.deployer.ports import Journal, Ran
from services.deployer.targets.local import links
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.containers import Endpoint, Limits, configuration, user_of, volumes_of
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.exits import ended_by_itself, size
from services.deployer.targets.local.images import ensure_image
from services.deployer.targets.local.naming import Role, container_name, labels, place_labels
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.unknown_run import end_unknown_run
from shared.contracts.places import Place
from shared.contracts.releases import JobSpec, Sealed
from shared.work import StepFailure

_AGAIN_S = 0.1
"""A removal that is under way has its time before the next look."""


class _Interrupted(Exception):
    """The job went down with its engine or with the machine: how far it came is not known."""


@dataclass(frozen=True)
class Jobs:
    """The jobs of one instance."""

    engine: Engine
    networks: Networks
    records: Records
    key: TargetKey
    instance: str

    async def run(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal) -> Ran:
        """Runs it once; a command that comes again waits for the same run, or reads how it ended. One that comes after the
        deployment's end, when nothing is left to read, is refused.

        One that went down with the engine or the machine has no end to read: it runs again if its manifest says that it may, or after its
        own `undo` where it has one.
        """
        name = self._name(claim.place, job, claim.step_key)
        while True:
            try:
                await self._ensure(claim, job, secrets, name, job.command, once=True)
                return await self._end(claim, job, name, journal, job.command)
            except _Interrupted:
                await self._make_way(claim, job, secrets, journal, name)

    async def undo(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal) -> bool:
        """Ends the job, then runs its own `undo` if the job had started. Its container is removed only after that, so that an undo
        that comes again knows."""
        name = self._name(claim.place, job, claim.step_key)
        while not await self._has_run(claim, job, name):
            async with claim.lease():
                if await self.engine.remove_idle(name):  # a start of a worker that died may have landed since
                    return await self.engine.remove(self._undoing(claim, job))  # of an undo that got so far and no further
            await asyncio.sleep(_AGAIN_S)
        await self._kill(claim, name)
        if job.undo is not None:
            await self._take_back(claim, job, secrets, journal, job.undo)
        await self._remove(claim, name)
        await self._remove(claim, self._undoing(claim, job))
        return job.undo is not None

    async def _has_run(self, claim: Claim, job: JobSpec, name: str) -> bool:
        """Whether it was ever started; also without the engine's knowing, of which its undo may be the only sign."""
        found = await self.engine.inspect(name)
        if found is None or found.has_started:
            return found is not None
        return end_unknown_run(found.id) or await self.engine.inspect(self._undoing(claim, job)) is not None

    async def _make_way(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal, name: str) -> None:
        """Nothing of an interrupted run keeps the job from running again. Raises `StepFailure` where the job must not run again."""
        if not job.repeatable and job.undo is None:
            raise StepFailure(
                "job_interrupted",
                f"the container engine or the machine went down while the job {job.name} ran, and it may have done half of its work: see to "
                "that, then deploy again. With `repeatable: true` in slipway.yaml it is run again by itself",
                log_tail=await self.engine.tail(name),
            )
        journal.log(f"the job {job.name} went down with the container engine or the machine: it is run again")
        if job.undo is not None and not job.repeatable:
            await self._take_back(claim, job, secrets, journal, job.undo)
        await self._remove(claim, name)

    async def _take_back(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal, command: tuple[str, ...]) -> None:
        """Runs the job's `undo` to a good end; one that failed or was interrupted runs again."""
        name = self._undoing(claim, job)
        while True:
            found = await self.engine.inspect(name)
            if found is not None and not found.running and (found.exit_code != 0 or not await ended_by_itself(self.engine, found)):
                await self._remove(claim, name)
            with suppress(_Interrupted):
                await self._ensure(claim, job, secrets, name, command)
                await self._end(claim, job, name, journal, command)
                return

    async def clear(self, claim: Claim) -> None:
        """Removes the jobs of the deployment; a running one is ended, and none of them starts again."""
        wanted = place_labels(self.instance, claim.place) | {"slipway.role": Role.JOB, "slipway.deployment": claim.deployment}
        for container in await self.engine.find(wanted):
            async with claim.lease():
                self.records.mark_undone(claim.place, container.label("step"))
            await self._remove(claim, container.name)

    async def _ensure(
        self, claim: Claim, job: JobSpec, secrets: Sealed, name: str, command: tuple[str, ...], *, once: bool = False
    ) -> None:
        spec = job.container
        image = await ensure_image(self.engine, spec.image, f"the job {job.name}")
        async with claim.lease():
            found = await self.engine.inspect(name)
            if once and found is None and claim.step_key in self.records.undone(claim.place):
                raise StepFailure("deployment_ended", f"the job {job.name} ran, and its deployment has ended: it is not run again")
            if found is None:
                if once:
                    await self.engine.remove(self._undoing(claim, job))  # it undid the run before: this one is not undone yet
                subnet = await self.networks.ensure(claim.place)
                address = await self.networks.free_address(claim.place, subnet, name)
                # By this an undo command tells what its own deployment did from what an earlier one did.
                deployment = {"SLIPWAY_DEPLOYMENT": claim.deployment}
                environment = deployment | links.variables(self.key, claim.place, spec.databases) | spec.variables | self.key.open(secrets)
                made = configuration(
                    image=spec.image,
                    image_volumes=volumes_of(image),
                    labels=labels(self.instance, claim, Role.JOB, job.name),
                    environment=environment,
                    user=user_of(spec.user, image),
                    limits=Limits(spec.resources.memory_bytes, spec.resources.cpu),
                    endpoint=Endpoint(self.networks.name(claim.place), address),
                    command=command,
                    read_only=spec.read_only,
                    writable=spec.writable,
                    hosts=await links.hosts(self.networks, self.records, claim.place, spec.databases),
                )
                await self.engine.create(name, made)
            elif found.status == "created" and end_unknown_run(found.id):
                raise _Interrupted
            if found is None or found.status == "created":
                await self._start(name, job, command)

    async def _start(self, name: str, job: JobSpec, command: tuple[str, ...]) -> None:
        words = await self.engine.try_start(name)
        if words is not None:
            raise StepFailure(
                "start_failed", f"the job {job.name} (`{' '.join(command)}`) could not be started: {words[-300:]}", details=words
            )

    async def _end(self, claim: Claim, job: JobSpec, name: str, journal: Journal, command: tuple[str, ...]) -> Ran:
        """Waits for the end, its lines streamed; raises `StepFailure` where it is a bad one, `_Interrupted` where it is not known."""
        since = time.monotonic()
        try:
            async with asyncio.timeout(job.timeout_s):
                async with aclosing(self.engine.follow(name)) as lines:
                    async for line in lines:
                        journal.log(line)
                await self.engine.wait(name)
        except TimeoutError:
            await self._kill(claim, name)
            tail = await self.engine.tail(name)
            raise StepFailure(
                "job_timed_out",
                f"the job {job.name} did not end within {job.timeout_s:g} s and was killed: raise its `timeout` in slipway.yaml, or let it do less",
                log_tail=tail,
            ) from None
        ended = await self.engine.inspect(name)
        if ended is not None and not await ended_by_itself(self.engine, ended):
            raise _Interrupted
        tail = await self.engine.tail(name)
        self._judge(job, ended, tail, command)
        return Ran(round(time.monotonic() - since, 3), tail)

    def _judge(self, job: JobSpec, ended: Container | None, tail: tuple[str, ...], command: tuple[str, ...]) -> None:
        if ended is None:
            raise StepFailure("stopped_from_outside", f"the container of the job {job.name} was removed by somebody: deploy again")
        if ended.out_of_memory:
            limit = size(ended.memory_bytes)
            raise StepFailure("out_of_memory", f"the job {job.name} used more memory than its limit of {limit}: raise it", log_tail=tail)
        if ended.exit_code != 0:
            raise StepFailure(
                "job_failed",
                f"the job {job.name} (`{' '.join(command)}`) ended with exit code {ended.exit_code}",
                log_tail=tail,
            )

    async def _kill(self, claim: Claim, name: str) -> None:
        async with claim.lease():
            await self.engine.signal(name, "SIGKILL")
        await self.engine.wait(name)

    async def _remove(self, claim: Claim, name: str) -> None:
        async with claim.lease():
            await self.engine.remove(name)

    def _undoing(self, claim: Claim, job: JobSpec) -> str:
        """The container of the job's own undo."""
        return self._name(claim.place, job, f"{claim.step_key}.undo")

    def _name(self, place: Place, job: JobSpec, distinct: str) -> str:
        return container_name(self.instance, place, job.name, distinct)
