"""The variants without a database. `base` is the reference of the image `shell`."""

from tests.apps.repository import App
from tests.apps.web import PORT, dockerfile, manifest, web

_WORK = """\
#!/bin/sh
trap 'echo worker stops; exit 0' TERM
count=0
while true; do
    count=$((count + 1))
    echo "version $VERSION did piece $count"
    sleep 0.2 &
    wait $!
done
"""


def good(base: str, *, version: str = "1", colour: str = "blue", variable: str | None = None) -> App:
    """Starts at once and is healthy; `variable` is put into the manifest as VARIABLE, which it echoes."""
    lines = () if variable is None else (f'variables: {{VARIABLE: "{variable}"}}',)
    return web("good", base, version=version, colour=colour, text=manifest(*lines))


def crashing(base: str, *, version: str = "2") -> App:
    """Prints three lines and ends with exit code 3."""
    script = "#!/bin/sh\necho reading the configuration\necho cannot find /etc/app.conf >&2\necho giving up\nexit 3\n"
    return web("crashing", base, version=version).with_file("app/serve.sh", script)


def on_another_port(base: str, *, version: str = "2", listens: int = 9090) -> App:
    """Listens on another port than its manifest says."""
    return web("on-another-port", base, version=version, listen=listens)


def never_healthy(base: str, *, version: str = "2") -> App:
    """Answers everything but its health check, which is always 500."""
    script = "#!/bin/sh\nprintf 'Status: 500 Internal Server Error\\r\\n\\r\\nthe cache is cold\\n'\n"
    text = manifest("health: {http: /cgi-bin/health, start_period: 1s, interval: 100ms}")
    return web("never-healthy", base, version=version, text=text).with_file("app/www/cgi-bin/health", script)


def memory_hungry(base: str, *, version: str = "2") -> App:
    """Takes memory until the kernel kills it at its limit of 64 MB."""
    script = "#!/bin/sh\necho loading the model\nexec tail /dev/zero\n"
    return web("memory-hungry", base, version=version).with_file("app/serve.sh", script)


def slow_start(base: str, *, version: str = "2", seconds: float = 1.5) -> App:
    """Listens only after some seconds, within its start period."""
    app = web("slow-start", base, version=version)
    return app.with_text("app/serve.sh", "#!/bin/sh\n", f"#!/bin/sh\necho warming up\nsleep {seconds}\n")


def broken_build(base: str, *, version: str = "2") -> App:
    """A build step prints two lines and ends with exit code 7."""
    step = "RUN echo compiling; echo 'main.c:3: unknown type name' >&2; exit 7\n"
    return web("broken-build", base, version=version, more=step)


def greedy_build(base: str, *, version: str = "2", megabytes: int = 1024) -> App:
    """A build step takes this much memory and then ends well: only a limit below it stops the build."""
    step = f"RUN head -c {megabytes}m /dev/zero | tail | wc -c\n"
    return web("greedy-build", base, version=version, more=f"RUN echo {version}\n{step}")


def worker(base: str, *, version: str = "1") -> App:
    """A service without a port: prints a line five times a second until SIGTERM."""
    text = "services:\n  worker:\n    resources: {memory: 64Mi}\n"
    app = web("worker", base, version=version, text=text).with_file("app/serve.sh", _WORK)
    return App(app.name, {path: text for path, text in app.files.items() if not path.startswith("app/www")})


def monorepo(base: str, *, api: str = "1", site: str = "1") -> App:
    """Two services in folders of one repository, each with its own version; `site` waits for `api`."""
    text = "services:\n"
    files: dict[str, str] = {}
    for name, version in (("api", api), ("site", site)):
        one = manifest(f"build: {{context: {name}}}", *(["depends_on: [api]"] if name == "site" else []), name=name)
        text += one.removeprefix("services:\n")
        parts = web(name, base, version=version, colour=name).files
        files |= {f"{name}/{path}": content for path, content in parts.items() if path != "slipway.yaml"}
    return App("monorepo", {"slipway.yaml": text, **files})


def with_build_inputs(base: str, *, version: str = "1", colour: str = "green") -> App:
    """Takes its colour from a build argument, and proves by a checksum at `/secret` that it saw the build secret TOKEN."""
    lines = (f"build: {{args: {{SHADE: {colour}}}, secrets: [TOKEN]}}",)
    step = (
        "ARG SHADE=none\nENV COLOUR=${SHADE}\n"
        "RUN --mount=type=secret,id=TOKEN sha256sum </run/secrets/TOKEN | cut -d' ' -f1 >/app/www/secret\n"
    )
    app = web("with-build-inputs", base, version=version, text=manifest(*lines))
    return app.with_file("Dockerfile", dockerfile(base, version=version, colour="none", listen=PORT, more=step))
