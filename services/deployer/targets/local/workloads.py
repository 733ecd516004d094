"""Containers of services: a candidate beside the live release, started, stopped, connected, brought back.

A container is found by its name, which is made from the release's key: same inputs, same container.
"""

import asyncio
from dataclasses import dataclass

from services.deployer.fence import Claim
from services.deployer.ports import Deployed
from services.deployer.targets.local import links
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.containers import LIVE, Endpoint, Limits, configuration, user_of, volumes_of
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_errors import Json
from services.deployer.targets.local.exits import ended_by_itself
from services.deployer.targets.local.images import ensure_image
from services.deployer.targets.local.naming import Role, container_name, grace_of, labels, place_labels
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import Placed, Records, ServiceRecord
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.starting import try_start
from shared.contracts.manifest import Strategy
from shared.contracts.places import Place
from shared.contracts.releases import Release, Sealed
from shared.work import StepFailure

_AGAIN_S = 0.05
"""Between two looks at a container that runs again, or that another is just removing."""


def starts_in_switch(release: Release, record: ServiceRecord) -> bool:
    """Workers, and `recreate` where something runs already, are made in their step and started in the switch."""
    replaces = record.live is not None and not record.runs(release.key)
    return release.port is None or (release.strategy is Strategy.RECREATE and replaces)


def _may_start(found: Container, claim: Claim) -> bool:
    """What this step started and has ended has crashed: that must show. What another left stopped is started."""
    return not found.running and (found.status == "created" or found.label("step") != claim.step_key)


@dataclass(frozen=True)
class Workloads:
    """The containers of one instance."""

    engine: Engine
    networks: Networks
    records: Records
    key: TargetKey
    instance: str

    def container(self, place: Place, release: Release) -> str:
        """The name of a release's container."""
        return container_name(self.instance, place, release.service, release.key)

    async def deploy(self, claim: Claim, release: Release, secrets: Sealed) -> Deployed:
        """The candidate beside the live release. Idempotent; a live release with the same key is left as it is."""
        image = await ensure_image(self.engine, release.container.image, release.service)
        name = self.container(claim.place, release)
        async with claim.lease():
            record = self.records.service(claim.place, release.service)
            found = await self.engine.inspect(name)
            if found is not None and record.runs(release.key):
                if not found.running:
                    await self._start(found.name, release)
                return Deployed(name, already_running=True)
            if found is not None and found.label("step") != claim.step_key and name not in record.containers():
                await self.engine.remove(name)
                found = None
            if found is None:
                await self._create(claim, release, secrets, image, alias=await self._has_name(claim.place, release, record))
            if not starts_in_switch(release, record) and (found is None or _may_start(found, claim)):
                await self._start(name, release)
        return Deployed(name, already_running=False)

    async def remove(self, claim: Claim, release: Release) -> bool:
        """Takes away what the deployment made of a service; never the container that is live."""
        async with claim.lease():
            record = self.records.service(claim.place, release.service)
            live = record.live.container if record.live else ""
            removed = False
            for container in await self._of(claim.place, release.service):
                if container.label("deployment") == claim.deployment and container.name != live:
                    removed |= await self.engine.remove(container.name)
        return removed

    async def connect(self, claim: Claim, release: Release) -> str:
        """Sees that the container is on the environment's network with an address of its own; the address."""
        name = self.container(claim.place, release)
        network = self.networks.name(claim.place)
        async with claim.lease():
            subnet = await self.networks.ensure(claim.place)
            found = await self._there(name, release)
            attached = found.networks.get(network)
            if attached is not None and attached.address:
                return attached.address
            address = await self.networks.free_address(claim.place, subnet, claim.step_key)
            record = self.records.service(claim.place, release.service)
            named = await self._has_name(claim.place, release, record)
            await self.engine.networks.connect(network, name, address, (release.service,) if named else ())
            return address

    async def placed(self, claim: Claim, release: Release, secrets: Sealed) -> Placed:
        """Where a release's container is. Raises `StepFailure` where it is gone, or on no network."""
        found = await self._there(self.container(claim.place, release), release)
        address = self._address(claim.place, found)
        if not address:
            raise StepFailure(
                "stopped_from_outside", f"the container of {release.service} was taken off its network by somebody: deploy again"
            )
        record = self.records.service(claim.place, release.service)
        if record.live is not None and record.live.container == found.name:
            return record.live.model_copy(update={"address": address, "secrets": secrets})
        return Placed(
            release=release,
            secrets=secrets,
            container=found.name,
            address=address,
            deployment=claim.deployment,
        )

    async def promote(self, claim: Claim, release: Release) -> None:
        """Prepares a running candidate to be live: it is found by its service's name."""
        name = self.container(claim.place, release)
        async with claim.lease():
            found = await self._there(name, release)
            if not found.running:
                raise StepFailure(
                    "stopped_from_outside", f"the container of {release.service} was stopped after its check: deploy again", may_pass=False
                )
            await self._answer_to_name(claim.place, found, release.service)

    async def keep(self, claim: Claim, release: Release) -> None:
        """What is live comes back after a restart of the engine. After the switch: the engine takes as long for it as for a start."""
        name = self.container(claim.place, release)
        async with claim.lease():
            if (await self._there(name, release)).restart_policy != "unless-stopped":
                await self.engine.update(name, LIVE)

    async def start(self, claim: Claim, release: Release) -> None:
        """Starts a container that was made or stopped; it comes back after a restart of the engine."""
        name = self.container(claim.place, release)
        async with claim.lease():
            found = await self._there(name, release)
            if found.restart_policy != "unless-stopped":
                await self.engine.update(name, LIVE)
            if not found.running:
                await self._start(name, release)

    async def revive(self, claim: Claim, release: Release) -> bool:
        """Starts a container again that went down with its engine or with the machine; True where it did.

        What ended by itself stays as it is: that must show.
        """
        name = self.container(claim.place, release)
        async with claim.lease():
            found = await self.engine.inspect(name)
            if found is None or found.running or await ended_by_itself(self.engine, found):
                return False
            await self._start(name, release)
        return True

    async def bring_back(self, claim: Claim, release: Release, secrets: Sealed) -> bool:
        """The release runs again as it was made, made anew where its container is gone; True where something had to be done."""
        name = self.container(claim.place, release)
        found = await self.engine.inspect(name)
        if found is not None and found.label("key") != release.key:  # somebody made another of that name
            async with claim.lease():
                await self.engine.remove(name)
            found = None
        if found is None:
            image = await ensure_image(self.engine, release.container.image, release.service)
            async with claim.lease():
                await self._create(claim, release, secrets, image, alias=True)
        changed = found is not None and await self._as_made(claim, release, found)
        await self.start(claim, release)
        return found is None or not found.running or changed

    async def _as_made(self, claim: Claim, release: Release, found: Container) -> bool:
        """A container that is there has its network, limits and restart policy again; True where something had to be done."""
        resources = release.container.resources
        limits = Limits(resources.memory_bytes, resources.cpu)
        async with claim.lease():
            changed = not limits.hold_of(found)
            if changed:
                await self.engine.update(found.name, limits.engine())
            if not found.is_on(await self.engine.networks.find(self.networks.name(claim.place))):
                await self.networks.put_back(claim.place, found, release.service)
                changed = True
        return changed or found.restart_policy != "unless-stopped"

    async def stop(self, claim: Claim, container: str, grace_s: float) -> None:
        """Asks a container to stop, waits for its grace period, then ends it. It stays, stopped."""
        async with claim.lease():
            found = await self.engine.inspect(container)
            signalled = found is not None and await self.engine.signal(container, found.stop_signal)  # also between two restarts
        if not signalled:
            return
        try:
            async with asyncio.timeout(grace_s):
                await self.engine.wait(container)
        except TimeoutError:
            async with claim.lease():
                await self.engine.signal(container, "SIGKILL")
            await self.engine.wait(container)

    async def give_up(self, claim: Claim, release: Release) -> None:
        """Stops a release. One that its own deployment did not come to make live goes: a worker that died may have asked for its start,
        which would land when the former release runs again.
        """
        name = self.container(claim.place, release)
        while True:
            await self.stop(claim, name, release.stop_grace_s)
            async with claim.lease():
                record, found = self.records.service(claim.place, release.service), await self.engine.inspect(name)
                is_live = record.live is not None and record.live.container == name
                others = found is not None and found.label("deployment") != claim.deployment
                if is_live or others or await self.engine.remove_idle(name):
                    return
            await asyncio.sleep(_AGAIN_S)

    async def retire(self, claim: Claim, service: str, keep: str | None) -> int:
        """Stops and removes every container of a service but the one to keep; how many."""
        leftovers = [container for container in await self._of(claim.place, service) if container.name != keep]
        await asyncio.gather(*(self._retire_one(claim, container) for container in leftovers))
        return len(leftovers)

    async def _retire_one(self, claim: Claim, container: Container) -> None:
        await self.stop(claim, container.name, grace_of(container.labels))
        async with claim.lease():
            await self.engine.remove(container.name)

    async def _of(self, place: Place, service: str) -> list[Container]:
        wanted = place_labels(self.instance, place) | {"slipway.service": service, "slipway.role": Role.APPLICATION}
        return await self.engine.find(wanted)

    async def _there(self, name: str, release: Release) -> Container:
        found = await self.engine.inspect(name)
        if found is None:
            raise StepFailure("stopped_from_outside", f"the container {name} of {release.service} was removed by somebody: deploy again")
        return found

    async def _create(self, claim: Claim, release: Release, secrets: Sealed, image: Json, *, alias: bool) -> None:
        subnet = await self.networks.ensure(claim.place)
        name = self.container(claim.place, release)
        address = await self.networks.free_address(claim.place, subnet, claim.step_key)
        spec = release.container
        made_by = labels(
            self.instance, claim, Role.APPLICATION, release.service, release=release.id, key=release.key, grace=f"{release.stop_grace_s:g}"
        )
        port = {"PORT": str(release.port)} if release.port is not None else {}
        environment = port | links.variables(self.key, claim.place, spec.databases) | spec.variables | self.key.open(secrets)
        made = configuration(
            image=spec.image,
            image_volumes=volumes_of(image),
            labels=made_by,
            environment=environment,
            user=user_of(spec.user, image),
            limits=Limits(spec.resources.memory_bytes, spec.resources.cpu),
            endpoint=Endpoint(self.networks.name(claim.place), address, (release.service,) if alias else ()),
            command=release.command,
            read_only=spec.read_only,
            writable=spec.writable,
            hosts=await links.hosts(self.networks, self.records, claim.place, spec.databases),
        )
        await self.engine.create(name, made)

    async def _start(self, name: str, release: Release) -> None:
        words = await try_start(self.engine, name)
        if words is not None:
            raise StepFailure("start_failed", f"the container of {release.service} could not be started: {words[-300:]}", details=words)

    async def _has_name(self, place: Place, release: Release, record: ServiceRecord) -> bool:
        """Whether a container has its service's name from its first moment on; else it gets it in the switch, which takes longer.

        It would be found before its check, beside the live release: not where there is none, where it is started in the switch, or where
        no other service is there to look it up. One that comes later looks for what is live by then.
        """
        alone = record.live is None or record.runs(release.key) or starts_in_switch(release, record)
        return alone or not await self._is_called(place, release.service)

    async def _is_called(self, place: Place, service: str) -> bool:
        """Whether any other container of the environment could look the service up by its name."""
        others = await self.engine.summaries(place_labels(self.instance, place) | {"slipway.role": Role.APPLICATION})
        return any(summary["Labels"].get("slipway.service") != service for summary in others)

    async def _answer_to_name(self, place: Place, found: Container, service: str) -> None:
        """The engine gives a name only when a container is put on a network: off and on again, with the same address."""
        attached = found.networks.get(self.networks.name(place))
        if attached is None or service not in attached.aliases:
            await self.networks.put_back(place, found, service)

    def _address(self, place: Place, found: Container) -> str:
        attached = found.networks.get(self.networks.name(place))
        return attached.address if attached else ""
