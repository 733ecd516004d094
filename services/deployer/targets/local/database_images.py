"""Which image runs which major version of PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.deployer.targets.local.database_rules import major_of
from services.deployer.targets.local.engine import Engine
from shared.contracts.releases import DatabaseSpec
from shared.work import StepFailure


@dataclass(frozen=True)
class DatabaseImages:
    """The table of the settings; where it is empty, the public registry's images."""

    engine: Engine
    table: Mapping[str, str]

    async def ensure(self, spec: DatabaseSpec) -> str:
        """The image of the asked version, on the engine. Raises `StepFailure` (`database_version_unknown`) and says which there are."""
        major = major_of(spec.version)
        reference = self.table.get(major) if self.table else f"postgres:{major}"
        if spec.engine == "postgresql" and major.isdigit() and reference is not None:
            if await self.engine.image(reference) is not None:
                return reference
            words = await self.engine.pull(reference)
            if await self.engine.image(reference) is not None:
                return reference
        else:
            words = None
        known = ", ".join(sorted(self.table, key=lambda version: (len(version), version), reverse=True)) or "those of the image postgres"
        raise StepFailure(
            "database_version_unknown",
            f"the database {spec.name} asks for {spec.engine} {spec.version}, which cannot be had here: there are {known}",
            details=words or "",
        )
