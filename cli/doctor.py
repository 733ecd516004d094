"""`slipway doctor`: what is wrong with this machine, the platform, your access, and what runs; and mending the last."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from cli.answers import Json
from cli.failures import Failed
from cli.patience import patience
from cli.session import command, session
from cli.stack import misspelt_settings, settings_of_platform

_ENDS_SOON = timedelta(days=90)
"""So long before the end of an authority it is told of: what it signs is valid for as long."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "doctor")(doctor)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str
    remedy: str = ""


def doctor(
    mend: Annotated[bool, typer.Option("--mend", help="Set right what differs from the records; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --mend: do not ask.")] = False,
) -> None:
    """Look for what is wrong with this machine, the platform, your access to it, and what runs of your environments."""
    current = session()
    if yes and not mend:
        raise typer.BadParameter("--yes goes with --mend")
    if mend and not yes and current.as_json:
        raise typer.BadParameter("--json cannot ask: --mend needs --yes")
    findings = [_python(), _git(), *_settings(), *_platform(), *_authorities(), _access()]
    for finding in findings:
        _say(finding)
    examined = list(_examined()) if findings[-1].good else []
    done: list[str] = []
    if mend and any(_mendable(each) for each in examined) and (yes or _agreed(examined)):
        done = _mend(examined)
        examined = list(_examined())
    if current.as_json:
        current.show({"findings": [asdict(finding) for finding in findings], "targets": examined, "done": done})
    if any(each["differences"] for each in examined):
        hint = "Set it right: slipway doctor --mend" if any(_mendable(each) for each in examined) else "See what to do by hand above."
        raise Failed("What runs is not as recorded.", hint, code="differs")
    if not all(finding.good for finding in findings) or any("error" in each for each in examined):
        raise Failed("Something is wrong; see above.", code="unwell")


def _say(finding: Finding) -> None:
    current = session()
    if current.as_json:
        return
    mark = ("✓", "green") if finding.good else ("✗", "red")
    current.out.print(Text.assemble(mark, f" {finding.what}: ", (finding.detail, "dim")))
    if not finding.good and finding.remedy:
        current.out.print(Text(f"  → {finding.remedy}"))


def _examined() -> Iterator[Json]:
    """Each target's examination; what it found is said."""
    current = session()
    for target in current.api.items("/targets"):
        with patience(f"looking at what runs on {target['name']}"):
            try:
                found = current.api.get(f"/targets/{target['name']}/examination")
            except Failed as failed:
                _say(Finding(f"target {target['name']}", good=False, detail=failed.message, remedy=failed.remedy))
                found = {"target": target["name"], "places": 0, "differences": [], "held": [], "done": [], "error": failed.message}
        _tell(found)
        yield found


def _tell(found: Json) -> None:
    differences, environments = found["differences"], f"{found['places']} environment{'' if found['places'] == 1 else 's'}"
    if not found.get("error"):
        count = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
        good = f"{environments}, as recorded" if not differences else f"{environments}, {count} from the record"
        _say(Finding(f"target {found['target']}", not differences, good))
    for held in found["held"]:
        _line(f"  {_place(held['place'])}: left out, deployment {held['deployment']} is {held['state'].replace('_', ' ')}", "yellow")
    for each in differences:
        _line(f"  {_place(each['place'])}  {each['kind']} {each['name']} {each['what']}")
        _line(f"    → {'' if not each['mendable'] else 'mending: '}{each['remedy']}", "dim")


def _agreed(examined: list[Json]) -> bool:
    count = sum(len(_mendable(each)) for each in examined)
    return typer.confirm(f"Set {'this' if count == 1 else f'these {count}'} right now?", default=False, err=True)


def _mend(examined: list[Json]) -> list[str]:
    """One environment after the other; what was done. One that cannot be mended now keeps none of the others from it."""
    done: list[str] = []
    for found in examined:
        wanted = {_place(each["place"]): each["place"] for each in _mendable(found)}
        for name, place in wanted.items():
            try:
                with patience(f"mending {name}"):
                    answer = session().api.post(f"/targets/{found['target']}/mend", {"place": place})
            except Failed as failed:
                _line(f"  ✗ {name}: {failed.message}", "red")
                continue
            for line in answer["done"]:
                _line(f"  ✓ {line}", "green")
            done += answer["done"]
    return done


def _mendable(found: Json) -> list[Json]:
    return [each for each in found["differences"] if each["mendable"]]


def _place(place: Json | None) -> str:
    return "no environment" if place is None else f"{place['organization']}/{place['project']}/{place['environment']}"


def _line(text: str, style: str = "") -> None:
    if not session().as_json:
        session().out.print(Text(text, style=style))


def _python() -> Finding:
    version = sys.version.split()[0]
    return Finding("Python", sys.version_info >= (3, 11), version, "Slipway needs Python 3.11 or newer.")


def _git() -> Finding:
    path = shutil.which("git")
    return Finding("git", path is not None, path or "not found", "Install it: apt-get install git")


def _settings() -> list[Finding]:
    return [Finding("settings", good=False, detail=each.problem, remedy=each.remedy) for each in misspelt_settings()]


def _platform() -> list[Finding]:
    """The platform where it runs; else what stands in the way of its start."""
    from embedded.preflight import examine
    from embedded.status import status as look

    settings = settings_of_platform()
    found = look(settings)
    if found.supervisor is None:
        obstacles = [Finding("start", good=False, detail=f"{f.problem} ({f.where})", remedy=f.remedy) for f in examine(settings)]
        return [*obstacles, Finding("platform", good=False, detail="not running", remedy="Start it: slipway up")]
    unready = [process.name for process in found.processes if not process.ready]
    detail = f"not ready: {', '.join(unready)}" if unready else f"{len(found.processes)} processes are ready"
    trouble = found.engine_trouble
    engine = Finding("container engine", not trouble, trouble.what if trouble else str(found.engine), trouble.remedy if trouble else "")
    seen = [Finding("waits for you", good=False, detail=each.what, remedy=each.remedy) for each in found.attention]
    return [engine, Finding("platform", not unready, detail, f"See {found.home}/logs/"), *seen]


def _authorities() -> Iterator[Finding]:
    """What ends soon and nothing renews: people's trust hangs on the one, running services on the other."""
    from cryptography import x509

    from embedded.home import Home

    home = Home.at(settings_of_platform().home)
    for folder, then in ((home.ca, "slipway up, slipway trust"), (home.tls, "slipway up")):
        path = folder / "ca.pem"
        try:
            ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except OSError:  # not there yet, or somebody else's
            continue
        except ValueError:
            detail = "is no certificate"
        else:
            if ends - datetime.now(UTC) > _ENDS_SOON:
                continue
            detail = f"ends on {ends:%Y-%m-%d}"
        yield Finding("certificate authority", good=False, detail=f"{path} {detail}", remedy=f"slipway down, remove {path}, {then}")


def _access() -> Finding:
    try:
        me = session().api.get("/me")
    except Failed as failed:
        return Finding("access", good=False, detail=failed.message, remedy=failed.remedy)
    return Finding("access", good=True, detail=f"{session().settings.base_url} as {me['name']}")
