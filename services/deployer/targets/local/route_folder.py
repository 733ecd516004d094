"""The load balancer's folder, kept as the records say."""

from dataclasses import dataclass
from pathlib import Path

from services.deployer.files import remove_durably
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import ServiceRecord
from services.deployer.targets.local.route_files import PREFIX, RouteFiles
from services.deployer.targets.local.secrets import TargetKey
from shared.traefik import file_path, place


@dataclass(frozen=True)
class RouteFolder:
    """Writes and removes services' files. The caller holds the lease of the service's environment."""

    folder: Path
    files: RouteFiles
    key: TargetKey

    def apply(self, record: ServiceRecord) -> None:
        """Writes the service's file, or removes it where there is nothing to say. One that is right is not touched."""
        name = PREFIX + route_name(record.place, record.service)
        wanted = self.files.render(record, self.token(record))
        path = file_path(self.folder, name)
        if wanted is None:
            remove_durably(path)
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted.render():
            place(self.folder, name, wanted)

    def token(self, record: ServiceRecord) -> str:
        """What the private route asks for: it differs with each deployment."""
        deployment = record.candidate.deployment if record.candidate else ""
        return self.key.private_route(record.place, record.service, deployment)
