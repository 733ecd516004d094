"""Statuses on a forge: what an event says of a deployment, shown where its commit came from."""

from collections.abc import Mapping
from typing import Protocol

from services.notifier.channels import Channel
from services.notifier.deployments import Deployment
from services.notifier.providers.contract import Notification, Outcome, Verdict
from services.notifier.providers.forges.api import judged
from services.notifier.providers.forges.port import Forge, Report
from services.notifier.providers.forges.states import FORGE_STATES, ForgeState, description_of, environment_url
from services.notifier.providers.forges.tokens import Tokens
from shared.proto.catalogue_pb2 import STATUSES


class Siblings(Protocol):
    """What else is known of a deployment's commit."""

    async def overtaken(self, deployment: Deployment) -> bool:
        """Whether a newer deployment brings the same commit to the same environment."""
        ...


class ForgeProvider:
    """Tells the forge that a channel is for."""

    def __init__(self, forges: Mapping[str, Forge], siblings: Siblings, tokens: Tokens, public_url: str = "") -> None:
        self._forges = forges
        self._tokens = tokens
        self._siblings = siblings
        self._public_url = public_url.rstrip("/")

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """Delivered once the forge shows the event, or something newer of the same deployment."""
        forge, deployment = self._forges.get(channel.forge), notification.deployment
        if forge is None:
            return Verdict(Outcome.HOPELESS, error=f"There is no forge of the kind {channel.forge!r}: {', '.join(self._forges)}.")
        if deployment is None:
            return Verdict(Outcome.RETRY, error="What the deployment is about is not known yet.")
        return await judged(self._show(forge, notification, channel, deployment))

    async def _show(self, forge: Forge, notification: Notification, channel: Channel, deployment: Deployment) -> int | None:
        state = FORGE_STATES.get(notification.event.name)
        elsewhere = deployment.repository.casefold() != channel.repository.casefold()
        if state is None or not deployment.commit or elsewhere:
            return None
        return await forge.show(await self._report(notification, channel, deployment, state))

    async def _report(self, notification: Notification, channel: Channel, deployment: Deployment, state: ForgeState) -> Report:
        return Report(
            channel=channel,
            repository=await self._tokens.repository(channel, STATUSES),
            deployment=deployment,
            stage=state.stage,
            description=description_of(state, notification.event),
            environment_url=environment_url(notification.event),
            page=f"{self._public_url}/deployments/{deployment.id}" if self._public_url else "",
            of_commit=not await self._siblings.overtaken(deployment),
        )
