"""The builder's handlers by their commands, put together from what they need."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from services.builder.admission import Admission, measure
from services.builder.building import ImageBuilding
from services.builder.checkout import Checkouts
from services.builder.docker_cli import DockerCli
from services.builder.engine import About, Engine
from services.builder.folders import Folders
from services.builder.git import Gits
from services.builder.inspection import Inspection
from services.builder.ledger import Ledger
from services.builder.memory import BuildMemory, Group, share_of_machine
from services.builder.mirrors import Mirrors
from services.builder.pushing import ImagePushing
from services.builder.registry import Registry
from services.builder.settings import Settings
from services.builder.sources import Sources, TargetKey
from shared.contracts.commands import BuildImage, Command, InspectSource, PushImage
from shared.work import AnyHandler


@dataclass(frozen=True)
class Outside:
    """What the builder works with and does not own."""

    registry: Registry
    engine: Engine
    client: DockerCli
    about: About


def ledger_of(settings: Settings) -> Ledger:
    """When images were last wanted."""
    return Ledger(settings.state / "images")


def folders_of(settings: Settings) -> Folders:
    """Where builds lie while they run."""
    return Folders(settings.instance, settings.state / "work")


def mirrors_of(settings: Settings) -> Mirrors:
    """Where repositories are cached."""
    return Mirrors(settings.state / "mirrors", Gits(settings, folders_of(settings)), settings.source_limit_bytes)


def handlers(settings: Settings, outside: Outside) -> Mapping[type[Command], AnyHandler]:
    """Every command that the builder knows, and who makes it so."""
    folders, ledger = folders_of(settings), ledger_of(settings)
    mirrors = mirrors_of(settings)
    sources = Sources(TargetKey(settings.home / "keys" / "target.key"), settings.git_protocols)
    free = partial(measure, (settings.home, outside.about.root))
    most = settings.build_memory_bytes or share_of_machine()
    building = ImageBuilding(
        settings,
        sources,
        Checkouts(mirrors, settings.source_limit_bytes, settings.git_protocols),
        outside.registry,
        outside.engine,
        outside.client,
        Admission(free, settings.free_disk_bytes, settings.free_memory_bytes, settings.admission_wait_s),
        BuildMemory(Group.of(outside.about, settings.build_cgroup), most),
        folders,
        ledger,
    )
    return {
        InspectSource: Inspection(mirrors, sources),
        BuildImage: building,
        PushImage: ImagePushing(outside.registry, outside.engine, ledger),
    }
