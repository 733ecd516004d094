"""What forges send, and what Slipway makes of each: the table that docs/forges.md shows (`python -m tests.unit.webhooks.forge_cases`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.webhooks.domain import Arrival, ChangeRequest, Origin, Push
from services.webhooks.forges import FORGES
from services.webhooks.forges.port import Reading
from services.webhooks.push_rules import cleaned, judge
from services.webhooks.request_rules import why_ignored
from shared.contracts.changes import FoundBy

DATA = Path(__file__).parents[2] / "data"
PAGE = Path(__file__).parents[3] / "docs" / "forges.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
TITLES = {
    "github": "GitHub",
    "gitlab": "GitLab",
    "bitbucket": "Bitbucket Cloud",
    "bitbucket-data-center": "Bitbucket Data Center",
    "gitea": "Gitea, Forgejo",
}


@dataclass(frozen=True)
class Case:
    """One delivery of a forge: its file, and what is read in it (`said`)."""

    forge: str
    file: str
    said: str


_OTHERS = ("gitlab", "bitbucket", "bitbucket-data-center", "gitea")
C1, C2, C3 = "3f1c6a0", "9ad5e7c", "e2b7f84"
_FROM, _FORK = "feature/due → main", "feature/due of the fork {} → main"
_GITHUB = "6113728"


def _everywhere(file: str, said: str, *forges: str) -> list[Case]:
    return [Case(forge, file, said) for forge in forges or ("github", *_OTHERS)]


CASES: Mapping[str, list[Case]] = {
    "push to a branch": [
        *_everywhere("push", f"refs/heads/main {C1} → {C2}"),
        Case("gitea", "push-from-forgejo", f"refs/heads/main {C1} → {C2}"),
        Case("bitbucket-data-center", "push-of-version-7", f"refs/heads/main {C1} → {C2}"),
    ],
    "forced push": _everywhere("push-forced", f"refs/heads/main {C2} → {C1}"),
    "several refs in one push": [
        Case("bitbucket", "push-of-several", f"refs/heads/main {C1} → {C2}; refs/tags/v2.0 → {C2}; refs/heads/old deleted"),
        Case("bitbucket-data-center", "push-of-several", f"refs/heads/main {C1} → {C2}; refs/heads/next → {C3}; refs/heads/old deleted"),
    ],
    "branch created": [
        Case("github", "push-branch-created", f"refs/heads/master → {_GITHUB}"),
        *_everywhere("branch-created", f"refs/heads/release/2.0 → {C2}", *_OTHERS),
    ],
    "branch deleted": _everywhere("branch-deleted", "refs/heads/release/2.0 deleted"),
    "tag created, annotated too": [
        Case("github", "push-tag-created", f"refs/tags/simple-tag → {_GITHUB}"),
        *_everywhere("tag-annotated", f"refs/tags/v2.0 → {C2}"),
    ],
    "annotated tag, its commit not told": [
        Case("bitbucket-data-center", "tag-of-version-7", "refs/tags/v2.0: the delivery does not say the tag's commit: "
             "the sweep reads it from the repository"),
    ],
    "tag deleted": [
        Case("github", "push-tag-deleted", "refs/tags/simple-tag deleted"),
        Case("github", "delete-tag", "refs/tags/simple-tag deleted"),
        *_everywhere("tag-deleted", "refs/tags/v2.0 deleted"),
    ],
    "a message that asks for nothing": _everywhere("push-skipped", f"refs/heads/main {C1} → {C2}"),
    "change request opened": [
        Case("github", "pull_request-opened", "change request 2 was opened (changes → master)"),
        Case("github", "pull_request-reopened", "change request 2 was opened (changes → master)"),
        *_everywhere("request-opened", f"change request 7 was opened ({_FROM})", *_OTHERS),
        Case("gitlab", "request-reopened", f"change request 7 was opened ({_FROM})"),
    ],
    "change request opened from a fork": [
        Case("github", "request-of-fork-opened", f"change request 7 was opened ({_FORK.format('github.com/bob/todo')})"),
        Case("gitlab", "request-of-fork-opened", f"change request 7 was opened ({_FORK.format('gitlab.example.com/bob/todo')})"),
        Case("bitbucket", "request-of-fork-opened", f"change request 7 was opened ({_FORK.format('bitbucket.org/bob/todo')})"),
        Case("bitbucket-data-center", "request-of-fork-opened", f"change request 7 was opened ({_FORK.format('/~BOB/todo')})"),
        Case("gitea", "request-of-fork-opened", f"change request 7 was opened ({_FORK.format('git.example.com/bob/todo')})"),
        Case("gitea", "request-of-reader-opened", "change request 7 was opened (refs/pull/7/head of the fork git.example.com/acme/todo → main)"),
    ],
    "change request updated (new commits, another target)": [
        Case("github", "pull_request-synchronize", "change request 2 was updated (changes → master)"),
        *_everywhere("request-updated", f"change request 7 was updated ({_FROM})", *_OTHERS),
        *_everywhere("request-retargeted", f"change request 7 was updated ({_FROM})", "github", "gitlab", "bitbucket-data-center", "gitea"),
    ],
    "change request closed": [
        Case("github", "pull_request-closed", "change request 2 was closed (changes → master)"),
        *_everywhere("request-closed", f"change request 7 was closed ({_FROM})", *_OTHERS),
        Case("bitbucket-data-center", "request-deleted", f"change request 7 was closed ({_FROM})"),
        Case("bitbucket", "request-of-lost-fork-closed", f"change request 7 was closed ({_FORK.format('that is gone')})"),
    ],
    "change request merged": _everywhere("request-merged", f"change request 7 was merged ({_FROM})"),
    "change request: title, labels, people": [
        Case("github", "pull_request-labeled", "the change request was labeled: nothing to deploy changes by that"),
        Case("github", "request-retitled", "the change request was edited: nothing to deploy changes by that"),
        Case("gitlab", "request-retitled", "the change request was changed (update): nothing to deploy changes by that"),
        Case("bitbucket-data-center", "request-retitled", "the change request was changed (title or description): nothing to deploy changes by that"),
        Case("gitea", "request-retitled", "the change request was edited: nothing to deploy changes by that"),
    ],
    "ping, or the test of the hook": [
        Case("github", "ping-repository", "pong: Anything added dilutes everything else."),
        Case("github", "ping-organization", "pong: Anything added dilutes everything else."),
        Case("bitbucket-data-center", "ping", "pong: the hook is connected"),
        Case("gitea", "test", f"refs/heads/main {C2} → {C2}"),
    ],
    "the event `create`": [
        Case("github", "create-tag", "the tag was made: the push that comes with it says where it stands"),
        Case("gitea", "create", "the branch was made: the push that comes with it says where it stands"),
    ],
    "anything else": [
        Case(forge, "other-event", f"Slipway does not act on the event {event!r}; pushes and change requests are what it reads")
        for forge, event in (
            ("github", "issues"),
            ("gitlab", "pipeline"),
            ("bitbucket", "repo:commit_status_updated"),
            ("bitbucket-data-center", "repo:comment:added"),
            ("gitea", "issues"),
        )
    ],
}  # fmt: skip


def delivery(forge: str, file: str) -> tuple[dict[str, str], Any]:
    """Headers (as they were sent) and payload."""
    found = json.loads((DATA / forge / f"{file}.json").read_text())
    if "headers" in found:
        return found["headers"], found["body"]
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": file.partition("-")[0],
        "X-GitHub-Delivery": f"delivery-of-{file}",
        "X-GitHub-Hook-ID": "292430182",
    }
    return headers, found


def read(forge: str, file: str) -> Reading:
    """What the forge's adapter makes of it."""
    headers, payload = delivery(forge, file)
    return FORGES[forge]().read({name.lower(): value for name, value in headers.items()}, json.dumps(payload).encode())


def said(reading: Reading) -> str:
    """A reading in one line."""
    if reading.request is not None:
        return str(reading.request)
    return "; ".join(map(_moved, reading.pushes)) or reading.ignored


def _moved(push: Push) -> str:
    if push.obstacle:
        return f"{push.ref}: {push.obstacle}"
    before = f"{push.before[:7]} " if push.before and push.commit else ""
    return f"{push.ref} {before}→ {push.commit[:7]}" if push.commit else f"{push.ref} deleted"


def outcome(reading: Reading, forge: str) -> str:
    """What intake does with it where nothing is known of the refs yet, as the table says it."""
    if reading.request is not None:
        return _outcome_of(reading.request, forge)
    if not reading.pushes:
        return "recorded"
    arrival = Arrival(Origin("main", "todo", "hook", "github", "", ""), FoundBy.DELIVERY, reading.pushes)
    made = {
        "recorded: " + known.reason.split(":")[0] if (known := judge(cleaned(push), None, arrival)) else "**a change**"
        for push in reading.pushes
    }
    return "a change each" if len(reading.pushes) > 1 else next(iter(made))


def _outcome_of(request: ChangeRequest, forge: str) -> str:
    """Bitbucket Cloud says the first digits of a commit: the push that brought it says the rest."""
    if why_ignored(request, Origin("main", "todo", "hook", forge, "", "")):
        return "recorded: it cannot be fetched"
    if request.closes:
        return "**its preview goes**"
    return "**a preview**, once approved" if request.fork else "**a preview**"


def table() -> str:
    """The table of docs/forges.md."""
    lines = ["| what happened | " + " | ".join(TITLES.values()) + " |", "|---" * (len(TITLES) + 1) + "|"]
    for event, cases in CASES.items():
        cells = [
            " or ".join(dict.fromkeys(outcome(read(forge, case.file), forge) for case in cases if case.forge == forge)) for forge in TITLES
        ]
        lines.append(f"| {event} | " + " | ".join(cell or "–" for cell in cells) + " |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the table as it should be now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
