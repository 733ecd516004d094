"""Bitbucket Cloud's repository webhooks: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories/. It sends no tests."""

from pydantic import BaseModel

from services.api.forges.port import Body, Hook, HookForm

_EVENTS = ["repo:push", "pullrequest:created", "pullrequest:updated", "pullrequest:fulfilled", "pullrequest:rejected"]


class _Hook(BaseModel):
    uuid: str
    url: str = ""


class _Page(BaseModel):
    values: list[_Hook] = []


def _plain(hook: _Hook) -> Hook:
    return Hook(hook.uuid, hook.url)


def _body(url: str, secret: str) -> Body:
    return {"description": "Slipway", "url": url, "active": True, "secret": secret, "events": [*_EVENTS]}


FORM = HookForm(
    path="hooks",
    all="pagelen=100",
    read=lambda body: [_plain(hook) for hook in _Page.model_validate_json(body).values],
    made=lambda body: _plain(_Hook.model_validate_json(body)),
    body=_body,
    change="PUT",
    test=None,
)
