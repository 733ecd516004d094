"""What `make demo` shows, act by act. Each promise is looked at before it is said to be kept."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.demo import payload
from examples.demo.application import Application
from examples.demo.checkout import Checkout
from examples.demo.failures import DemoFailed
from examples.demo.forge import Forge
from examples.demo.programs import Programs
from examples.demo.promises import CONNECTION, PROJECT, Stage, answers, application_of, counted, delivered, deployment_of, remembers
from examples.demo.terminal import Terminal
from examples.demo.visitors import visiting

_SETTINGS = ("SLIPWAY_HOME", "SLIPWAY_HTTP", "SLIPWAY_WEB_PORT", "SLIPWAY_HTTPS_PORT", "SLIPWAY_NATS_PORT")

_OTHER_PORTS = """\
  export SLIPWAY_HTTP=127.0.0.1:9080 SLIPWAY_WEB_PORT=9081
  export SLIPWAY_HTTPS_PORT=9443 SLIPWAY_NATS_PORT=9422
  make demo"""


def tell(terminal: Terminal) -> None:
    """The whole story; raises `DemoFailed` where it goes otherwise."""
    terminal.title(
        "Slipway shows itself",
        "A todo list (Node.js and PostgreSQL) is deployed by a push to a forge, released\nanew under load, and kept from a broken commit.",
    )
    programs = Programs(terminal)
    platform = start(terminal, programs)
    folder = Path(platform["home"]) / "demo"
    checkout = Checkout(folder / "todo", programs)
    checkout.prepare()
    with Forge(folder / "forge").serving() as forge:
        stage = Stage(terminal, programs, checkout, forge, platform)
        application, version = forge_push(stage)
    application = own_push(stage, application, version)
    bad_push(stage, application)
    ending(stage, application)


def start(terminal: Terminal, programs: Programs) -> dict[str, Any]:
    """Act 1: the platform, where it does not run yet."""
    terminal.act("Start the platform")
    found: dict[str, Any] = programs.ask("status", may_fail=True)
    if found.get("supervisor") is not None:
        terminal.fact(f"It runs already at {found['url']}.")
    else:
        remedy = "Each line above says what to do. All ports may be others:\n\n" + _OTHER_PORTS
        programs.must("slipway", "up", "--detach", remedy=remedy)
    with terminal.waiting("looking at the processes"):
        found = programs.ask("status")
    memory = sum(process["memory_mb"] for process in found["processes"])
    terminal.fact(f"{len(found['processes'])} processes are ready and take {memory:.0f} MB; NATS and PostgreSQL are among them.")
    return found


def forge_push(stage: Stage) -> tuple[Application, str]:
    """Act 2: a forge tells of a push by a signed delivery."""
    stage.terminal.act("A push to GitHub")
    stage.terminal.say(
        "GitHub cannot reach this machine, so a bare repository on loopback stands in\n"
        "for it. Its deliveries have GitHub's form and signature; the rest is real."
    )
    connect(stage)
    version, commit = stage.checkout.commit_good("Keep a list of things to do")
    stage.checkout.point("origin", stage.forge.clone_url)
    stage.programs.must("git", "push", "--quiet", "origin", "main", folder=stage.checkout.folder)
    delivered(stage)
    deployment = deployment_of(stage, commit)
    stage.programs.must("slipway", "logs", "--follow", deployment["id"], remedy=f"Why: slipway explain {deployment['id']}")
    application = application_of(stage, deployment["id"])
    answers(stage, application, version)
    remembers(stage, application)
    return application, version


def connect(stage: Stage) -> None:
    """Project, environment, the connection, and whose account pushes: each made where it is missing."""
    programs = stage.programs
    if PROJECT not in {item["slug"] for item in programs.ask("project", "list")["items"]}:
        programs.must("slipway", "project", "create", PROJECT)
    if not programs.ask("environment", "list", "--project", PROJECT)["items"]:
        programs.must("slipway", "environment", "create", "production", "--project", PROJECT, "--ref", "main")
    if CONNECTION in {item["name"] for item in programs.ask("connections", "list")["items"]}:
        programs.ask("connections", "remove", CONNECTION)
    words = ("connections", "add", CONNECTION, stage.forge.clone_url, "--project", PROJECT)
    stage.terminal.command("slipway", *words)
    made = programs.ask(*words)
    stage.terminal.quoted(f"Webhook address: {made['hook_url']}\nSecret:          {made['secret'][:6]}…, now in the stand-in's settings")
    stage.forge.hook(made["hook_url"], made["secret"])
    me, server = programs.ask("whoami")["id"], f"github:{stage.forge.host}"
    if f"{server}:{payload.LOGIN}" not in _accounts(programs):
        programs.must("slipway", "people", "link", me, server, payload.LOGIN, "--account-id", str(payload.ACCOUNT))


def own_push(stage: Stage, application: Application, before: str) -> Application:
    """Act 3: Slipway's own remote, while people use the application."""
    stage.terminal.act("A push to Slipway itself")
    stage.terminal.say(
        "The next version, pushed to Slipway's own git remote, while two visitors ask the\nformer version for its list all the time."
    )
    version, commit = stage.checkout.commit_good("Keep the list tidier")
    with visiting(application) as tally:
        stage.programs.must("slipway", "push", "--project", PROJECT, folder=stage.checkout.folder)
        deployment = deployment_of(stage, commit)
    application = application_of(stage, deployment["id"])
    answers(stage, application, version)
    counted(stage, tally, {before, version})
    if tally.by_version[version] == 0:
        raise DemoFailed(f"No visitor ever saw version {version}.")
    return application


def bad_push(stage: Stage, application: Application) -> None:
    """Act 4: a commit that fails its health check, and what becomes of it."""
    stage.terminal.act("A commit that is broken")
    before, serving = application.todos(), application.get("/api/version")[1]
    _, commit = stage.checkout.commit_bad("Sort by priority")
    stage.terminal.say(
        "The health check now asks for a column that no migration has added. The remote\nis there since the last push: from here on, plain git does."
    )
    stage.terminal.quoted(stage.checkout.difference())
    with visiting(application) as tally:
        stage.programs.must("git", "push", "slipway", "main", folder=stage.checkout.folder)
        deployment = deployment_of(stage, commit)
    if deployment["state"] != "rolled_back":
        raise DemoFailed(f"The deployment is {deployment['state']}, not rolled back.", f"Why: slipway explain {deployment['id']}")
    counted(stage, tally, {serving})
    if application.todos() != before:
        raise DemoFailed("The list is not what it was before the broken commit.")
    stage.terminal.fact(f"Version {serving} answers as before, with all {len(before)} entries of its list.")


def ending(stage: Stage, application: Application) -> None:
    """What to try next."""
    terminal = stage.terminal
    terminal.act("Your turn")
    stage.programs.ask("connections", "remove", CONNECTION)
    terminal.say(
        f"All of this took {terminal.seconds:.0f} s. The platform goes on, and so does the application; the\nstand-in for GitHub has ended, and its connection is removed."
    )
    token = Path(stage.platform["home"]) / "token"
    terminal.say("Look:")
    terminal.table([("the todo list", application.url), ("the console", stage.platform["url"]), ("its token", f"cat {token}")])
    terminal.say("Go on from here:")
    for line in (*_at_hand(), f"cd {stage.checkout.folder}"):
        terminal.typed(line)
    terminal.say("and try:")
    terminal.table(
        [
            ("slipway status", "what runs"),
            ("slipway explain", "what caused what in the last deployment, with times"),
            ("slipway deployments list", "all of them"),
            ("slipway logs", "what the last one printed"),
            ("slipway rollback", "back to the release before"),
            ("git push slipway main", "after a commit of yours: the next release"),
            ("slipway trust", "have this machine's programs trust the local CA"),
            ("slipway down", "stop the platform; the application goes on"),
            ("slipway down --all", "stop everything; the data stay"),
        ]
    )


def _at_hand() -> Iterator[str]:
    """What a shell needs first: the program, and the variables that the demo was given."""
    folder = Path(sys.executable).parent
    if str(folder) not in os.environ.get("PATH", "").split(os.pathsep):
        yield f"source {folder / 'activate'}"
    given = [f"{name}={shlex.quote(value)}" for name, value in sorted(os.environ.items()) if name in _SETTINGS]
    if given:
        yield "export " + " \\\n       ".join(given)


def _accounts(programs: Programs) -> set[str]:
    return {account for person in programs.ask("people", "list")["items"] for account in person["accounts"]}
