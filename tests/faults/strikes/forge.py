"""A forge outside of the machine: repositories that git serves, and signed deliveries in GitHub's form."""

import hashlib
import hmac
import json
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.faults.strikes.machine import Machine

PORT = 9418
PUSHER = "ada"


@dataclass(frozen=True)
class Hook:
    """One repository's webhook, as the forge keeps it."""

    machine: Machine
    name: str
    secret: str

    @property
    def repository(self) -> str:
        """Its full name on the forge."""
        return f"faults/{self.name}"

    def deliver(self, commit: str, delivery: str, number: int = 0) -> int:
        """Sends a push of `main` once; the answer's status, 0 for none."""
        body = json.dumps(payload(self.repository, commit, number)).encode()
        headers = signed(self.secret, body, delivery)
        try:
            return httpx.post(
                f"{self.machine.url}/hooks/{self.name}", content=body, headers=headers, timeout=15, trust_env=False
            ).status_code
        except httpx.HTTPError:
            return 0


def payload(repository: str, commit: str, number: int = 0) -> dict[str, object]:
    """What GitHub sends of a push."""
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": commit,
        "deleted": False,
        "repository": {
            "full_name": repository,
            "html_url": f"http://127.0.0.1/{repository}",
            "clone_url": f"git://127.0.0.1/{repository}.git",
        },
        "head_commit": {"id": commit, "message": f"Change {number}", "url": "", "author": {"name": "Ada Lovelace"}},
        "pusher": {"name": PUSHER, "email": "ada@example.org"},
        "sender": {"login": PUSHER, "id": 1},
    }


def signed(secret: str, body: bytes, delivery: str | None = None) -> dict[str, str]:
    """The headers of a delivery; a redelivery has the same id."""
    return {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-GitHub-Hook-ID": "1",
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
    }


def serve(folder: Path) -> "subprocess.Popen[bytes]":
    """Git's own server of the repositories below a folder; on its own machine, so to speak: no reboot of ours ends it."""
    command = ("git", "daemon", f"--base-path={folder}", "--export-all", "--reuseaddr", f"--port={PORT}", "--listen=127.0.0.1", str(folder))
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
