"""GitLab: a commit status, and a deployment (REST API v4).

https://docs.gitlab.com/api/commits/#set-commit-pipeline-status and https://docs.gitlab.com/api/deployments/.
"""

from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.notifier.providers.forges.api import Body, ForgeApi, Unwilling
from services.notifier.providers.forges.port import Ledger, Report
from services.notifier.providers.forges.states import Stage
from shared.guarded_http import Response

_COMMIT = {
    Stage.QUEUED: "pending",
    Stage.RUNNING: "running",
    Stage.SUCCEEDED: "success",
    Stage.ROLLED_BACK: "failed",
    Stage.FAILED: "failed",
    Stage.STUCK: "failed",
    Stage.INACTIVE: "canceled",
}
_DEPLOYMENT = {
    Stage.RUNNING: "running",
    Stage.SUCCEEDED: "success",
    Stage.ROLLED_BACK: "failed",
    Stage.FAILED: "failed",
    Stage.STUCK: "failed",
    Stage.INACTIVE: "canceled",
}
"""A deployment that waits has no state there: it is made once it runs. One that ended without running is not shown."""


class _Found(BaseModel):
    id: int
    sha: str = ""
    status: str = ""


_FOUND = TypeAdapter(list[_Found])


class GitLab:
    """Shows a deployment in the commit's external stage and on the environment's page.

    GitLab's own states go forward only, and a state that is there already is refused: both leave what it shows as it is.
    """

    def __init__(self, api: ForgeApi, ledger: Ledger) -> None:
        self._api = api
        self._ledger = ledger

    async def show(self, report: Report) -> int | None:
        """First the commit's status, then the deployment's."""
        status = await self._set_commit_status(report) if report.of_commit else None
        wanted = _DEPLOYMENT.get(report.stage)
        return (await self._set_deployment(report, wanted) if wanted else None) or status

    async def _set_commit_status(self, report: Report) -> int | None:
        ref = _ref(report)[0]
        body: Body = {
            "state": _COMMIT[report.stage],
            "name": report.context,
            "description": report.description,
            **({"ref": ref} if ref else {}),
            **({"target_url": report.page} if report.page else {}),
        }
        path = f"statuses/{report.deployment.commit}"
        response = await self._api.call("POST", report.repository, path, body, good_too=_no_way_there)
        return None if _no_way_there(response) else response.status

    async def _set_deployment(self, report: Report, wanted: str) -> int | None:
        forge_id = await self._known(report)
        if forge_id is None:
            if report.stage not in (Stage.RUNNING, Stage.SUCCEEDED):
                return None
            return await self._make(report, wanted)
        if wanted == "running":
            return None
        path = f"deployments/{quote(forge_id, safe='')}"
        try:
            return (await self._api.call("PUT", report.repository, path, {"status": wanted})).status
        except Unwilling as unwilling:
            if unwilling.verdict.status == 400:
                there = await self._api.call("GET", report.repository, path)
                if _Found.model_validate_json(there.body).status == wanted:
                    return there.status
            raise

    async def _known(self, report: Report) -> str | None:
        """Ours: remembered, or made before a crash. One environment has one deployment at work, and its name there is Slipway's."""
        known = await self._ledger.forge_id(report.channel, report.deployment.id)
        if known is not None:
            return known
        query = f"environment={quote(report.deployment.place, safe='')}&status=running&order_by=id&sort=desc&per_page=20"
        response = await self._api.call("GET", report.repository, f"deployments?{query}")
        found = next((str(each.id) for each in _FOUND.validate_json(response.body) if each.sha == report.deployment.commit), None)
        if found is not None:
            await self._ledger.keep_forge_id(report.channel, report.deployment.id, found)
        return found

    async def _make(self, report: Report, status: str) -> int:
        ref, tag = _ref(report)
        body: Body = {
            "environment": report.deployment.place,
            "sha": report.deployment.commit,
            "ref": ref or report.deployment.commit,
            "tag": tag,
            "status": status,
        }
        response = await self._api.call("POST", report.repository, "deployments", body)
        made = str(_Found.model_validate_json(response.body).id)
        await self._ledger.keep_forge_id(report.channel, report.deployment.id, made)
        return response.status


def _ref(report: Report) -> tuple[str, bool]:
    """The short name, and whether it is a tag's."""
    ref = report.deployment.ref
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/"), ref.startswith("refs/tags/")


def _no_way_there(response: Response) -> bool:
    """The status is there already, or further on: `Cannot transition status via :run from :running`."""
    return response.status == 400 and b"Cannot transition status" in response.body
