"""GitHub: a commit status, and a deployment with its statuses (REST API, version 2022-11-28)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from services.notifier.channels import Channel
from services.notifier.deployments import Deployment
from services.notifier.guarded_http import Failed, GuardedClient, Response
from services.notifier.providers.contract import Notification, Outcome, Verdict
from services.notifier.providers.forge_states import FORGE_STATES, ForgeState, description_of, environment_url
from services.notifier.providers.retry_after import LONGEST, retry_after
from shared.outbound import Refused

API = "https://api.github.com"
API_VERSION = "2022-11-28"
SECONDARY_LIMIT = timedelta(minutes=1)
"""The least wait after a secondary rate limit that does not say how long (GitHub's best practices for the REST API)."""


class Ledger(Protocol):
    """Which deployment of the forge is ours, kept over restarts."""

    async def forge_id(self, channel: Channel, deployment: str) -> str | None:
        """The forge's id, once it was made."""
        ...

    async def keep_forge_id(self, channel: Channel, deployment: str, forge_id: str) -> None:
        """Remembers it."""
        ...


class _Unwilling(Exception):
    """GitHub did not do it; ends the delivery with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.error)
        self.verdict = verdict


class _Payload(BaseModel):
    slipway: str = ""


class _Found(BaseModel):
    id: int
    payload: JsonValue = None

    @property
    def ours(self) -> str:
        """The id of our deployment that it was made for."""
        try:
            return _Payload.model_validate(self.payload).slipway
        except ValidationError:
            return ""


_FOUND = TypeAdapter(list[_Found])


class GitHubProvider:
    """Shows a deployment on the commit and among the repository's deployments.

    A deployment is made there once: a crash between making and remembering it is noticed by its payload.
    """

    def __init__(self, client: GuardedClient, ledger: Ledger, public_url: str = "") -> None:
        self._client = client
        self._ledger = ledger
        self._public_url = public_url.rstrip("/")

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """First the commit's status, then the deployment's: both or, until the next attempt, the first."""
        deployment, state = notification.deployment, FORGE_STATES.get(notification.event.name)
        if deployment is None:
            return Verdict(Outcome.RETRY, error="What the deployment is about is not known yet.")
        elsewhere = deployment.repository.casefold() != channel.repository.casefold()
        if state is None or not deployment.commit or elsewhere:
            return Verdict(Outcome.SKIPPED)
        try:
            return await self._tell(notification, channel, deployment, state)
        except _Unwilling as unwilling:
            return unwilling.verdict
        except Refused as error:
            return Verdict(Outcome.HOPELESS, error=str(error))
        except Failed as error:
            return Verdict(Outcome.RETRY, error=str(error))

    async def _tell(self, notification: Notification, channel: Channel, deployment: Deployment, state: ForgeState) -> Verdict:
        await self._set_commit_status(notification, channel, deployment, state)
        forge_id = await self._forge_id(channel, deployment)
        return Verdict(Outcome.DELIVERED, await self._set_deployment_status(notification, channel, forge_id, state))

    async def _set_commit_status(self, notification: Notification, channel: Channel, deployment: Deployment, state: ForgeState) -> None:
        body: dict[str, JsonValue] = {
            "state": state.commit,
            "description": description_of(state, notification.event),
            "context": f"slipway/{deployment.place}",
            **self._link("target_url", deployment.id),
        }
        await self._call("POST", channel, f"statuses/{deployment.commit}", body)

    async def _set_deployment_status(self, notification: Notification, channel: Channel, forge_id: str, state: ForgeState) -> int:
        url = environment_url(notification.event)
        body: dict[str, JsonValue] = {
            "state": state.deployment,
            "description": description_of(state, notification.event),
            **({"environment_url": url} if url else {}),
            **self._link("log_url", notification.event.deployment or ""),
        }
        response = await self._call("POST", channel, f"deployments/{quote(forge_id, safe='')}/statuses", body)
        return response.status

    async def _forge_id(self, channel: Channel, deployment: Deployment) -> str:
        known = await self._ledger.forge_id(channel, deployment.id)
        if known is None:
            known = await self._find(channel, deployment) or await self._make(channel, deployment)
            await self._ledger.keep_forge_id(channel, deployment.id, known)
        return known

    async def _find(self, channel: Channel, deployment: Deployment) -> str | None:
        query = f"sha={deployment.commit}&environment={quote(deployment.place, safe='')}&per_page=100"
        response = await self._call("GET", channel, f"deployments?{query}")
        found = _FOUND.validate_json(response.body)
        return next((str(each.id) for each in found if each.ours == deployment.id), None)

    async def _make(self, channel: Channel, deployment: Deployment) -> str:
        body: dict[str, JsonValue] = {
            "ref": deployment.commit,
            "task": "deploy",
            "auto_merge": False,
            "required_contexts": [],
            "payload": {"slipway": deployment.id},
            "environment": deployment.place,
            "description": f"Slipway deployment {deployment.id}",
            "transient_environment": deployment.environment_kind == "preview",
            "production_environment": deployment.environment_kind == "production",
        }
        response = await self._call("POST", channel, "deployments", body)
        return str(_Found.model_validate_json(response.body).id)

    def _link(self, field: str, deployment: str) -> dict[str, JsonValue]:
        return {field: f"{self._public_url}/deployments/{deployment}"} if self._public_url else {}

    async def _call(self, method: str, channel: Channel, path: str, body: dict[str, JsonValue] | None = None) -> Response:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {channel.secret}",
            "Content-Type": "application/json",
            "User-Agent": "Slipway",
            "X-GitHub-Api-Version": API_VERSION,
        }
        url = f"{(channel.api_url or API).rstrip('/')}/repos/{_repository(channel)}/{path}"
        response = await self._client.send(method, url, headers, json.dumps(body).encode() if body is not None else None)
        if not 200 <= response.status < 300 or response.status == 202:
            raise _Unwilling(refusal(response, datetime.now(UTC)))
        return response


def _repository(channel: Channel) -> str:
    """Owner and name: `github.com/acme/todo` → `acme/todo`."""
    parts = channel.repository.strip("/").split("/")[-2:]
    return "/".join(quote(part, safe="") for part in parts)


def refusal(response: Response, now: datetime) -> Verdict:
    """What an answer other than "done" means: wait for a rate limit, try again, or give up."""
    status, headers = response.status, response.headers
    error = f"GitHub answered {status}: {response.text()}"
    if status in (403, 429):
        wait = retry_after(headers.get("retry-after"), now)
        if wait is None and headers.get("x-ratelimit-remaining") == "0":
            wait = _until_reset(headers.get("x-ratelimit-reset", ""), now)
        if wait is None and (status == 429 or b"secondary rate limit" in response.body.lower()):
            wait = SECONDARY_LIMIT
        return Verdict(Outcome.RETRY, status, error, wait, hold=wait is not None)
    if status in (202, 409, 410, 422):
        # 202 and 409: GitHub would rather merge first; 410: gone; 422: no such commit, or a value that it does not take.
        return Verdict(Outcome.HOPELESS, status, error)
    return Verdict(Outcome.RETRY, status, error, retry_after(headers.get("retry-after"), now))


def _until_reset(reset: str, now: datetime) -> timedelta | None:
    if not (reset.isascii() and reset.isdigit()):
        return None
    seconds = int(reset[:12]) - now.timestamp() + 1
    return min(max(timedelta(seconds=seconds), timedelta(seconds=1)), LONGEST)
