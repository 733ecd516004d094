"""Open change requests as each forge's API lists them: what its deliveries hold; GitLab names things otherwise there."""

from typing import Any

from tests.unit.webhooks.forge_cases import delivery

LIST_PATHS = {
    "github": "/repos/acme/todo/pulls",
    "gitlab": "/projects/acme%2Fweb%2Ftodo/merge_requests",
    "bitbucket": "/repositories/acme/todo/pullrequests",
    "bitbucket-data-center": "/projects/web/repos/todo/pull-requests",
    "gitea": "/repos/acme/todo/pulls",
}
OWN = {"github": "request-retargeted"}
"""A delivery of one that comes from the repository itself, where it is not `request-opened`."""
_WITHIN = {"bitbucket": "pullrequest", "bitbucket-data-center": "pullRequest"}
_NUMBERS = {"gitlab": "iid", "bitbucket": "id", "bitbucket-data-center": "id"}


def item(forge: str, number: int = 7, *, fork: bool = False, **more: object) -> dict[str, Any]:
    """A change request, with other values where they are given."""
    payload = delivery(forge, "request-of-fork-opened" if fork else OWN.get(forge, "request-opened"))[1]
    found = payload["object_attributes"] if forge == "gitlab" else payload[_WITHIN.get(forge, "pull_request")]
    return (_of_gitlab(found, payload["user"]) if forge == "gitlab" else found) | {_NUMBERS.get(forge, "number"): number} | more


def page(forge: str, *items: dict[str, Any]) -> object:
    """One page of the list."""
    return {"values": list(items)} if forge in _WITHIN else list(items)


def _of_gitlab(said: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """https://docs.gitlab.com/api/merge_requests/#list-project-merge-requests."""
    same = ("id", "iid", "title", "state", "source_branch", "target_branch", "source_project_id", "target_project_id", "draft")
    author = {name: user[name] for name in ("id", "name", "username")}
    return {name: said[name] for name in same} | {"sha": said["last_commit"]["id"], "author": author, "web_url": said["url"]}
