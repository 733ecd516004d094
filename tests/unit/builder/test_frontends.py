"""Which frontend a Dockerfile asks BuildKit for, as BuildKit's DetectSyntax of any version reads it, and which may build."""

import pytest

from services.builder.frontends import Frontend, asked_for, check
from shared.printable import printable
from shared.work import StepFailure

EVIL = "evil.example/frontend:1"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"# syntax={EVIL}\nFROM a\n", 1),
        (f"#syntax={EVIL}", 1),
        (f"#   SynTax \t=\t  {EVIL}  \r\nFROM a\r\n", 1),
        (f"#\x0bsyntax={EVIL}\n", 1),
        (f"#\u2028\xa0syntax={EVIL}\n", 1),
        (f"\ufeff# syntax={EVIL}\n", 1),
        (f"# escape=`\n# check=skip=all\n# syntax={EVIL} and what it is told\n", 3),
        (f"# syntax=docker/dockerfile:1\n# syntax={EVIL}\n", 2),
        (f"#!/usr/bin/env docker\n# syntax={EVIL}\n", 2),
        (f"// syntax={EVIL}\nFROM a\n", 1),
        (f"#!/x\n//syntax = {EVIL}\n", 2),
    ],
)
def test_every_form_that_buildkit_reads_is_found(content: str, line: int) -> None:
    """Letters, blanks of any kind, a byte order mark, other directives before it, a second one, a shebang, and C's comments."""
    assert asked_for(content)[-1] == Frontend(line, EVIL)
    with pytest.raises(StepFailure) as refused:
        check("web", "deploy/Dockerfile", content, {})
    failure = refused.value.failure
    assert failure.code == "frontend_refused"
    assert failure.message.startswith(f"deploy/Dockerfile, line {line}: it asks for the frontend {EVIL}. Only docker/dockerfile may")


@pytest.mark.parametrize("content", ['{"syntax": "evil"}', ' \n{"a": 1, "Syntax": "evil"}', "#!/x\n{}", '{"a": ' + "[" * 20_000])
def test_json_is_for_no_frontend_that_may_build(content: str) -> None:
    """It names its frontend in a field, in any letters; docker/dockerfile cannot read it at all."""
    with pytest.raises(StepFailure, match="JSON"):
        check("web", "Dockerfile", content, {})


@pytest.mark.parametrize(
    "content",
    [
        "FROM a\n",
        "# Builds the site\n# syntax=evil\nFROM a\n",
        "FROM a\n# syntax=evil\nRUN echo '# syntax=evil'\n",
        "\n# syntax=evil\nFROM a\n",
        "#  Syntax =  docker/dockerfile:1  \r\nFROM a\r\n",
        "# note: syntax = evil\nFROM a\n",
        "",
    ],
)
def test_what_buildkit_takes_for_a_comment_is_one(content: str) -> None:
    """After the first line that is no directive there are none."""
    check("web", "Dockerfile", content, {"NODE": "22"})


@pytest.mark.parametrize(
    ("reference", "may"),
    [
        ("docker/dockerfile", True),
        ("docker/dockerfile:1", True),
        ("docker/dockerfile:1.7-labs", True),
        ("docker.io/docker/dockerfile:1.1.2-experimental", True),
        (f"docker/dockerfile:1.9@sha256:{'a' * 64}", True),
        (f"index.docker.io/docker/dockerfile@sha256:{'a' * 64}", True),
        ("docker/dockerfile-upstream:master", True),
        ("docker/dockerfile:1.0", False),
        ("docker/dockerfile:1.0-experimental", False),
        ("docker/dockerfile:1.1.1", False),
        ("docker/dockerfile:0.9.0", False),
        ("evil.example/docker/dockerfile:1", False),
        ("docker/dockerfiles:1", False),
        ("docker/dockerfile/more", False),
        ("docker/docker\x01file:1", False),
        ("evil/docker.io/docker/dockerfile", False),
        ("Docker/dockerfile", False),
    ],
)
def test_only_docker_s_own_may_build(reference: str, may: bool) -> None:
    """Of any tag or digest, from where it keeps builds' caches apart; by the line, and by the build argument."""
    for content, arguments in ((f"# syntax={reference}\n", {}), ("FROM a\n", {"BUILDKIT_SYNTAX": f" {reference} more"})):
        if may:
            check("web", "Dockerfile", content, arguments)
        else:
            with pytest.raises(StepFailure) as refused:
                check("web", "Dockerfile", content, arguments)
            where = "services.web.build.args: BUILDKIT_SYNTAX" if arguments else "Dockerfile, line 1: it"
            assert refused.value.failure.message.startswith(f"{where} asks for the frontend {printable(reference)}. ")


def test_a_long_line_is_read_in_no_time() -> None:
    """A megabyte of blanks between two words."""
    assert len(asked_for(f"# syntax=a{' ' * 2**20}b{' ' * 2**20}\n")) == 1
