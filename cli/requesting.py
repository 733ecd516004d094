"""Asking for something and waiting until it was taken or refused."""

import time

from cli.answers import Json
from cli.failures import Failed
from cli.patience import patience
from cli.session import session

TAKEN_WITHIN_S = 60.0


def request(path: str, body: Json | None = None, *, method: str = "POST") -> Json:
    """Sends a wish and answers its page."""
    api = session().api
    accepted = api.post(path, body) if method == "POST" else api.delete(path)
    page: Json = api.get(f"/requests/{accepted['request']}")
    return page


def settled(page: Json) -> str:
    """Waits until a wish was taken up, and answers the deployment that it led to or is about. Raises where it is refused."""
    api, deadline = session().api, time.monotonic() + TAKEN_WITHIN_S
    with patience("waiting for the coordinator"):
        while True:
            if page["state"] == "refused":
                raise Failed(f"Refused: {page['refusal']}", code="refused")
            if page["state"] in ("taken", "done"):
                return str(page["deployment"])
            if time.monotonic() > deadline:
                where = f"The wish {page['id']} is kept, but nobody has taken it for {TAKEN_WITHIN_S:.0f} s."
                raise Failed(where, "It will be done. See what is wrong: slipway status", code="not-taken")
            time.sleep(0.1)
            page = api.get(f"/requests/{page['id']}")


def run(page: Json, *, detach: bool) -> None:
    """Follows the deployment that a wish leads to; fails unless it succeeds."""
    from cli.live import follow

    deployment = settled(page)
    if detach:
        session().show({"deployment": deployment}, f"{deployment}\n[dim]Follow it: slipway logs -f {deployment}[/]")
        return
    finish(follow(deployment))


def finish(page: Json) -> None:
    """Shows how a deployment ended; status 1 unless it succeeded."""
    current, found = session(), page["deployment"]
    if current.as_json:
        current.show(page)
    if found["state"] != "succeeded":
        remedy = f"Why: slipway explain {found['id']}"
        raise Failed(f"{found['project']}/{found['environment']}: {found['state'].replace('_', ' ')}", remedy)
