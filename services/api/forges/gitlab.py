"""GitLab's project webhooks: https://docs.gitlab.com/api/project_webhooks/."""

from pydantic import BaseModel, TypeAdapter

from services.api.forges.port import Body, Hook, HookForm, Test


class _Hook(BaseModel):
    id: int
    url: str = ""


_HOOKS = TypeAdapter(list[_Hook])


def _plain(hook: _Hook) -> Hook:
    return Hook(str(hook.id), hook.url)


def _body(url: str, secret: str) -> Body:
    return {
        "url": url,
        "token": secret,
        "push_events": True,
        "tag_push_events": True,
        "merge_requests_events": True,
        "enable_ssl_verification": True,
    }


FORM = HookForm(
    path="hooks",
    all="per_page=100",
    read=lambda body: [_plain(hook) for hook in _HOOKS.validate_json(body)],
    made=lambda body: _plain(_Hook.model_validate_json(body)),
    body=_body,
    change="PUT",
    # The sample of a push would be deployed: it names the head of the default branch. Nothing follows from this one (GitLab 17).
    test=Test("hooks/{id}/test/resource_access_token_events", {}, maybe=True),
)
