"""Failures from recorded output of clients of several ages."""

import pytest

from services.builder.dockerfile import parse
from services.builder.failures import Build, failure_of
from services.builder.progress import Progress
from shared.contracts.answers import Failure

DOCKERFILE = "FROM node:22\nRUN npm ci\nCOPY dist /app\nRUN --mount=type=secret,id=KEY,required cat /run/secrets/KEY\n"

OLD_EXIT = """#5 [2/4] RUN npm ci
#5 sha256:e8ce640988f59c1598fac352644235500533ecb312324b3d97e87e8cda18f2e8
#5 0.132 npm ERR! boom
#5 ERROR: executor failed running [/bin/sh -c npm ci]: exit code: 3
------
 > [2/4] RUN npm ci:
------
executor failed running [/bin/sh -c npm ci]: exit code: 3"""
NEW_EXIT = """#5 [2/4] RUN npm ci
#5 0.132 npm ERR! boom
#5 ERROR: process "/bin/sh -c npm ci" did not complete successfully: exit code: 3
------
 > [2/4] RUN npm ci:
0.132 npm ERR! boom
------
Dockerfile:2
--------------------
   2 | >>> RUN npm ci
--------------------
ERROR: failed to solve: process "/bin/sh -c npm ci" did not complete successfully: exit code: 3"""
NEW_COPY = """#6 [3/4] COPY dist /app
#6 ERROR: failed to calculate checksum of ref abc::def: "/dist": not found
------
ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref abc::def: "/dist": not found"""
NEW_PARSE = "ERROR: failed to solve: dockerfile parse error on line 3: unknown instruction: COPPY"
NEW_SECRET = """#7 [4/4] RUN --mount=type=secret,id=KEY,required cat /run/secrets/KEY
#7 ERROR: secret KEY: not found
------
ERROR: failed to solve: secret KEY: not found"""
MISSING = """#3 [internal] load metadata for docker.io/library/node:22
#3 ERROR: docker.io/library/node:22: not found
------
ERROR: failed to solve: node:22: failed to resolve source metadata for docker.io/library/node:22: docker.io/library/node:22: not found"""
DENIED = """#3 [internal] load metadata for docker.io/acme/private:1
#3 ERROR: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope
------
failed to solve"""
AWAY = """#3 [internal] load metadata for docker.io/library/node:22
#3 ERROR: failed to do request: Head "https://registry-1.docker.io/v2/library/node/manifests/22": dial tcp: lookup registry-1.docker.io: no such host
------
failed to solve"""
LIMITED = """#3 [internal] load metadata for docker.io/library/node:22
#3 ERROR: failed to copy: toomanyrequests: You have reached your unauthenticated pull rate limit
------
failed to solve"""
BUSY = """#3 [internal] load metadata for docker.io/library/node:22
#3 ERROR: unexpected status from HEAD request to https://registry-1.docker.io/v2/library/node/manifests/22: 502 Bad Gateway
------
failed to solve"""
FRONTEND = """#3 resolve image config for docker.io/docker/dockerfile:1
#3 ERROR: failed to do request: Head "https://registry-1.docker.io/v2/": dial tcp: i/o timeout
------
failed to solve"""
FULL = """#5 [2/4] RUN npm ci
#5 1.0 npm ERR! ENOSPC: no space left on device
#5 ERROR: executor failed running [/bin/sh -c npm ci]: write /x: no space left on device
------
executor failed running [/bin/sh -c npm ci]: write /x: no space left on device"""
NETWORK = """#5 [2/4] RUN npm ci
#5 ERROR: executor failed running [/bin/sh -c npm ci]: failed to create endpoint zoyp on network bridge: could not find bridge docker0
------
executor failed running [/bin/sh -c npm ci]: failed to create endpoint zoyp on network bridge: could not find bridge docker0"""
STAGE = 'ERROR: failed to solve: target stage "nah" could not be found'
BLANK = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: base name (${BASE}) should not be blank"


def told(output: str, *, limit_was_hit: bool = False) -> Failure:
    """The failure of a build that said this."""
    progress = Progress()
    for line in output.splitlines():
        list(progress.feed(line))
    build = Build("web", "Dockerfile", parse(DOCKERFILE), ".", 2**30, limit_was_hit)
    return failure_of(build, progress).failure


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        (OLD_EXIT, "dockerfile_failed", "Dockerfile, line 2: `RUN npm ci` failed with exit code 3"),
        (NEW_EXIT, "dockerfile_failed", "Dockerfile, line 2: `RUN npm ci` failed with exit code 3"),
        (NEW_COPY, "dockerfile_failed", "line 3: `COPY dist /app` failed: /dist is not in the build context (.)"),
        (NEW_PARSE, "dockerfile_invalid", "Dockerfile, line 3: unknown instruction: COPPY"),
        (NEW_SECRET, "secret_missing", "line 4"),
        (MISSING, "base_image_missing", "the image docker.io/library/node:22 does not exist"),
        (DENIED, "base_image_missing", "docker.io/acme/private:1 does not exist, or the registry wants to know who pulls it"),
        (AWAY, "base_image_unreachable", "its registry (docker.io) cannot be reached"),
        (LIMITED, "base_image_unreachable", "(docker.io) answers toomanyrequests: You have reached your unauthenticated pull rate limit"),
        (BUSY, "base_image_unreachable", "(docker.io) answers 502 Bad Gateway"),
        (FRONTEND, "base_image_unreachable", "the image docker.io/docker/dockerfile:1"),
        (FULL, "no_space", "The disk of the container engine is full"),
        (NETWORK, "engine_network_broken", "could not find bridge docker0"),
        (STAGE, "dockerfile_invalid", 'Dockerfile cannot be built: target stage "nah" could not be found'),
        (BLANK, "dockerfile_invalid", "Dockerfile cannot be built: base name (${BASE}) should not be blank"),
        ("something new", "build_failed", "something new"),
        ("", "build_failed", "BuildKit gave no reason"),
    ],
)
def test_each_failure_has_its_words(output: str, code: str, words: str) -> None:
    """Whichever client said it."""
    failure = told(output)
    assert failure.code == code
    assert words in failure.message


def test_memory_is_told_from_exit_code_and_from_words() -> None:
    """The group's limit alone proves nothing: cached pages count there too."""
    killed = OLD_EXIT.replace("exit code: 3", "exit code: 137")
    assert told(killed).code == "build_out_of_memory"
    assert "1024 MiB" in told(killed).message
    assert told(OLD_EXIT, limit_was_hit=True).code == "dockerfile_failed"
    assert told(OLD_EXIT.replace("npm ERR! boom", "Killed"), limit_was_hit=True).code == "build_out_of_memory"
    assert told(OLD_EXIT.replace("npm ERR! boom", "Killed")).code == "dockerfile_failed"


def test_progress_shows_what_a_person_wants() -> None:
    """Steps and their output; not the client's own business, nor escape sequences."""
    progress = Progress()
    raw = [
        "#1 [internal] load build definition from Dockerfile",
        "#1 sha256:" + "a" * 64,
        "#1 transferring dockerfile: 128B done",
        "#1 DONE 0.0s",
        "",
        "#4 [2/3] RUN seq",
        "#4 sha256:" + "b" * 64,
        "#4 0.130 \x1b[31mred\x1b[0m",
        "#4 0.132 no newline#4 DONE 0.1s",
        "#5 [3/3] COPY . .",
        "#5 CACHED",
        "#6 exporting to image",
        "#6 exporting layers done",
        "#6 DONE 0.0s",
    ]
    shown = [line for text in raw for line in progress.feed(text)]
    assert shown == ["[2/3] RUN seq", "red", "no newline", "[3/3] COPY . .", "[3/3] cached"]
    assert progress.failed is None
    assert progress.running is None
    assert progress.steps["4"].ended
