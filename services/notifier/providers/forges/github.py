"""GitHub: a commit status, and a deployment with its statuses (REST API, version 2022-11-28).

States: https://docs.github.com/rest/deployments/statuses and https://docs.github.com/rest/commits/statuses.
"""

from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from services.notifier.providers.forges.api import Body, ForgeApi
from services.notifier.providers.forges.port import Ledger, Report
from services.notifier.providers.forges.states import Stage

_DEPLOYMENT = {
    Stage.QUEUED: "queued",
    Stage.RUNNING: "in_progress",
    Stage.SUCCEEDED: "success",
    Stage.ROLLED_BACK: "failure",
    Stage.FAILED: "failure",
    Stage.STUCK: "error",
    Stage.INACTIVE: "inactive",
}
_COMMIT = {
    Stage.QUEUED: "pending",
    Stage.RUNNING: "pending",
    Stage.SUCCEEDED: "success",
    Stage.ROLLED_BACK: "failure",
    Stage.FAILED: "failure",
    Stage.STUCK: "error",
    Stage.INACTIVE: "error",
}


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


class GitHub:
    """Shows a deployment on the commit and among the repository's deployments.

    A deployment is made there once: a crash between making and remembering it is noticed by its payload.
    """

    def __init__(self, api: ForgeApi, ledger: Ledger) -> None:
        self._api = api
        self._ledger = ledger

    async def show(self, report: Report) -> int:
        """First the commit's status, then the deployment's: both or, until the next attempt, the first."""
        if report.of_commit:
            await self._set_commit_status(report)
        return await self._set_deployment_status(report, await self._forge_id(report))

    async def _set_commit_status(self, report: Report) -> None:
        body: Body = {
            "state": _COMMIT[report.stage],
            "description": report.description,
            "context": report.context,
            **({"target_url": report.page} if report.page else {}),
        }
        await self._api.call("POST", report.repository, f"statuses/{report.deployment.commit}", body)

    async def _set_deployment_status(self, report: Report, forge_id: str) -> int:
        body: Body = {
            "state": _DEPLOYMENT[report.stage],
            "description": report.description,
            **({"environment_url": report.environment_url} if report.environment_url else {}),
            **({"log_url": report.page} if report.page else {}),
        }
        response = await self._api.call("POST", report.repository, f"deployments/{quote(forge_id, safe='')}/statuses", body)
        return response.status

    async def _forge_id(self, report: Report) -> str:
        known = await self._ledger.forge_id(report.channel, report.deployment.id)
        if known is None:
            known = await self._find(report) or await self._make(report)
            await self._ledger.keep_forge_id(report.channel, report.deployment.id, known)
        return known

    async def _find(self, report: Report) -> str | None:
        deployment = report.deployment
        query = f"sha={deployment.commit}&environment={quote(deployment.place, safe='')}&per_page=100"
        response = await self._api.call("GET", report.repository, f"deployments?{query}")
        found = _FOUND.validate_json(response.body)
        return next((str(each.id) for each in found if each.ours == deployment.id), None)

    async def _make(self, report: Report) -> str:
        deployment = report.deployment
        body: Body = {
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
        response = await self._api.call("POST", report.repository, "deployments", body)
        return str(_Found.model_validate_json(response.body).id)
