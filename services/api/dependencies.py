"""What the routes work with; made once, in app.py or a test."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.adapters.auth import Auth
from services.api.adapters.consumers import Consumers
from services.api.adapters.deliveries import Deliveries
from services.api.adapters.targets import Targets
from services.api.forges.deploy_keys import DeployKeys
from services.api.forges.github_app import AppTokens
from services.api.forges.hooks import ForgeHooks
from services.api.live import Wakeups
from services.api.safe import Safe
from services.api.settings import Settings
from shared.guarded_http import GuardedClient
from shared.outbox import Outbox
from shared.postgres import Pool


@dataclass(frozen=True)
class Parts:
    """The pool, the outbox, the safe, auth, who waits for news, the targets, the deliveries of webhooks, the client that calls
    forges, hooks and deploy keys there, the tokens of GitHub Apps, and the consumers of subscribers."""

    settings: Settings
    pool: Pool
    outbox: Outbox
    safe: Safe
    auth: Auth
    wakeups: Wakeups
    targets: Targets
    deliveries: Deliveries
    forges: GuardedClient
    hooks: ForgeHooks
    deploy_keys: DeployKeys
    apps: AppTokens
    consumers: Consumers


def parts_of(request: Request) -> Parts:
    """The parts of the application that serves the request."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


Using = Annotated[Parts, Depends(parts_of)]
