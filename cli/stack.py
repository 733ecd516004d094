"""`slipway up`, `down`, `status`: the embedded stack on this machine."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import Failed
from cli.patience import patience
from cli.session import command, session
from cli.settings import Settings

if TYPE_CHECKING:
    from embedded.display import LiveProgress
    from embedded.preflight import Finding, PreflightFailed
    from embedded.progress import Progress, Report
    from embedded.settings import Settings as PlatformSettings
    from embedded.status import Status


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for name, function in (("up", up), ("down", down), ("status", status)):
        command(app, name)(function)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once it is ready.")] = False,
) -> None:
    """Start the platform and keep it going; Ctrl-C ends it, applications go on."""
    from embedded import supervisor
    from embedded.display import LiveProgress
    from embedded.preflight import PreflightFailed

    current, settings = session(), settings_of_platform()
    _warn()
    try:
        if current.as_json:
            started = supervisor.up(settings, detach=detach, report=_print_progress)
        else:
            with LiveProgress(current.err) as live:
                started = supervisor.up(settings, detach=detach, report=_telling(live, detach=detach))
    except PreflightFailed as error:
        raise Failed(f"Slipway was not started.\n{_findings(error)}", code="preflight") from error
    except supervisor.StartFailed as error:
        raise Failed(f"Slipway did not come up: {error}", "See what is wrong: slipway doctor", code="start") from error
    except supervisor.SupervisorEnded as error:
        raise Failed(f"Slipway ended by itself: {error}", "Start it again: slipway up", code="ended") from error
    if detach:
        text = f"Slipway is ready at {started.url} after {started.seconds:.1f} s.\nToken: {started.token_file}"
        current.show({"url": started.url, "seconds": started.seconds, "pid": started.pid, "token_file": started.token_file}, text)


def settings_of_platform() -> "PlatformSettings":
    """What the user has set of the embedded stack. Raises `Failed` with every variable that cannot be read."""
    from embedded.preflight import PreflightFailed, read_settings

    try:
        return read_settings()
    except PreflightFailed as error:
        raise Failed(f"The settings are wrong.\n{_findings(error)}", code="settings") from error


def misspelt_settings() -> "tuple[Finding, ...]":
    """Variables of the environment that look like settings of the platform or of the command line, and are none."""
    from embedded.preflight import misspelt

    return misspelt(Settings)


def _warn() -> None:
    """What is wrong and keeps nothing from starting."""
    for finding in misspelt_settings():
        if session().as_json:
            print(json.dumps({"warning": asdict(finding)}), file=sys.stderr)
        else:
            session().err.print(Text.assemble(("! ", "bold yellow"), f"{finding.problem}. {finding.remedy}"))


def _findings(failed: "PreflightFailed") -> str:
    return "\n".join(f"  {finding.problem} ({finding.where})\n    → {finding.remedy}" for finding in failed.findings)


def _print_progress(progress: "Progress") -> None:
    print(json.dumps(asdict(progress)), flush=True)


def _telling(live: "LiveProgress", *, detach: bool) -> "Report":
    """Passes on; once the platform is there, says where and stops redrawing."""

    def report(progress: "Progress") -> None:
        live(progress)
        if progress.part == "slipway" and progress.state == "ready" and not detach:
            live.__exit__(None, None, None)
            current = session()
            ready = f"Ready at {current.settings.base_url} after {progress.seconds:.1f} s. Ctrl-C ends it; applications go on."
            current.err.print(Text(ready, style="green"))

    return report


def down(
    everything: Annotated[bool, typer.Option("--all", help="Also applications, databases and the load balancer. Volumes stay.")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", help="With --all: the data of all databases, too.")] = False,
) -> None:
    """Stop the platform. Applications go on unless --all is given."""
    from embedded import engine, supervisor

    if volumes and not everything:
        raise typer.BadParameter("--volumes goes with --all")
    with patience("ending"):
        try:
            ended = supervisor.down(settings_of_platform(), everything=everything, volumes=volumes)
        except supervisor.EndFailed as error:
            raise Failed(str(error), "Look at it: slipway status", code="end") from error
        except engine.EngineError as error:
            what = f"Slipway is stopped, but not all that it has on the engine is removed. {error.problem}."
            raise Failed(what, error.remedy, code="engine") from error
    first = "Slipway is stopped." if ended.was_running else "Slipway was not running."
    second = f" Removed {len(ended.containers)} containers, {len(ended.networks)} networks, {len(ended.volumes)} volumes."
    session().show(asdict(ended), first + (second if everything else " Applications go on." if ended.was_running else ""))


def status() -> None:
    """Say what runs. Status 1 where the platform is not ready."""
    from embedded.status import status as look

    found = look(settings_of_platform())
    if session().as_json:
        session().show(asdict(found))
    else:
        _draw(found)
    if not found.ready:
        remedy = "Start it: slipway up" if found.supervisor is None else f"See {found.home}/logs/"
        raise Failed("The platform is not running." if found.supervisor is None else "The platform is not ready.", remedy, code="not-ready")


def _draw(found: "Status") -> None:
    out = session().out
    out.print(Text.assemble((found.url, "bold"), f"  {found.instance}  {found.engine or 'no container engine'}"))
    processes = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("", "Process", "Pid", "Restarts", "Memory"):
        processes.add_column(title)
    for process in found.processes:
        mark = Text("✓", "green") if process.ready else Text("✗", "red")
        memory = f"{process.memory_mb:.0f} MB"
        processes.add_row(mark, process.name, str(process.pid or process.state), str(process.restarts), memory)
    if found.processes:
        out.print(processes)
    containers = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("", "Container", "Role", "Status"):
        containers.add_column(title)
    for container in found.containers:
        mark = Text("✓", "green") if container.state == "running" else Text("✗", "red")
        containers.add_row(mark, container.name, container.role, container.status)
    if found.containers:
        out.print(containers)
    for seen in filter(None, (found.engine_trouble, *found.attention)):
        out.print(Text.assemble(("! ", "bold yellow"), seen.what))
        out.print(Text(f"  → {seen.remedy}"))
