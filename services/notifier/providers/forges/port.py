"""What a forge is told, and what telling it needs. One file a forge beside this one; `forges.forges` is the table of them."""

from dataclasses import dataclass
from typing import Protocol

from services.notifier.channels import Channel
from services.notifier.deployments import Deployment
from services.notifier.providers.forges.states import Stage
from shared.forge_api import ForgeRepository


@dataclass(frozen=True)
class Report:
    """What one event says of a deployment. Addresses are empty where there are none."""

    channel: Channel
    repository: ForgeRepository
    deployment: Deployment
    stage: Stage
    description: str
    environment_url: str
    page: str
    """The deployment's page in the console."""
    of_commit: bool
    """It says how the commit is: no newer deployment brings the same commit to the same environment."""

    @property
    def context(self) -> str:
        """What tells this environment's status from others on the commit."""
        return f"slipway/{self.deployment.place}"

    @property
    def link(self) -> str:
        """Where people read more, for forges that want an address in any case."""
        return self.page or self.environment_url or f"https://{self.repository.identity}"


class Forge(Protocol):
    """One kind of forge. A report that is told again changes nothing there."""

    async def show(self, report: Report) -> int | None:
        """Shows it, and answers the status of the last answer; None where it has nothing to show.

        Raises `api.Unwilling` with the verdict, `shared.outbound.Refused` or `shared.guarded_http.Failed`.
        """
        ...


class Ledger(Protocol):
    """Which deployment of the forge is ours, kept over restarts."""

    async def forge_id(self, channel: Channel, deployment: str) -> str | None:
        """The forge's id, once it was made."""
        ...

    async def keep_forge_id(self, channel: Channel, deployment: str, forge_id: str) -> None:
        """Remembers it."""
        ...
