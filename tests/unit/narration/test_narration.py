"""Events of a deployment as the lines that a person reads."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.commands import Direction
from shared.contracts.events import Event, Stage
from shared.contracts.logs import LogLines
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import CandidateFailed
from shared.narration import LineKind, Narrator
from shared.plain import LONGEST, PlainText, duration
from shared.printable import printable

START = datetime(2026, 1, 1, tzinfo=UTC)
FAILURE = Failure(code="exited", message="web exited with code 1.\nLook at its log.", log_tail=("Error: no module 'pg'",))


class Story:
    """Numbers events and draws what the narrator makes of them."""

    def __init__(self) -> None:
        self.narrator = Narrator("01k")
        self.plain = PlainText()
        self.number = 0

    def event(
        self, fact: f.Fact, step: str | None = None, outcome: str | None = None, *, at: float = 0.0, stage: Stage | None = None
    ) -> Event:
        """The next event."""
        self.number += 1
        made = Event.of(fact, "main", "todo", "production", deployment="01k", step=step, outcome=outcome, sequence=self.number, stage=stage)
        return made.model_copy(update={"time": START + timedelta(seconds=at)})

    def tell(self, *events: Event | LogLines) -> list[str]:
        """Their text."""
        lines = [line for one in events for line in (self.narrator.event(one) if isinstance(one, Event) else self.narrator.log_lines(one))]
        return [text for line in lines for text in self.plain.draw(line)]


def _created(story: Story) -> Event:
    fact = e.DeploymentCreated(
        kind=ReleaseKind.DEPLOY,
        environment_kind=EnvironmentKind.PRODUCTION,
        target="local",
        ref="refs/heads/main",
        commit="3f2a91c0" * 5,
        title="Add a due date",
    )
    return story.event(fact)


def _logs(first: int, *lines: str) -> LogLines:
    return LogLines(deployment="01k", step="build-web", direction=Direction.DO, attempt=1, first=first, lines=lines)


def test_a_deployment_that_succeeds_reads_like_this() -> None:
    """Stages, steps with their times, the build's log, and the address at the end."""
    story = Story()
    told = story.tell(
        _created(story),
        story.event(e.StepStarted(attempt=1, title="check permissions"), "authorise", at=0.1),
        story.event(f.DeploymentAuthorized(rule="deployer on project/main/todo"), "authorise", "done", at=0.2),
        story.event(e.StepStarted(attempt=1, title="build image web"), "build-web", at=1),
        _logs(1, "#1 FROM node", "#2 \x1b[32mRUN npm ci\x1b[0m"),
        story.event(f.ImageBuilt(service="web", image="x", size_bytes=83_000_000), "build-web", "done", at=4.2),
        story.event(e.StepStarted(attempt=1, title="switch traffic web"), "switch-web", at=5),
        story.event(f.TrafficSwitched(service="web"), "switch-web", "done", at=5.06),
        story.event(e.DeploymentSucceeded(urls=("https://web.localhost:8443",), seconds=5.1)),
    )
    assert told == [
        "",
        "──── todo/production ───────────────────────────────────",
        "      3f2a91c0 of main “Add a due date”",
        "",
        "  Auth",
        "    ✓ check permissions (deployer on project/main/todo)    0.1s",
        "",
        "  Build",
        "    • build image web",
        "      │ #1 FROM node",
        "      │ #2 RUN npm ci",
        "    ✓ build image web (83 MB)                       3.2s",
        "",
        "  Deploy",
        "    ✓ switch traffic web                            0.1s",
        "",
        "  ✓ Live in 5.1s",
        "    https://web.localhost:8443",
    ]
    assert story.narrator.outcome == "succeeded"


def test_what_changes_nothing_reads_like_this() -> None:
    """The notes say what stays, and the end that there was nothing to do."""
    story = Story()
    told = story.tell(
        _created(story),
        story.event(e.BuildPlanned(built=(), unchanged=("web",))),
        story.event(e.DeploymentPlanned(steps=(), notes=("service web: unchanged, keeps release 3 (1f0c33aa)",))),
        story.event(e.DeploymentSucceeded(urls=("https://web.localhost:8443",), releases={"web": "r3"}, seconds=1.2, changed=False)),
    )
    assert told[3:] == [
        "    ! service web: unchanged, keeps release 3 (1f0c33aa)",
        "",
        "  ✓ Nothing to do: all of it runs already",
        "    https://web.localhost:8443",
    ]


def test_a_deployment_that_is_rolled_back_reads_like_this() -> None:
    """What failed with its log, each undo, and what cannot come back."""
    story = Story()
    told = story.tell(
        story.event(e.StepStarted(attempt=1, title="check container web"), "check-container-web"),
        story.event(e.StepRetried(attempt=2, reason="the worker went away"), "check-container-web"),
        story.event(CandidateFailed(failure=FAILURE), "check-container-web", "failed", at=12),
        story.event(e.CompensationStarted(epoch=2, reason="check container web: web exited with code 1.", failure=FAILURE)),
        story.event(e.UndoStarted(attempt=1, title="deploy container web"), "deploy-container-web", at=12),
        story.event(f.ContainerRemoved(service="web"), "deploy-container-web", "undone", at=12.3),
        story.event(f.JobUndone(job="migrate", ran_undo=False), "run-job-migrate", "undone", at=12.4),
        story.event(e.DeploymentRolledBack(reason="x", failure=FAILURE, seconds=75, kept=("Rows that 0002 wrote stay.",))),
    )
    assert told == [
        "",
        "  Deploy",
        "    ↻ check container web: attempt 2 (the worker went away)",
        "    ✗ check container web                          12.0s",
        "      web exited with code 1.",
        "      Look at its log.",
        "      │ Error: no module 'pg'",
        "",
        "  Rolling back",
        "    ↩ deploy container web                          0.3s",
        f"    ↩ {story.narrator.title('run-job-migrate')}: its container is gone; rows that it wrote stay",
        "",
        "  ✗ Rolled back in 1m 15s",
        "      The environment runs what it ran before.",
        "      web exited with code 1.",
        "      Look at its log.",
        "    ! Rows that 0002 wrote stay.",
        "    → slipway explain 01k",
    ]


def test_a_cancel_that_goes_back_says_so() -> None:
    """Its reason was not told before."""
    story = Story()
    told = story.tell(story.event(e.CompensationStarted(epoch=2, reason="cancelled by Ada\nand more")))
    assert told == ["", "  Rolling back: cancelled by Ada"]


def test_lines_fit_a_terminal() -> None:
    """Also behind git's `remote: `; what a step has to say goes below it where it is long."""
    story, rule = Story(), "admin on organization main may deploy to production"
    why = "web did not become healthy within 10 s and 3 tries: GET /healthz on port 3000 answers with status 503"
    told = story.tell(
        story.event(e.StepStarted(attempt=1, title="check permissions"), "authorise"),
        story.event(f.DeploymentAuthorized(rule=rule), "authorise", "done", at=0.1),
        story.event(e.DeploymentRolledBack(reason=why, seconds=17)),
    )
    assert told[2:4] == ["    ✓ check permissions                             0.1s", f"      {rule}"]
    assert "      web did not become healthy within 10 s and 3 tries: GET /healthz" in told
    assert "      on port 3000 answers with status 503" in told
    assert max(map(len, told)) <= LONGEST


def test_a_stage_is_named_when_it_has_something_to_show() -> None:
    """Steps of two stages may begin at once; what only begins shows nothing."""
    story = Story()
    told = story.tell(
        story.event(e.StepStarted(attempt=1, title="push image web"), "push-web"),
        story.event(e.StepStarted(attempt=1, title="deploy container web"), "deploy-container-web"),
        story.event(f.ImagePushed(service="web", image="x"), "push-web", "done", at=1, stage=Stage.BUILD),
        story.event(f.ContainerDeployed(service="web", container="c"), "deploy-container-web", "done", at=2),
    )
    assert [line.strip().split("  ")[0] for line in told if line] == ["Build", "✓ push image web", "Deploy", "✓ deploy container web"]


def test_a_log_that_was_shown_is_not_repeated_when_its_step_fails() -> None:
    """The tail is for those who did not see the log."""
    story = Story()
    shown = story.tell(
        story.event(e.StepStarted(attempt=1, title="build image web"), "build-web"),
        _logs(1, "Error: no module 'pg'"),
        story.event(CandidateFailed(failure=FAILURE), "build-web", "failed"),
    )
    assert sum("no module" in line for line in shown) == 1


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=6))
def test_any_order_and_repetition_tells_the_same(order: list[int], again: list[int]) -> None:
    """Events are told by their sequence number, once."""
    story = Story()
    events = [
        _created(story),
        story.event(e.StepStarted(attempt=1, title="inspect source"), "inspect"),
        story.event(f.ImagePushed(service="web", image="x"), "inspect", "done", at=1),
        story.event(e.DeploymentSucceeded(seconds=1)),
    ]
    in_order = Narrator("01k")
    expected = [line for one in events for line in in_order.event(one)]
    narrator = Narrator("01k")
    told = [line for number in [*order, *again] for line in narrator.event(events[number])]
    assert told == expected
    assert narrator.outcome == "succeeded"
    assert not narrator.has_gap


def test_a_gap_can_be_skipped() -> None:
    """The reader decides how long it waits."""
    story = Story()
    story.event(e.DeploymentQueued())
    later = story.event(e.DeploymentSucceeded(seconds=1))
    assert story.narrator.event(later) == ()
    assert story.narrator.has_gap
    assert [line.kind for line in story.narrator.skip_gap()] == [LineKind.SUCCEEDED]


def test_log_lines_that_come_again_are_told_once() -> None:
    """By attempt and number; another attempt begins anew."""
    narrator = Narrator("01k")
    first = [line.text for line in narrator.log_lines(_logs(1, "a", "b"))]
    second = [line.text for line in narrator.log_lines(_logs(2, "b", "c"))]
    assert (first, second, narrator.log_lines(_logs(1, "a"))) == (["a", "b"], ["c"], ())
    assert len(narrator.log_lines(_logs(1, "a").model_copy(update={"attempt": 2}))) == 1


def test_waiting_for_approval_says_how_to_approve() -> None:
    """Whoever tells it can leave, and come back when it goes on."""
    story = Story()
    told = story.tell(story.event(f.ApprovalRequested(rule="production asks for approval"), "authorise"))
    assert told[-2:] == ["    … waits for approval: production asks for approval", "    → slipway approve 01k"]
    assert story.narrator.waits_for_people
    story.tell(story.event(f.DeploymentApproved(by="Ada")))
    assert not story.narrator.waits_for_people


ENDS = [
    (f.DeploymentDenied(rule="viewers do not deploy", reason="Bob may not deploy here"), "denied"),
    (e.DeploymentFailed(reason="x", failure=FAILURE), "failed"),
    (e.DeploymentCancelled(by="Ada"), "cancelled"),
    (e.DeploymentSuperseded(by="01knewer"), "superseded"),
    (e.DeploymentStuck(step="switch-web", failure=FAILURE), "stuck"),
]


@pytest.mark.parametrize(("fact", "outcome"), ENDS, ids=[outcome for _, outcome in ENDS])
def test_every_end_is_told(fact: f.Fact, outcome: str) -> None:
    """Its last line is not a question."""
    story = Story()
    told = story.tell(story.event(fact))
    assert story.narrator.outcome == outcome
    assert any(line.startswith("  ✗ ") for line in told)


def test_events_of_a_newer_version_are_passed_over() -> None:
    """An unknown fact, and a known one with fields that this version cannot read."""
    narrator = Narrator("01k")
    odd = Event(name="MoonPhaseChanged", organization="main", deployment="01k", sequence=1)
    bad = Event(name="StepStarted", organization="main", deployment="01k", sequence=2, step="x", data={})
    assert narrator.event(odd) == narrator.event(bad) == ()


def test_a_silent_step_gives_a_sign_of_life() -> None:
    """Once each interval, and no more when it has ended."""
    story = Story()
    for line in story.narrator.event(story.event(e.StepStarted(attempt=1, title="provision database"), "provision-database")):
        assert list(story.plain.draw(line, 0.0)) == []
    assert list(story.plain.waiting(5)) == []
    assert list(story.plain.waiting(11)) == ["", "  Deploy", "    … provision database: still at work"]
    assert list(story.plain.waiting(12)) == []


@given(st.text(st.characters()))
def test_printable_text_only_prints(text: str) -> None:
    """No control characters, no escapes, no line breaks, and UTF-8 holds it."""
    found = printable(text)
    found.encode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("10%\r50%\r100%\n", "100%"),
        ("\x1b]0;title\x07text", "text"),
        ("a\tb", "a    b"),
        ("evil\u202etxt", "eviltxt"),
    ],
)
def test_what_terminals_would_act_on_is_taken_out(text: str, shown: str) -> None:
    """Colours, progress bars, window titles, tabs, and marks that turn text around."""
    assert printable(text) == shown


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (59.9, "59.9s"), (61, "1m 01s"), (3725, "1h 02m")])
def test_durations_as_people_write_them(seconds: float, text: str) -> None:
    """Short."""
    assert duration(seconds) == text


def test_last_lines_are_told_unless_they_were_told_live() -> None:
    """A check prints what it tries, and the program that it checked has said why: both are to be read, each once."""
    story = Story()
    failed = CandidateFailed(failure=FAILURE.model_copy(update={"log_tail": ("told live", "Error: no module 'pg'")}))
    step = "check-container-web"
    story.tell(_created(story), story.event(e.StepStarted(attempt=1, title="check container web"), step))
    live = LogLines(deployment="01k", step=step, direction=Direction.DO, attempt=1, first=1, lines=("told live", "GET /: nobody listens"))
    told = story.tell(live, story.event(failed, step, "failed"))
    assert sum("told live" in line for line in told) == 1
    assert any("no module 'pg'" in line for line in told)
