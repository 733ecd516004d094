"""Bitbucket Data Center: a build of the commit, and a deployment (from 7.16 on).

https://developer.atlassian.com/server/bitbucket/rest/ (Builds and Deployments).
"""

from services.notifier.providers.forges.api import Body, ForgeApi
from services.notifier.providers.forges.port import Report
from services.notifier.providers.forges.states import Stage

_BUILD = {
    Stage.QUEUED: "INPROGRESS",
    Stage.RUNNING: "INPROGRESS",
    Stage.SUCCEEDED: "SUCCESSFUL",
    Stage.ROLLED_BACK: "FAILED",
    Stage.FAILED: "FAILED",
    Stage.STUCK: "FAILED",
    Stage.INACTIVE: "CANCELLED",
}
_DEPLOYMENT = {
    Stage.QUEUED: "PENDING",
    Stage.RUNNING: "IN_PROGRESS",
    Stage.SUCCEEDED: "SUCCESSFUL",
    Stage.ROLLED_BACK: "ROLLED_BACK",
    Stage.FAILED: "FAILED",
    Stage.STUCK: "FAILED",
    Stage.INACTIVE: "CANCELLED",
}
_TYPES = {"production": "PRODUCTION", "staging": "STAGING"}


class BitbucketDataCenter:
    """Shows a deployment on the commit. What has the same key and number takes the former's place."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api

    async def show(self, report: Report) -> int:
        """First the commit's build, then the deployment."""
        commit = f"commits/{report.deployment.commit}"
        if report.of_commit:
            await self._api.call("POST", report.repository, f"{commit}/builds", _build(report))
        return (await self._api.call("POST", report.repository, f"{commit}/deployments", _deployment(report))).status


def _build(report: Report) -> Body:
    ref = report.deployment.ref
    return {
        "key": report.context,
        "state": _BUILD[report.stage],
        "name": report.context,
        "description": report.description,
        "url": report.link,
        **({"ref": ref} if ref else {}),
    }


def _deployment(report: Report) -> Body:
    deployment = report.deployment
    kind = _TYPES.get(deployment.environment_kind)
    return {
        "key": report.context,
        "deploymentSequenceNumber": int(deployment.created_at.timestamp() * 1000),
        "displayName": f"Slipway deployment {deployment.id}",
        "description": report.description,
        "state": _DEPLOYMENT[report.stage],
        "url": report.link,
        "environment": {
            "key": deployment.place,
            "displayName": deployment.place,
            **({"type": kind} if kind else {}),
            **({"url": report.environment_url} if report.environment_url else {}),
        },
    }
