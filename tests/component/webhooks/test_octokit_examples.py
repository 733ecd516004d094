"""GitHub's own examples of all events, through the real intake: none gives a server error, every one is recorded."""

from collections import Counter
from typing import Any

from shared.contracts.changes import ChangePushed, ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, RequestChange
from tests.component.webhooks.conftest import Webhooks
from tests.component.webhooks.deliveries import deliver
from tests.component.webhooks.octokit import examples

REQUESTS: dict[str, type[RequestChange]] = {
    "opened": ChangeRequestOpened,
    "reopened": ChangeRequestOpened,
    "synchronize": ChangeRequestUpdated,
    "closed": ChangeRequestClosed,
}
_MADE = (
    "SELECT type, ref, commit, message::json ->> 'number' AS number, message::json ->> 'merged' AS merged FROM changes WHERE delivery = $1"
)


def expected(event: str, payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Type, ref or number, and commit of what is to become of it, by GitHub's documentation."""
    action, request = payload.get("action"), payload.get("pull_request", {})
    if event == "push" and not payload["deleted"]:
        return [(ChangePushed.type_name(), payload["ref"], payload["head_commit"]["id"])]
    if event == "pull_request" and action == "edited" and "base" in payload["changes"]:
        return [(ChangeRequestUpdated.type_name(), str(request["number"]), request["head"]["sha"])]
    if event == "pull_request" and action in REQUESTS:
        return [(REQUESTS[action].type_name(), str(request["number"]), request["head"]["sha"])]
    return []


async def test_every_example_is_recorded_and_those_that_are_read_become_changes(webhooks: Webhooks) -> None:
    """Pushes and change requests become what their payload says; all else is recorded with a reason."""
    made: Counter[str] = Counter()
    for number, (event, payload) in enumerate(examples()):
        await webhooks.pool.execute("DELETE FROM heads")  # several are of the same ref and commit
        answer = await deliver(webhooks.http, payload, event=event, delivery=f"d-{number}")
        where = (event, payload.get("action"), answer.status_code, answer.text)
        assert answer.status_code in (200, 202), where
        stored = await webhooks.pool.fetchrow("SELECT id, event, reason FROM deliveries WHERE key = $1", f"d-{number}")
        assert stored is not None, where
        assert (stored["id"], stored["event"]) == (answer.json()["delivery"], event)
        changes = await webhooks.pool.fetch(_MADE, stored["id"])
        assert [(row["type"], row["number"] or row["ref"], row["commit"]) for row in changes] == expected(event, payload), where
        assert changes or stored["reason"], where
        made.update(row["type"] for row in changes)
    assert len({event for event, _ in examples()}) > 50
    assert made.keys() == {ChangePushed.type_name(), *(change.type_name() for change in REQUESTS.values())}
