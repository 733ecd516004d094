"""slipway.yaml: what is read, and how what is wrong is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.builder import dockerfile, manifest
from services.builder.manifest import ManifestInvalid
from shared.contracts.manifest import BuildSpec, HealthCheck, Manifest, Strategy

FULL = """
services:
  web:
    build: {context: web, args: {COLOUR: red}, secrets: [NPM_TOKEN], target: final}
    watch: [shared/lib]
    port: 3000
    command: node server.js --name "a b"
    health: {http: /healthz, start_period: 20s, interval: 500ms, timeout: 1s, retries: 5}
    variables: {LEVEL: debug, COUNT: 010, ON: yes}
    databases: [db]
    domains: [Www.Example.com, bücher.example]
    resources: {memory: 256Mi, cpu: 500m}
    strategy: recreate
    stop_grace: 1m30s
    user: 1000:1000
    read_only: false
    writable: [/tmp, /var/cache]
    depends_on: [api]
  api:
    image: ghcr.io/acme/api:1.2
    port: 80
    health: tcp
databases:
  db: {engine: postgres, version: 16, storage: 10Gi, memory: 1Gi}
jobs:
  migrate: {service: web, command: [node, migrate.js], undo: node migrate.js --undo, timeout: 5m}
  seed: {service: web, command: node seed.js, depends_on: migrate}
"""


def told(text: str) -> list[str]:
    """The problems of a manifest, one a line."""
    with pytest.raises(ManifestInvalid) as invalid:
        manifest.parse(text.encode())
    return [str(problem) for problem in invalid.value.problems]


def test_everything_that_a_manifest_can_say() -> None:
    """Human forms become seconds and bytes; shorthands become what they stand for."""
    read = manifest.parse(FULL.encode())
    web, api = read.services["web"], read.services["api"]
    assert web.build == BuildSpec(
        context="web", dockerfile="web/Dockerfile", target="final", args={"COLOUR": "red"}, secrets=("NPM_TOKEN",)
    )
    assert web.command == ("node", "server.js", "--name", "a b")
    assert web.health == HealthCheck(http="/healthz", start_period_s=20, interval_s=0.5, timeout_s=1, retries=5)
    assert web.variables == {"LEVEL": "debug", "COUNT": "010", "ON": "yes"}
    assert web.domains == ("www.example.com", "xn--bcher-kva.example")
    assert (web.resources.memory_bytes, web.resources.cpu) == (256 * 2**20, 0.5)
    assert (web.strategy, web.stop_grace_s, web.user, web.read_only) == (Strategy.RECREATE, 90.0, "1000:1000", False)
    assert api.health == HealthCheck(tcp=True)
    assert (read.databases["db"].engine, read.databases["db"].version, read.databases["db"].storage_bytes) == (
        "postgresql",
        "16",
        10 * 2**30,
    )
    assert read.jobs["migrate"].undo == ("node", "migrate.js", "--undo")
    assert read.jobs["migrate"].timeout_s == 300
    assert read.jobs["seed"].depends_on == ("migrate",)


@pytest.mark.parametrize("user", ["root", "0", "0:0"])
def test_root_runs_only_where_the_manifest_says_so(user: str) -> None:
    """It is one's right to say so, in the repository, for everybody to see."""
    read = manifest.parse(f"services: {{web: {{image: x, user: '{user}'}}, other: {{image: x}}}}".encode())
    assert (read.services["web"].user, read.services["other"].user) == (user, None)


def test_the_least_that_a_manifest_can_say() -> None:
    """A service without anything is a worker built from the root."""
    assert manifest.parse(b"services: {web: }").services["web"].build == BuildSpec()
    assert manifest.parse(b"services: {web: {build: web}}").services["web"].build.dockerfile == "web/Dockerfile"


@pytest.mark.parametrize(
    ("service", "context", "dockerfile"),
    [
        ("{path: apps/web}", "apps/web", "apps/web/Dockerfile"),
        ("{path: apps/web, build: }", "apps/web", "apps/web/Dockerfile"),
        ("{path: apps/web, build: {target: slim}}", "apps/web", "apps/web/Dockerfile"),
        ("{path: apps/web, build: .}", ".", "apps/web/Dockerfile"),
        ("{path: apps/web, build: {context: apps}}", "apps", "apps/web/Dockerfile"),
        ("{path: apps/web, build: {context: ., dockerfile: Dockerfile}}", ".", "Dockerfile"),
        ("{path: .}", ".", "Dockerfile"),
    ],
)
def test_a_service_s_own_folder_holds_what_build_does_not_name(service: str, context: str, dockerfile: str) -> None:
    """Context and Dockerfile are there, where nothing else is said."""
    read = manifest.parse(f"services: {{web: {service}}}".encode()).services["web"]
    assert (read.build.context, read.build.dockerfile) == (context, dockerfile)


def test_what_the_repository_shows_to_be_wrong_has_its_line() -> None:
    """At the key itself, or at the nearest one above it that stands in the file."""
    text = b"services:\n  web:\n    build: {target: slim}\n    watch: [lib, shred]\n"
    wrong = {"services.web.watch.1": "there is no `shred`", "services.web.build.context": "there is no `.`"}
    assert str(manifest.invalid(text, wrong)).splitlines() == [
        "slipway.yaml has 2 problems:",
        "  line 3, column 12: services.web.build.context: there is no `.`",
        "  line 4, column 18: services.web.watch.1: there is no `shred`",
    ]


def test_all_problems_are_told_at_once() -> None:
    """In the order of the file, each with line, column and path."""
    problems = told("services:\n  web:\n    prot: 80\n    port: eighty\n    databases: [dbb]\ndatabases:\n  db: {storage: much}\n")
    assert problems == [
        "line 3, column 5: services.web.prot: unknown key `prot`; did you mean `port`?",
        "line 4, column 11: services.web.port: expected a whole number from 1 to 65535, not `eighty`",
        "line 5, column 17: services.web.databases.0: no database `dbb` is described; did you mean `db`?",
        "line 7, column 17: databases.db.storage: expected a size such as `256Mi` or `1Gi`, not `much`",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("servces: {}", "unknown key `servces`; did you mean `services`?"),
        ("services: [web]", "expected a mapping (`key: value`), not a list"),
        ("web", "expected a mapping (`key: value`), not text"),
        ("services: {web: {}, web: {}}", "services.web: given twice (first on line 1)"),
        ("services: {web: {port: 80, port: 81}}", "services.web.port: given twice (first on line 1)"),
        ("services: {Web: {}}", "`Web` is no name"),
        ("services: {web: {depends_on: [api]}}", "no service `api` is described; there are: `web`"),
        ("services: {web: {depends_on: [web]}}", "goes round in a circle: web → itself"),
        ("services: {a: {depends_on: b}, b: {depends_on: c}, c: {depends_on: a}}", "goes round in a circle"),
        ("services: {a: {port: 1, domains: x.io}, b: {port: 1, domains: X.io.}}", "`x.io` is given to `a` already"),
        ("services: {web: {domains: x.io}}", "a service with domains needs a `port`"),
        ("services: {web: {port: 1, domains: 'https://x.io/'}}", "is no domain name"),
        ("services: {web: {port: 1, domains: 10.0.0.1}}", "is no domain name"),
        ("services: {web: {health: /up}}", "give the service a `port`"),
        ("services: {web: {port: 1, health: {http: /, tcp: true}}}", "one of `http`, `tcp` and `command`"),
        ("services: {web: {port: 1, health: {http: up}}}", "must be a path such as `/healthz`"),
        ("services: {web: {image: nginx, build: .}}", "`image` and `build` exclude each other"),
        ("services: {web: {image: nginx, path: web}}", "`image` and `path` exclude each other"),
        ("services: {web: {build: ../up}}", "must be a path inside the repository"),
        ("services: {web: {build: /abs}}", "must be a path inside the repository"),
        ("services: {web: {command: a && b}}", "no shell runs this line"),
        ("services: {web: {command: []}}", "must name a program"),
        ("services: {web: {command: 'a \"b'}}", "cannot be split into words"),
        ("services: {web: {variables: {A-B: x}}}", "is no name of a variable"),
        ("services: {web: {variables: {A: {}}}}", "expected text, not a mapping"),
        ("services: {web: {read_only: 3}}", "expected true or false, not a number"),
        ("services: {web: {strategy: bluegreen}}", "is none of `rolling`, `recreate`"),
        ("services: {web: {resources: {memory: 1Mi}}}", "must be at least 6Mi"),
        ("services: {web: {resources: {cpu: lots}}}", "expected a number of processors"),
        ("services: {web: {stop_grace: 2h}}", "must be at most an hour"),
        ("services: {web: {writable: tmp}}", "must be an absolute path in the container"),
        ("services: {db: {}}\ndatabases: {db: {}}", "a service has this name too"),
        ("services: {web: {}}\ndatabases: {db: mysql}", "is none of `postgresql`"),
        ("services: {web: {}}\njobs: {m: {command: x}}", "jobs.m: `service` is missing"),
        ("services: {web: {}}\njobs: {m: {service: wbe, command: x}}", "no service `wbe` is described; did you mean `web`?"),
        ("services: {web: {}}\njobs: {m: {service: web, command: x, depends_on: n}}", "no job `n` is described"),
        ("services: {web: {}}\njobs: {m: {service: web, command: x, only: [review]}}", "`review` is none of `development`, `staging`"),
        ("databases: {db: {}}", "no service is described"),
        (f"services: {{{', '.join(f's{n}: {{}}' for n in range(51))}}}", "there are 51 services, and one environment has 50 at most"),
        (f"databases: {{{', '.join(f'd{n}: {{}}' for n in range(21))}}}", "there are 21 databases, and one environment has 20 at most"),
        ("services:\n\tweb: {}", "indentation must be spaces, and here is a tab"),
        ("services: {web: {", "not valid YAML"),
        ("services: !!python/object:os.system {}", "no service is described"),
        ("", "empty. Write slipway.yaml"),
        ("[" * 5000, "not valid YAML"),
        ("{a: " * 70 + "1" + "}" * 70, "nested deeper than 64 levels"),
        (f"services: {{web: {{watch: {'a/' * 300}}}}}", "is longer than 500 characters"),
        (f"services: {{web: {{depends_on: [{'x,' * 20_000}]}}}}", "more than 20000 keys and values"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    """Each mistake has words of its own."""
    assert problem in "\n".join(told(text))


def test_several_circles_are_each_told() -> None:
    """One circle does not hide another."""
    problems = told("services: {a: {depends_on: b}, b: {depends_on: a}, c: {depends_on: d}, d: {depends_on: c}}")
    assert len([problem for problem in problems if "circle" in problem]) == 2


def test_merge_keys_and_anchors() -> None:
    """YAML's own ways not to repeat oneself work; what is written beside a merge wins."""
    read = manifest.parse(b"services:\n  a: &a {port: 80, variables: {X: x}}\n  b:\n    <<: *a\n    port: 81\n")
    assert (read.services["b"].port, read.services["b"].variables) == (81, {"X": "x"})


def test_long_chains_of_merge_keys() -> None:
    """Each key comes from the nearest that has it, however many lie on the way."""
    chain = "".join(f"  x{number}: &a{number} {{<<: *a{number - 1}, variables: {{N: {number}}}}}\n" for number in range(1, 1500))
    problems = told(f"x:\n  x0: &a0 {{prot: 80}}\n{chain}services:\n  web: {{<<: *a1499}}\n")
    assert problems[-1].endswith("services.web.prot: unknown key `prot`; did you mean `port`?")


def _repeating(times: int, anchored: str, repeated: str) -> str:
    services = "".join(f"  s{number}: {{{repeated}}}\n" for number in range(times))
    return f"x: &a {anchored}\nservices:\n{services}"


@pytest.mark.parametrize(
    "text",
    [
        _repeating(200, "{" + ", ".join(f"k{number}: 1" for number in range(200)) + "}", "<<: *a"),
        _repeating(2000, "{" + ", ".join(f"port{number}: 1" for number in range(50)) + "}", "port: 1, <<: [*a, *a, *a, *a]"),
        _repeating(2000, f"[{', '.join(f's{number}' for number in range(1000))}]", "depends_on: *a"),
        _repeating(2000, f'"{"a " * 20_000}"', "command: *a"),
    ],
    ids=["merged keys", "merged again and again", "aliases", "a long text"],
)
@pytest.mark.timeout(20)
def test_little_that_stands_for_much_is_not_read_to_its_end(text: str) -> None:
    """What aliases and merge keys repeat counts each time that it is read, or is left at so many problems."""
    problems = told(text)
    assert "more than 20000 keys and values" in problems[0] or len(problems) == 200


@pytest.mark.timeout(20)
def test_a_few_problems_repeated_are_told_in_no_time() -> None:
    """Each reference to what is not there is looked up among what is, and told with some of it, not all."""
    text = _repeating(100, f"[{', '.join(f'y{number}' for number in range(100))}]", "depends_on: *a")
    problems = told(text)
    assert len(problems) == 200
    assert max(map(len, problems)) < 500
    with pytest.raises(ManifestInvalid, match="has at least 200 problems"):
        manifest.parse(text.encode())


def test_a_long_circle_is_told_in_short() -> None:
    """Its message does not hold every name on the way."""
    names = [f"service-{number}" for number in range(50)]
    services = ", ".join(f"{name}: {{depends_on: {after}}}" for name, after in zip(names, [*names[1:], names[0]], strict=True))
    (problem,) = told(f"services: {{{services}}}")
    assert "goes round in a circle: service-" in problem
    assert len(problem) < 500


def test_what_is_no_text() -> None:
    """Bytes that are not UTF-8, and a file that is too large."""
    with pytest.raises(ManifestInvalid, match="line 2, column 1: not UTF-8"):
        manifest.parse(b"services:\n  \xff: {}")
    with pytest.raises(ManifestInvalid, match="larger than 256 KiB"):
        manifest.parse(b"#" * 300_000)


def test_without_a_file() -> None:
    """The Dockerfile's port makes a service; without one it is said what to write."""
    described = dockerfile.parse("FROM a AS one\nEXPOSE 1\nFROM b\nEXPOSE 53/udp 8080/tcp 9090\n")
    assert {name: s.port for name, s in manifest.without_file(described).services.items()} == {"web": 8080}
    for missing in (None, dockerfile.parse("FROM a\n")):
        with pytest.raises(ManifestInvalid, match="services:\n  web:\n    port: 8080"):
            manifest.without_file(missing)
    with pytest.raises(ManifestInvalid, match=r"slipway\.yml: rename it"):
        manifest.without_file(described, "slipway.yml")


def test_long_lists_of_problems_are_cut() -> None:
    """A file of something else does not fill a screen."""
    text = "\n".join(f"key{number}: 1" for number in range(100))
    with pytest.raises(ManifestInvalid, match=r"has 100 problems[\s\S]*… and 80 more"):
        manifest.parse(text.encode())


_WORDS = st.sampled_from(
    [
        "services",
        "web",
        "port",
        "health",
        "http",
        "<<",
        "*a",
        "&a",
        ":",
        "-",
        "{",
        "}",
        "[",
        "]",
        "\n",
        "\n  ",
        "\n    ",
        "80",
        "'",
        '"',
        "!!",
        "#",
        "\t",
        "jobs",
    ]
)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_no_bytes_crash_it(content: bytes) -> None:
    """Any bytes are a manifest or invalid."""
    _manifest_or_invalid(content)


@given(st.lists(_WORDS, max_size=40))
@settings(max_examples=500, deadline=None)
def test_nothing_like_yaml_crashes_it(words: list[str]) -> None:
    """Neither does what is nearly YAML."""
    _manifest_or_invalid(" ".join(words).encode())


_TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["services", "web", *"abc", "build", "health", "port", "jobs", "databases", "command", "depends_on", "domains"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["services", "databases", "jobs"]), st.dictionaries(st.sampled_from(["web", "db", "a"]), _TREES, max_size=3)
    )
)
@settings(max_examples=300, deadline=None)
def test_no_tree_crashes_it(tree: dict[str, object]) -> None:
    """Wrong types anywhere are problems."""
    import yaml

    _manifest_or_invalid(yaml.safe_dump(tree).encode())


def _manifest_or_invalid(content: bytes) -> None:
    try:
        read = manifest.parse(content)
    except ManifestInvalid as found:
        invalid = found
    else:
        assert isinstance(read, Manifest)
        return
    assert str(invalid)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in invalid.problems)
