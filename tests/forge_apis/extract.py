"""Takes the operations that Slipway calls out of the descriptions that forges publish, into `tests/data/apis/<forge>.json.gz`.

`python -m tests.forge_apis.extract` does it anew: npm has to be there, and Gitea's source (`python -m tests.e2e.gitea` keeps it).
Tests need neither. GitLab's description is in no package: `tests/data/apis/gitlab.json` is written by hand, after its documentation.
"""

import gzip
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import gitea
from tests.forge_apis.contract import file_of
from tests.forge_apis.schemas import Plain, referred
from tests.forge_apis.typescript import Schema, described

GITHUB, BITBUCKET = "@octokit/openapi@23.0.2", "@coderabbitai/bitbucket@1.1.4"
_COMMENTS = {"/issues/{}/comments": "get post", "/issues/comments/{}": "get patch"}


@dataclass(frozen=True)
class Published:
    """A forge's description: where it is, under which licence, and what is called of it: methods by path below `root`."""

    source: str
    licence: str
    read: Callable[[], Schema]
    root: str
    called: Mapping[str, str]

    def operations(self) -> Schema:
        """What is called, by method and path."""
        document = self.read()
        found = {}
        for path, item in document["paths"].items():
            for method in self._called(path):
                found[f"{method.upper()} {path}"] = _operation(document, item[method])
        missing = sum(len(methods.split()) for methods in self.called.values()) - len(found)
        assert not missing, f"{missing} of what is called is not in {self.source}"
        return dict(sorted(found.items()))

    def _called(self, path: str) -> list[str]:
        shape = re.sub(r"/\{[^}]*\}(?=/|$)", "/{}", path)
        return self.called.get(shape.removeprefix(self.root), self.called.get(shape, "")).split() if shape else []


def _operation(document: Schema, operation: Schema) -> Schema:
    asked, answered = Plain(document, asked=True), Plain(document, asked=False)
    parameters = [referred(document, each) for each in operation.get("parameters", ())]
    body = next((each["schema"] for each in parameters if each["in"] == "body"), _json(operation.get("requestBody") or {}))
    answers = {status: referred(document, each) for status, each in operation["responses"].items() if status.startswith("2")}
    return {
        "query": {each["name"]: asked.of(each.get("schema", each)) for each in parameters if each["in"] == "query"},
        "body": asked.of(body),
        "answers": {status: answered.of(each.get("schema") or _json(each)) for status, each in answers.items()},
    }


def _json(part: Schema) -> Schema | None:
    """The schema of the body's JSON; some say it for all kinds of bodies."""
    return next((each.get("schema") for kind, each in part.get("content", {}).items() if "json" in kind or kind == "*/*"), None)


def _npm(package: str, file: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as opened:
            found = opened.extractfile(f"package/{file}")
            assert found is not None, f"{file} is not in {package}"
            return found.read().decode()


def _bitbucket() -> Schema:
    """Its text shows bodies that have no schema, which are of what is answered, none saying of what type it is; and deploy keys with an id."""
    found = described(_npm(BITBUCKET, "dist/cloud/openapi/openapi-typescript.d.ts"))
    for item in found["paths"].values():
        for operation in (item[method] for method in ("post", "put") if method in item):
            if not operation["requestBody"]["content"]:
                operation["requestBody"] = next((one for status, one in operation["responses"].items() if status[0] == "2"), {})
    for schema in found["components"]["schemas"].values():
        for part in schema.get("allOf", ()):
            if "type" in part.get("required", ()):
                part["required"].remove("type")
    found["components"]["schemas"]["deploy_key"]["allOf"].append({"type": "object", "properties": {"id": {"type": "number"}}})
    return found


def _bitbucket_data_center() -> Schema:
    """Its webhooks have an id, as the path of each shows; its activities are of several kinds, of which it says what is common."""
    found = described(_npm(BITBUCKET, "dist/server/openapi/openapi-typescript.d.ts"))
    found["components"]["schemas"]["RestWebhook"]["properties"]["id"] = {"type": "number"}
    commented = {"commentAction": {"type": "string"}, "comment": {"$ref": "#/components/schemas/RestComment"}}
    found["components"]["schemas"]["RestPullRequestActivity"]["properties"] |= commented
    for operation in (item["get"] for item in found["paths"].values() if "get" in item):
        page = _json(operation["responses"].get("200", {})) or {}
        if "nextPageStart" in page.get("properties", {}):
            page["properties"]["nextPageStart"]["nullable"] = True
    return found


PUBLISHED = {
    "github": Published(
        f"the npm package {GITHUB}: generated/api.github.com.json",
        "MIT",
        lambda: json.loads(_npm(GITHUB, "generated/api.github.com.json")),
        "/repos/{}/{}",
        _COMMENTS
        | {
            "": "get",
            "/statuses/{}": "post",
            "/deployments": "get post",
            "/deployments/{}/statuses": "post",
            "/hooks": "get post",
            "/hooks/{}": "patch delete",
            "/hooks/{}/pings": "post",
            "/keys": "post",
            "/keys/{}": "delete",
            "/pulls": "get",
            "/pulls/{}": "get",
            "/activity": "get",
            "/installation": "get",
            "/app/installations/{}/access_tokens": "post",
        },
    ),
    "bitbucket": Published(
        f"the npm package {BITBUCKET}: what openapi-typescript made of api.bitbucket.org/swagger.json",
        "Apache-2.0",
        _bitbucket,
        "/repositories/{}/{}",
        {
            "": "get",
            "/commit/{}": "get",
            "/commit/{}/statuses/build": "post",
            "/hooks": "get post",
            "/hooks/{}": "put delete",
            "/deploy-keys": "post",
            "/deploy-keys/{}": "delete",
            "/pullrequests": "get",
            "/pullrequests/{}": "get",
            "/pullrequests/{}/comments": "get post",
            "/pullrequests/{}/comments/{}": "get put",
        },
    ),
    "bitbucket-data-center": Published(
        f"the npm package {BITBUCKET}: what openapi-typescript made of Bitbucket Data Center 9.2's swagger",
        "Apache-2.0",
        _bitbucket_data_center,
        "/api/latest/projects/{}/repos/{}",
        {
            "": "get",
            "/commits/{}/builds": "post",
            "/commits/{}/deployments": "post",
            "/webhooks": "get post",
            "/webhooks/{}": "put delete",
            "/webhooks/test": "post",
            "/keys/latest/projects/{}/repos/{}/ssh": "post",
            "/keys/latest/projects/{}/repos/{}/ssh/{}": "delete",
            "/pull-requests": "get",
            "/pull-requests/{}": "get",
            "/pull-requests/{}/activities": "get",
            "/pull-requests/{}/comments": "post",
            "/pull-requests/{}/comments/{}": "get put",
            "/ref-change-activities": "get",
        },
    ),
    "gitea": Published(
        f"{gitea.MODULE} {gitea.VERSION}: templates/swagger/v1_json.tmpl",
        "MIT",
        lambda: json.loads((gitea.CACHE / "templates" / "swagger" / "v1_json.tmpl").read_text()),
        "/repos/{}/{}",
        _COMMENTS
        | {
            "": "get",
            "/statuses/{}": "post",
            "/hooks": "get post",
            "/hooks/{}": "patch delete",
            "/hooks/{}/tests": "post",
            "/keys": "post",
            "/keys/{}": "delete",
            "/pulls": "get",
            "/pulls/{}": "get",
            "/activities/feeds": "get",
        },
    ),
}


def main() -> None:
    """Fetches, chooses, writes."""
    for forge, published in PUBLISHED.items():
        operations, file = published.operations(), file_of(forge)
        found = {"source": published.source, "licence": published.licence, "operations": operations}
        file.write_bytes(gzip.compress(json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode(), mtime=0))
        print(f"{len(operations)} operations of {forge}, {file.stat().st_size} bytes in {file}")


if __name__ == "__main__":
    main()
