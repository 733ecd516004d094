"""Bitbucket Data Center's repository webhooks: https://developer.atlassian.com/server/bitbucket/rest/ (Repository, webhooks)."""

from pydantic import BaseModel

from services.api.forges.port import Body, Hook, HookForm, Test

_EVENTS = ["repo:refs_changed", "pr:opened", "pr:from_ref_updated", "pr:modified", "pr:merged", "pr:declined", "pr:deleted"]


class _Hook(BaseModel):
    id: int
    url: str = ""


class _Page(BaseModel):
    values: list[_Hook] = []


def _plain(hook: _Hook) -> Hook:
    return Hook(str(hook.id), hook.url)


def _body(url: str, secret: str) -> Body:
    return {
        "name": "Slipway",
        "url": url,
        "active": True,
        "events": [*_EVENTS],
        "configuration": {"secret": secret},
        "sslVerificationRequired": True,
    }


FORM = HookForm(
    path="webhooks",
    all="limit=1000",
    read=lambda body: [_plain(hook) for hook in _Page.model_validate_json(body).values],
    made=lambda body: _plain(_Hook.model_validate_json(body)),
    body=_body,
    change="PUT",
    test=Test("webhooks/test?webhookId={id}&sslVerificationRequired=true&url={url}", {}, maybe=True),
)
