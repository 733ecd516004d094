"""Room, memory, folders and quantities."""

import asyncio
import os
from pathlib import Path
from typing import cast

import psutil
import pytest

from services.builder.admission import Admission, Room, measure
from services.builder.engine import About
from services.builder.folders import Folders
from services.builder.memory import BuildMemory, Group
from services.builder.quantities import NotAQuantity, processors, seconds, size_bytes
from shared.work import StepFailure, Work
from tests.polling import eventually


class Lines:
    """Work as far as it is logged to."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        """Keeps it."""
        self.lines.append(line)


async def test_a_build_waits_for_room_and_begins() -> None:
    """What lacks is said once as long as it is the same."""
    rooms = iter([Room(1, 9), Room(2, 9), Room(9, 1), Room(9, 9)])
    work = Lines()
    admission = Admission(lambda: next(rooms), 5, 5, 30, every_s=0.01)
    async with asyncio.timeout(10):
        await admission.wait(cast("Work", work))
    assert [line.split(":")[1].strip() for line in work.lines] == ["disk", "memory"]


async def test_a_build_does_not_wait_for_ever() -> None:
    """It fails, and may pass another time."""
    with pytest.raises(StepFailure, match="memory: 0 MiB are free") as failed:
        await Admission(lambda: Room(9, 0), 5, 5, 0).wait(cast("Work", Lines()))
    assert failed.value.failure.code == "no_space"


def test_what_is_free_is_measured(tmp_path: Path) -> None:
    """A folder that is not here does not count."""
    assert 0 < measure([tmp_path, Path("/nowhere/at/all")]).disk < 2**60
    assert measure([]).disk == 2**63


def test_version_2_of_control_groups(tmp_path: Path) -> None:
    """The files of cgroup v2: limit, no swap, kills counted (docs.kernel.org, cgroup-v2)."""
    group = Group.of(About(tmp_path, "systemd", "2"), None, tmp_path)
    assert group is not None
    assert group.folder == tmp_path / "system.slice:docker" / "buildkit"
    memory = BuildMemory(group, 1000)
    with memory.limited(None) as watch:
        assert (group.folder / "memory.max").read_text() == "1000"
        assert (group.folder / "memory.swap.max").read_text() == "0"
        assert not watch.limit_was_hit
        (group.folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
        assert watch.limit_was_hit


def test_the_largest_of_running_builds_sets_the_limit(tmp_path: Path) -> None:
    """And never more than all may use."""
    group = Group.of(About(tmp_path, "cgroupfs", "2"), "mine/buildkit", tmp_path)
    assert group is not None
    memory = BuildMemory(group, 1000)
    limit = group.folder / "memory.max"
    with memory.limited(300) as small:
        assert (small.limit_bytes, limit.read_text()) == (300, "300")
        with memory.limited(5000) as large:
            assert (large.limit_bytes, limit.read_text()) == (1000, "1000")
        assert limit.read_text() == "300"


def test_where_there_is_no_group(tmp_path: Path) -> None:
    """An engine elsewhere cannot be limited; builds go on."""
    assert Group.of(About(Path("/nowhere/at/all"), "cgroupfs", "2"), None, tmp_path) is None
    assert Group.of(About(tmp_path, "unknown", "2"), None, tmp_path) is None
    with BuildMemory(None, 1000).limited(None) as watch:
        assert watch.limit_bytes is None
        assert not watch.limit_was_hit


def test_what_killed_builders_left_is_swept(tmp_path: Path) -> None:
    """Only of processes that are no more, and only of this instance."""
    folders = Folders("mine", tmp_path)
    mine, others = f"mine-builder-{os.getpid()}-x", "other-builder-999999999-x"
    for name in ("mine-builder-999999999-x", others, mine):
        (tmp_path / name).mkdir()
    folders.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {mine, others}


def test_what_an_earlier_process_of_the_same_number_left_is_swept(tmp_path: Path) -> None:
    """After a reboot, or in a container, where a process has the same number each time."""
    folders = Folders("mine", tmp_path)
    mine, earlier = (tmp_path / f"mine-builder-{os.getpid()}-{name}" for name in ("x", "y"))
    for folder in (mine, earlier):
        folder.mkdir()
    then = psutil.Process().create_time() - 60
    os.utime(earlier, (then, then))
    folders.sweep()
    assert list(tmp_path.iterdir()) == [mine]


async def test_a_checkout_is_removed_beside_what_else_goes_on(tmp_path: Path) -> None:
    """Others have their turns while its many files go."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Folders("mine", tmp_path).checkout() as folder:
        for number in range(3000):
            (folder / str(number)).touch()
        others = asyncio.create_task(take_turns())
    others.cancel()
    assert turns > 10
    assert not folder.exists()


async def test_a_checkout_goes_where_its_build_is_cancelled(tmp_path: Path) -> None:
    """Also where that comes once more, while the files go."""

    async def build() -> None:
        async with Folders("mine", tmp_path).checkout() as folder:
            for number in range(3000):
                (folder / str(number)).touch()
            begun.set()
            await asyncio.sleep(60)

    begun = asyncio.Event()
    task = asyncio.create_task(build())
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)

    async def gone() -> bool:
        return not list(tmp_path.iterdir())

    await eventually(gone, within=10)


def test_private_folders_are_private(tmp_path: Path) -> None:
    """Only the user may look, and only as long as the block runs."""
    with Folders("mine", tmp_path).private() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


@pytest.mark.parametrize(("text", "value"), [("20s", 20), ("500ms", 0.5), ("1h30m", 5400), ("1.5", 1.5), ("2d", 172800)])
def test_durations(text: str, value: float) -> None:
    """In seconds."""
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("256Mi", 2**28), ("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("500M", 5 * 10**8), ("10", 10), ("2GiB", 2**31)]
)
def test_sizes(text: str, value: int) -> None:
    """In bytes."""
    assert size_bytes(text) == value


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2.0), ("0.25", 0.25)])
def test_processors(text: str, value: float) -> None:
    """In processors."""
    assert processors(text) == value


@pytest.mark.parametrize("text", ["", "s", "1 s", "-1s", "1x", "ms", "1e3", "٣s", "nan", "inf"])
def test_what_is_no_quantity(text: str) -> None:
    """Each says what is expected."""
    for read in (seconds, size_bytes, processors):
        with pytest.raises(NotAQuantity, match="expected a"):
            read(text)
