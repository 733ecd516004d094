"""Asking for something and waiting until it was taken or refused."""

import time

from cli.answers import Json
from cli.failures import Failed
from cli.patience import patience
from cli.session import session

TAKEN_WITHIN_S = 60.0


def request(path: str, body: Json | None = None, *, method: str = "POST") -> str:
    """Sends a wish and answers its id."""
    api = session().api
    accepted = api.post(path, body) if method == "POST" else api.delete(path)
    return str(accepted["request"])


def settled(wish: str) -> str:
    """Waits until a wish was taken up, and answers the deployment that it led to or is about. Raises where it is refused."""
    api, deadline = session().api, time.monotonic() + TAKEN_WITHIN_S
    with patience("waiting for the coordinator"):
        while True:
            page = api.get_on(f"/requests/{wish}", "What you asked for is kept, and will be done. Look later: slipway deployments")
            if page["state"] == "refused":
                raise Failed(f"Refused: {page['refusal']}", code="refused")
            if page["state"] in ("taken", "done"):
                return str(page["deployment"])
            if time.monotonic() > deadline:
                where = f"The wish {wish} is kept, but nobody has taken it for {TAKEN_WITHIN_S:.0f} s."
                raise Failed(where, "It will be done. See what is wrong: slipway status", code="not-taken")
            time.sleep(0.1)


def run(wish: str, *, detach: bool) -> None:
    """Follows the deployment that a wish leads to; fails unless it succeeds."""
    from cli.live import follow

    deployment = settled(wish)
    if detach:
        session().show({"deployment": deployment}, deployment)
        session().note(f"Follow it: slipway logs -f {deployment}")
        return
    finish(follow(deployment))


def finish(page: Json) -> None:
    """Shows how a deployment ended; status 1 unless it succeeded."""
    current, found = session(), page["deployment"]
    if current.as_json:
        current.show(page)
    judge(found["id"], found["state"], f"{found['project']}/{found['environment']}")


def judge(deployment: str, state: str, called: str) -> None:
    """Fails unless that is the state of a success."""
    if state != "succeeded":
        raise Failed(f"{called}: {state.replace('_', ' ')}", f"Why: slipway explain {deployment}")
