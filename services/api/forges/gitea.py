"""The repository webhooks of Gitea and Forgejo: https://docs.gitea.com/api/ (repoCreateHook)."""

from services.api.forges import github_form
from services.api.forges.port import Body, HookForm, Test


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
    read=github_form.read,
    made=github_form.made,
    body=_body,
    change="PATCH",
    # A push that says that nothing moved. Without a commit there is none: 404, "repository is empty".
    test=Test("hooks/{id}/tests", {}, maybe=True),
    kind="type",
)
