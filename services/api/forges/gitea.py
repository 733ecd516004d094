"""The repository webhooks of Gitea and Forgejo: https://docs.gitea.com/api/ (repoCreateHook)."""

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
        "type": "gitea",
        "active": True,
        "events": ["push", "delete", "pull_request", "pull_request_sync"],
        "config": {"url": url, "content_type": "json", "secret": secret},
    }


FORM = HookForm(
    path="hooks",
    all="limit=50",
    read=lambda body: [_plain(hook) for hook in _HOOKS.validate_json(body)],
    made=lambda body: _plain(_Hook.model_validate_json(body)),
    body=_body,
    change="PATCH",
    # A push that says that nothing moved.
    test=Test("hooks/{id}/tests", {}),
)
