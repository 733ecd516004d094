"""GitHub's repository webhooks: https://docs.github.com/rest/repos/webhooks."""

from services.api.forges import github_form
from services.api.forges.port import Body, HookForm, Test


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
    read=github_form.read,
    made=github_form.made,
    body=_body,
    change="PATCH",
    test=Test("hooks/{id}/pings", {}),
    pings=True,
    kind="name",
)
