"""The comment of a change request: what its previews came to, kept up to date in place."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.notifier.channels import Channel
from services.notifier.comments.runs import previews_of
from services.notifier.comments.text import text_of
from services.notifier.deployments import Deployment
from services.notifier.providers.contract import Notification, Outcome, Verdict
from services.notifier.providers.forges.api import judged
from services.notifier.providers.forges.comment_forms import FORMS
from services.notifier.providers.forges.comments import Comments
from services.notifier.providers.forges.tokens import Tokens
from shared.contracts.events import Event
from shared.proto.catalogue_pb2 import COMMENTS
from shared.sealing import Vault

LIMIT_S = 45.0
"""For all requests of an attempt; less than a notification's lease."""


class Ledger(Protocol):
    """What a comment is made of, and which one on the forge is ours, kept over restarts."""

    async def events(self, deployment: Deployment) -> Sequence[Event]:
        """Those of all previews of the deployment's change request."""
        ...

    async def forge_id(self, deployment: Deployment) -> str | None:
        """The forge's id of the comment, once it was made."""
        ...

    async def keep_forge_id(self, deployment: Deployment, forge_id: str) -> None:
        """Remembers it."""
        ...


class CommentProvider:
    """Writes it anew from what is known now. Called for one change request by one caller at a time (the lane sees to it)."""

    def __init__(self, comments: Comments, ledger: Ledger, tokens: Tokens, vault: Vault, public_url: str = "") -> None:
        self._comments = comments
        self._ledger = ledger
        self._tokens = tokens
        self._vault = vault
        self._public_url = public_url.rstrip("/")

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """Delivered once the change request has one comment that says how its previews are."""
        deployment = notification.deployment
        if deployment is None or channel.forge not in FORMS or deployment.repository.casefold() != channel.repository.casefold():
            return Verdict(Outcome.SKIPPED)
        try:
            async with asyncio.timeout(LIMIT_S):
                return await judged(self._put(deployment, channel))
        except TimeoutError:
            return Verdict(Outcome.RETRY, error=f"The comment could not be written within {LIMIT_S:.0f} s.")

    async def _put(self, deployment: Deployment, channel: Channel) -> int | None:
        previews = previews_of(await self._ledger.events(deployment))
        if not previews:
            return None
        repository = await self._tokens.repository(channel, COMMENTS)
        thread = self._comments.of(repository, deployment.change_request, self._mark(deployment))
        known = await self._ledger.forge_id(deployment)
        written = await thread.put(text_of(previews, self._public_url), known)
        if written.id != known:
            await self._ledger.keep_forge_id(deployment, written.id)
        return written.status

    def _mark(self, deployment: Deployment) -> str:
        """What tells our comment from all others: nobody else can write it before us, nor can another installation have it."""
        return self._vault.tag(f"comment {deployment.organization} {deployment.repository} {deployment.change_request}")
