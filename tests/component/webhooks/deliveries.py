"""Signed GitHub deliveries."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx

EXAMPLES = Path(__file__).parents[2] / "data" / "github"
SECRET = "geheim"
A, B, C = "a" * 40, "b" * 40, "c" * 40


def example(name: str) -> dict[str, Any]:
    """A payload that GitHub sent."""
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return found


def push(commit: str, *, before: str = "0" * 40, ref: str = "refs/heads/main", **more: object) -> dict[str, Any]:
    """A push made from a real one."""
    payload = example("push-branch-created")
    payload |= {"ref": ref, "before": before, "after": commit}
    payload["head_commit"] |= {"id": commit}
    return payload | more


def signed(body: bytes, secret: str = SECRET) -> str:
    """The value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def deliver(
    http: httpx.AsyncClient,
    payload: object,
    *,
    event: str = "push",
    delivery: str = "d-1",
    secret: str = SECRET,
    to: str = "gh",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Sends a payload (or bytes as they are) as GitHub does."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Hook-ID": "1",
        "X-Hub-Signature-256": signed(body, secret),
        "Content-Type": "application/json",
    }
    raw = {name.encode(): value.encode("latin-1") for name, value in (given | (headers or {})).items()}
    return await http.post(f"/hooks/{to}", content=body, headers=raw)
