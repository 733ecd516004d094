"""GitHub's `push` delivery (docs.github.com, "Webhook events and payloads" and "Validating webhook deliveries")."""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

LOGIN = "ada-lovelace"
ACCOUNT = 1815
HOOK = 1852


@dataclass(frozen=True)
class Moved:
    """A branch that moved in the forge's repository."""

    ref: str
    before: str
    after: str
    title: str
    time: str


def body_of(moved: Moved, full_name: str, web_url: str) -> bytes:
    """The document, as the bytes that are signed and sent."""
    owner, name = full_name.split("/")
    author = {"name": "Ada", "email": "ada@example.com", "username": LOGIN}
    commit = {
        "id": moved.after, "message": moved.title, "timestamp": moved.time, "distinct": True,
        "url": f"{web_url}/commit/{moved.after}", "author": author, "committer": author,
    }  # fmt: skip
    document = {
        "ref": moved.ref, "before": moved.before, "after": moved.after, "base_ref": None,
        "created": set(moved.before) == {"0"}, "deleted": False, "forced": False,
        "compare": f"{web_url}/compare/{moved.before[:12]}...{moved.after[:12]}",
        "commits": [commit], "head_commit": commit,
        "repository": {
            "id": 1843, "name": name, "full_name": full_name, "private": True, "owner": {"name": owner, "login": owner},
            "html_url": web_url, "clone_url": f"{web_url}.git", "default_branch": "main",
        },
        "pusher": {"name": LOGIN, "email": "ada@example.com"},
        "sender": {"login": LOGIN, "id": ACCOUNT, "type": "User"},
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False).encode()


def headers_of(body: bytes, secret: str) -> dict[str, str]:
    """As GitHub sets them; the signature is over the raw bytes."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    number = secrets.token_hex(16)
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/demo",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}",
        "X-GitHub-Hook-ID": str(HOOK),
        "X-Hub-Signature-256": f"sha256={signature}",
    }
