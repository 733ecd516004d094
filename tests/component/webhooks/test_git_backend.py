"""What git says is passed on as it comes."""

import asyncio
import os
from pathlib import Path

from starlette.types import Message

from services.webhooks.git.backend import Call, serve

GIT = """#!/bin/sh
printf 'Status: 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n'
while ! [ -e {go} ]; do sleep 0.02; done
printf 'taken'
"""


async def test_an_answer_begins_with_git_s_first_words(tmp_path: Path) -> None:
    """Its head comes before it has done anything: a proxy that has not noticed the request's end yet would tear the answer."""
    go, git = tmp_path / "go", tmp_path / "git"
    git.write_text(GIT.format(go=go))
    git.chmod(0o700)
    sent: list[Message] = []
    requests = iter([{"type": "http.request", "body": b"pushed", "more_body": False}])

    async def receive() -> Message:
        request = next(requests, None)
        if request is None:
            await asyncio.Event().wait()
        assert request is not None
        return request

    async def send(message: Message) -> None:
        sent.append(message)

    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    serving = asyncio.create_task(
        serve(Call("/git-receive-pack", "", environment, lambda: None), {"method": "POST", "headers": []}, receive, send)
    )
    await asyncio.wait({serving}, timeout=0.5)
    before = list(sent)
    go.touch()
    async with asyncio.timeout(10):
        await serving
    assert not before
    assert (sent[0]["status"], b"".join(message["body"] for message in sent[1:])) == (200, b"taken")
