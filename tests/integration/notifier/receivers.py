"""Servers that are told: they speak the real protocols, and answer as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import default

from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.health import serve
from shared.listening import listening
from tests.forge_apis.contract import Contract
from tests.integration.notifier.comment_api import Answer, Comments


@dataclass(frozen=True)
class Call:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, JsonValue]:
        """The body, read."""
        found: dict[str, JsonValue] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets. `answers` are used up in order, then it answers 204."""

    calls: list[Call] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    url: str = ""
    hang: bool = False

    async def take(self, request: Request) -> Response:
        """Keeps the call and answers."""
        self.calls.append(await call_of(request))
        if self.hang:
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else Response(status_code=204)


async def call_of(request: Request) -> Call:
    """A request, read."""
    return Call(request.method, request.url.path, dict(request.query_params), dict(request.headers), await request.body())


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """On a free port of 127.0.0.1."""
    server = Receiver()
    app = Starlette(routes=[Route("/{path:path}", server.take, methods=["GET", "POST", "PUT"])])
    async with serve(app, "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


@dataclass
class GitHub:
    """GitHub's REST API for one repository `acme/todo`, as https://docs.github.com/rest documents it.

    `refuse` may answer a call instead. What is sent and answered has to be as GitHub publishes it: `forge_apis.contract`.
    """

    token: str = "ghs_token"
    commits: set[str] = field(default_factory=set)
    deployments: list[dict[str, JsonValue]] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    """Deployment states in order: (deployment's id, state)."""
    statuses: list[dict[str, JsonValue]] = field(default_factory=list)
    """Commit statuses in order."""
    deployment_statuses: list[dict[str, JsonValue]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refuse: Callable[[Call], Response | None] = lambda _: None
    url: str = ""
    comments: Comments = field(default_factory=lambda: Comments("github"))
    contract: Contract = field(default_factory=lambda: Contract("github"))

    def app(self) -> Starlette:
        """The routes."""
        base = "/repos/acme/todo"
        return Starlette(
            routes=[
                Route(f"{base}/statuses/{{sha}}", self._guarded(self._status), methods=["POST"]),
                Route(f"{base}/deployments", self._guarded(self._list), methods=["GET"]),
                Route(f"{base}/deployments", self._guarded(self._create), methods=["POST"]),
                Route(f"{base}/deployments/{{id:int}}/statuses", self._guarded(self._deployment_status), methods=["POST"]),
                *self.comments.routes(base, self._guarded),
            ]
        )

    def _status(self, request: Request, call: Call) -> Response:
        sha, wanted = request.path_params["sha"], call.json
        if sha not in self.commits:
            return _unprocessable(f"No commit found for SHA: {sha}")
        if wanted["state"] not in ("error", "failure", "pending", "success") or len(str(wanted["description"])) > 140:
            return _unprocessable("Validation Failed")
        self.statuses.append({"sha": sha, **wanted})
        return JSONResponse({"id": len(self.statuses), **wanted, "created_at": _now()}, 201)

    def _list(self, _: Request, call: Call) -> Response:
        found = [each for each in self.deployments if each["sha"] == call.query["sha"] and each["environment"] == call.query["environment"]]
        return JSONResponse(found)

    def _create(self, _: Request, call: Call) -> Response:
        wanted = call.json
        if wanted["ref"] not in self.commits:
            return _unprocessable(f"No ref found for: {wanted['ref']}")
        if wanted["auto_merge"] is not False or wanted["required_contexts"] != []:
            return JSONResponse({"message": "Conflict: Commit status checks failed for main."}, 409)
        made = deployment_of(wanted, 1000 + len(self.deployments))
        self.deployments.append(made)
        return JSONResponse(made, 201)

    def _deployment_status(self, request: Request, call: Call) -> Response:
        wanted, deployment = call.json, request.path_params["id"]
        if deployment not in [each["id"] for each in self.deployments]:
            return JSONResponse({"message": "Not Found"}, 404)
        if wanted["state"] not in ("error", "failure", "inactive", "in_progress", "queued", "pending", "success"):
            return _unprocessable("Validation Failed")
        self.states.append((str(deployment), str(wanted["state"])))
        self.deployment_statuses.append(wanted)
        return JSONResponse({"id": len(self.states), **wanted, "created_at": _now()}, 201)

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            call = await call_of(request)
            self.calls.append(call)
            if call.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"message": "Bad credentials"}, 401)
            if call.headers.get("x-github-api-version") != "2022-11-28":
                return JSONResponse({"message": "version"}, 400)
            return self.refuse(call) or self.contract.checked(request, call.body, answer(request, call))

        return respond


def deployment_of(wanted: dict[str, JsonValue], number: int) -> dict[str, JsonValue]:
    """What GitHub shows of a deployment that it was asked for: not how it was to be made."""
    shown = {name: value for name, value in wanted.items() if name not in ("auto_merge", "required_contexts")}
    return {"id": number, "sha": wanted["ref"], **shown, "created_at": _now()}


def _unprocessable(message: str) -> Response:
    return JSONResponse({"message": message, "documentation_url": "https://docs.github.com/rest"}, 422)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@asynccontextmanager
async def github() -> AsyncIterator[GitHub]:
    """On a free port of 127.0.0.1."""
    server = GitHub()
    async with serve(server.app(), "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
    server.contract.assert_kept()


@dataclass
class MailServer:
    """An SMTP server (RFC 5321) that keeps what it is given. `refuse`: its answer to the next recipients."""

    port: int = 0
    messages: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuse: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""

        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 mail.test ESMTP")
        while line := (await reader.readline()).decode().strip():
            match line.split(":")[0].split()[0].upper():
                case "EHLO":
                    say("250-mail.test")
                    say("250 8BITMIME")
                case "RCPT":
                    self.recipients.append(line)
                    say(self.refuse or "250 OK")
                case "DATA":
                    say("354 Go ahead")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self.messages.append(message_from_bytes(data[:-5], policy=default))
                    say("250 OK")
                case "QUIT":
                    say("221 Bye")
                    break
                case _:
                    say("250 OK")


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """On a free port of 127.0.0.1."""
    mail = MailServer()
    async with listening(mail.serve) as mail.port:
        yield mail
