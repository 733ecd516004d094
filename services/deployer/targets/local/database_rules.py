"""What may become of a database, and what has no way back. Pure."""

from services.deployer.targets.local.exits import size
from shared.contracts.releases import DatabaseSpec
from shared.work import StepFailure


def major_of(version: str) -> str:
    """`18.1` is 18."""
    return version.partition(".")[0]


def refuse_no_way_back(is_now: DatabaseSpec, wanted: DatabaseSpec) -> None:
    """Raises `StepFailure` where data could be lost, or could not be read after a roll-back."""
    name = wanted.name
    if wanted.engine != is_now.engine:
        raise StepFailure(
            "database_engine_changed", f"the database {name} is {is_now.engine} and cannot become {wanted.engine}: add another database"
        )
    if major_of(wanted.version) != major_of(is_now.version):
        raise StepFailure(
            "database_major_changed",
            f"the database {name} runs version {is_now.version}, and a change to {wanted.version} in place has no way back:"
            f" keep {major_of(is_now.version)}, or add a database with the other version and move the data",
        )
    if wanted.storage_bytes < is_now.storage_bytes:
        raise StepFailure(
            "database_shrunk",
            f"the database {name} has {size(is_now.storage_bytes)} and cannot shrink to {size(wanted.storage_bytes)}: ask for as much as it has",
        )
