"""GitHub's repository webhooks: https://docs.github.com/rest/repos/webhooks."""

from pydantic import BaseModel, TypeAdapter

from services.api.forges.port import Body, Hook, HookForm, Test


class _Config(BaseModel):
    url: str = ""


class _Hook(BaseModel):
    id: int
    config: _Config = _Config()


_HOOKS = TypeAdapter(list[_Hook])


def _plain(hook: _Hook) -> Hook:
    return Hook(str(hook.id), hook.config.url)


def _body(url: str, secret: str) -> Body:
    return {
        "name": "web",
        "active": True,
        "events": ["push", "pull_request"],
        "config": {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"},
    }


FORM = HookForm(
    path="hooks",
    all="per_page=100",
    read=lambda body: [_plain(hook) for hook in _HOOKS.validate_json(body)],
    made=lambda body: _plain(_Hook.model_validate_json(body)),
    body=_body,
    change="PATCH",
    test=Test("hooks/{id}/pings", {}),
    pings=True,
)
