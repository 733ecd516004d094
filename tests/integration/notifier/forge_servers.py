"""The APIs of forges that show statuses, each for one repository `acme/todo`, as their documentation says. (GitHub's is in `receivers`.)

What is sent to them and what they answer has to be as the forges publish it: `forge_apis.contract`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.health import serve
from tests.forge_apis.contract import Contract
from tests.integration.notifier.comment_api import Answer, Comments, Json
from tests.integration.notifier.receivers import Call, call_of


@dataclass
class ForgeServer:
    """What they have in common: a token, what was called, and `refuse`, which may answer instead."""

    token: str = "forge-token"
    commits: set[str] = field(default_factory=set)
    statuses: list[Json] = field(default_factory=list)
    """Of commits, as they were set."""
    deployments: list[Json] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refuse: Callable[[Call], Response | None] = lambda _: None
    url: str = ""
    """Where its API is."""
    comments: Comments = field(init=False)
    contract: Contract = field(init=False)

    kind = ""
    api = ""
    repository = ""
    """Its path below the API."""
    authorization = "Bearer"

    def __post_init__(self) -> None:
        self.comments = Comments(self.kind)
        self.contract = Contract(self.kind)

    def routes(self) -> list[Route]:
        """What it answers, besides comments."""
        raise NotImplementedError

    def guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route that wants the token."""

        async def respond(request: Request) -> Response:
            call = await call_of(request)
            self.calls.append(call)
            if call.headers.get("authorization") != f"{self.authorization} {self.token}":
                return JSONResponse({"message": "401 Unauthorized"}, 401)
            return self.refuse(call) or self.contract.checked(request, call.body, answer(request, call))

        return respond


@dataclass
class GitLab(ForgeServer):
    """https://docs.gitlab.com/api/commits/ and /api/deployments/; its states are a machine that goes forward (GenericCommitStatus)."""

    kind = "gitlab"
    api = "/api/v4"
    repository = "/projects/{project:path}"

    def routes(self) -> list[Route]:
        """Statuses and deployments."""
        project = f"{self.api}/projects/{{id:path}}"
        return [
            Route(f"{project}/statuses/{{sha}}", self.guarded(self._status), methods=["POST"]),
            Route(f"{project}/deployments", self.guarded(self._list), methods=["GET"]),
            Route(f"{project}/deployments", self.guarded(self._create), methods=["POST"]),
            Route(f"{project}/deployments/{{number:int}}", self.guarded(self._get), methods=["GET"]),
            Route(f"{project}/deployments/{{number:int}}", self.guarded(self._update), methods=["PUT"]),
        ]

    def _status(self, request: Request, call: Call) -> Response:
        if not request.scope["raw_path"].startswith(b"/api/v4/projects/acme%2Ftodo/"):
            return JSONResponse({"message": "404 Project Not Found"}, 404)
        wanted, sha = call.json, request.path_params["sha"]
        if sha not in self.commits:
            return JSONResponse({"message": "404 Commit Not Found"}, 404)
        state = wanted.get("state")
        if state not in ("pending", "running", "success", "failed", "canceled", "skipped"):
            return JSONResponse({"error": "state does not have a valid value"}, 400)
        same = [each for each in self.statuses if (each["sha"], each["name"]) == (sha, wanted["name"])]
        now = same[-1]["state"] if same and same[-1]["state"] in ("pending", "running") else "created"
        if state == now or (state, now) == ("pending", "running"):
            event = {"pending": "enqueue", "running": "run"}.get(str(state), str(state))
            message = f'Cannot transition status via :{event} from :{now} (Reason(s): Status cannot transition via "{event}")'
            return JSONResponse({"message": message}, 400)
        self.statuses.append({"sha": sha, **wanted})
        return JSONResponse({"id": len(self.statuses), "sha": sha, "status": state, "name": wanted["name"]}, 201)

    def _list(self, _: Request, call: Call) -> Response:
        wanted = (call.query["environment"], call.query["status"])
        found = [each for each in self.deployments if (each["environment"], each["status"]) == wanted]
        return JSONResponse([_shown(each) for each in reversed(found)])

    def _create(self, _: Request, call: Call) -> Response:
        wanted = call.json
        missing = [name for name in ("environment", "sha", "ref", "tag", "status") if name not in wanted]
        if missing or wanted["status"] not in ("running", "success", "failed", "canceled"):
            return JSONResponse({"error": f"{', '.join(missing) or 'status'} is missing or has no valid value"}, 400)
        made: Json = {"id": len(self.deployments) + 1, **wanted, "states": [wanted["status"]]}
        self.deployments.append(made)
        return JSONResponse(_shown(made), 201)

    def _get(self, request: Request, _: Call) -> Response:
        return JSONResponse(_shown(self.deployments[request.path_params["number"] - 1]))

    def _update(self, request: Request, call: Call) -> Response:
        found, status = self.deployments[request.path_params["number"] - 1], call.json["status"]
        if status not in ("running", "success", "failed", "canceled") or status == found["status"]:
            return JSONResponse({"message": {"status": ["cannot transition"]}}, 400)
        found["status"] = status
        states = found["states"]
        assert isinstance(states, list)
        states.append(status)
        return JSONResponse(_shown(found))


def _shown(deployment: Json) -> Json:
    return {
        "id": deployment["id"],
        "iid": deployment["id"],
        "ref": deployment["ref"],
        "sha": deployment["sha"],
        "status": deployment["status"],
        "environment": {"id": 9, "name": deployment["environment"]},
    }


@dataclass
class Bitbucket(ForgeServer):
    """https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/."""

    kind = "bitbucket"
    api = "/2.0"
    repository = "/repositories/acme/todo"

    def routes(self) -> list[Route]:
        """Build statuses."""
        path = f"{self.api}/repositories/acme/todo/commit/{{sha}}/statuses/build"
        return [Route(path, self.guarded(self._status), methods=["POST"])]

    def _status(self, request: Request, call: Call) -> Response:
        wanted, sha = call.json, request.path_params["sha"]
        if sha not in self.commits:
            return JSONResponse({"type": "error", "error": {"message": "Commit not found"}}, 404)
        good = wanted["state"] in ("SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED") and str(wanted["url"]).startswith("http")
        if not good or len(str(wanted["key"])) > 40:
            return JSONResponse({"type": "error", "error": {"message": "Bad request"}}, 400)
        self.statuses.append({"sha": sha, **wanted})
        return JSONResponse(wanted, 201)


@dataclass
class BitbucketDataCenter(ForgeServer):
    """https://developer.atlassian.com/server/bitbucket/rest/: RestBuildStatusSetRequest, RestDeploymentSetRequest."""

    kind = "bitbucket-data-center"
    api = "/rest/api/latest"
    repository = "/projects/acme/repos/todo"

    def routes(self) -> list[Route]:
        """Builds and deployments."""
        commit = f"{self.api}/projects/acme/repos/todo/commits/{{sha}}"
        return [
            Route(f"{commit}/builds", self.guarded(self._build), methods=["POST"]),
            Route(f"{commit}/deployments", self.guarded(self._deployment), methods=["POST"]),
        ]

    def _build(self, request: Request, call: Call) -> Response:
        wanted = call.json
        states = ("CANCELLED", "FAILED", "INPROGRESS", "SUCCESSFUL", "UNKNOWN")
        if request.path_params["sha"] not in self.commits:
            return _errors("The commit does not exist", 404)
        if not wanted.get("key") or not wanted.get("url") or wanted.get("state") not in states:
            return _errors("key, state and url are required", 400)
        self.statuses.append({"sha": request.path_params["sha"], **wanted})
        return Response(status_code=204)

    def _deployment(self, request: Request, call: Call) -> Response:
        wanted = call.json
        required = ("deploymentSequenceNumber", "description", "displayName", "environment", "key", "state", "url")
        states = ("PENDING", "IN_PROGRESS", "CANCELLED", "FAILED", "ROLLED_BACK", "SUCCESSFUL", "UNKNOWN")
        environment = wanted.get("environment")
        if any(name not in wanted for name in required) or wanted["state"] not in states or not isinstance(environment, dict):
            return _errors("a field is missing", 400)
        if environment.get("type", "TESTING") not in ("DEVELOPMENT", "TESTING", "STAGING", "PRODUCTION"):
            return _errors("type", 400)
        self.deployments.append({"sha": request.path_params["sha"], **wanted})
        return JSONResponse(wanted)


def _errors(message: str, status: int) -> Response:
    return JSONResponse({"errors": [{"context": None, "message": message, "exceptionName": None}]}, status)


@dataclass
class Gitea(ForgeServer):
    """https://docs.gitea.com/api/: repoCreateStatus."""

    kind = "gitea"
    api = "/api/v1"
    repository = "/repos/acme/todo"
    authorization = "token"

    def routes(self) -> list[Route]:
        """Statuses."""
        return [Route(f"{self.api}/repos/acme/todo/statuses/{{sha}}", self.guarded(self._status), methods=["POST"])]

    def _status(self, request: Request, call: Call) -> Response:
        wanted, sha = call.json, request.path_params["sha"]
        if sha not in self.commits:
            return JSONResponse({"message": "object does not exist", "url": "https://git.example/api/swagger"}, 404)
        if wanted["state"] not in ("pending", "success", "error", "failure", "warning"):
            return JSONResponse({"message": "[State]: Invalid"}, 422)
        self.statuses.append({"sha": sha, **wanted})
        return JSONResponse({"id": len(self.statuses), "status": wanted["state"]}, 201)


SERVERS: dict[str, type[ForgeServer]] = {server.kind: server for server in (GitLab, Bitbucket, BitbucketDataCenter, Gitea)}
"""By the kind of forge."""


@asynccontextmanager
async def forge_server(kind: str, *commits: str) -> AsyncIterator[ForgeServer]:
    """On a free port of 127.0.0.1; its repository has these commits."""
    server = SERVERS[kind](commits=set(commits))
    routes = [*server.routes(), *server.comments.routes(f"{server.api}{server.repository}", server.guarded)]
    async with serve(Starlette(routes=routes), "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}{server.api}"
        yield server
    server.contract.assert_kept()
