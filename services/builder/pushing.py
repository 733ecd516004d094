"""PushImage: the image is where the target pulls from, tagged with its key, and retained."""

from dataclasses import dataclass

from services.builder.engine import Engine, EngineRefused
from services.builder.exporting import export, is_away
from services.builder.ledger import Ledger
from services.builder.registry import ImageName, Registry, Stored, tag_of
from shared.contracts.commands import PushImage
from shared.contracts.facts import ImagePushed
from shared.work import StepFailure, Work


@dataclass(frozen=True)
class ImagePushing:
    """Idempotent by the key: a ready image is resolved once for each key."""

    registry: Registry
    engine: Engine
    ledger: Ledger

    async def __call__(self, command: PushImage, work: Work) -> ImagePushed:
        """What was built is confirmed and tagged; a ready image is copied into our registry. Raises `StepFailure`."""
        place = command.place
        repository = self.registry.repository(place.organization, place.project, command.service)
        name = ImageName.of(command.image)
        ours = (name.registry, name.repository) == (self.registry.host, repository) and name.digest is not None
        stored = await self._confirm(name, command.key) if ours else await self._copy(name, repository, command.key, work)
        self.ledger.touch(repository, tag_of(command.key))
        return ImagePushed(service=command.service, image=str(ImageName(self.registry.host, repository, digest=stored.digest)))

    async def _confirm(self, name: ImageName, key: str) -> Stored:
        tagged = await self.registry.find(name.repository, tag_of(key))
        if tagged is not None and tagged.digest == name.digest:
            return tagged
        stored = await self.registry.find(name.repository, name.digest or "")
        if stored is None:
            message = f"{name} is not in the registry any more; deploy the commit again to have it built again"
            raise StepFailure("image_missing", message)
        await self.registry.tag(name.repository, stored, tag_of(key))
        return stored

    async def _copy(self, name: ImageName, repository: str, key: str, work: Work) -> Stored:
        """By way of the engine, which has the credentials and what it pulled before."""
        copy = ImageName(self.registry.host, repository, tag_of(key))
        if found := await self.registry.find(repository, tag_of(key)):
            return found
        work.log(f"pulling {name}")
        try:
            await self.engine.pull(name)
        except EngineRefused as error:
            raise _not_pulled(name, str(error)) from None
        await self.engine.tag(str(name), copy)
        return await export(self.engine, self.registry, copy)


def _not_pulled(name: ImageName, reason: str) -> StepFailure:
    if is_away(reason):
        message = f"{name} cannot be pulled: its registry ({name.registry}) cannot be reached from here"
        return StepFailure("image_unreachable", message, details=reason, may_pass=True)
    message = f"{name} cannot be pulled: there is no such image, or its registry ({name.registry}) wants to know who asks"
    return StepFailure("image_missing", message, details=reason)
