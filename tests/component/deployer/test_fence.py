"""The fence on real files and with real processes."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from services.deployer.fence import Fence, started_at
from shared.contracts.commands import CheckDatabase
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec
from shared.work import LowerEpoch, Unavailable

PLACE = Place(organization="main", project="shop", environment="production")
OTHER = Place(organization="main", project="shop", environment="staging")
SPEC = DatabaseSpec(name="main", engine="postgresql", version="18", storage_bytes=1, memory_bytes=1)


def command(epoch: int | None, place: Place = PLACE) -> CheckDatabase:
    """Some command under an epoch."""
    return CheckDatabase(place=place, target="local", deployment="d1", step="check", epoch=epoch, timeout_s=5, database=SPEC)


async def test_lower_epochs_are_refused(tmp_path: Path) -> None:
    """Once a higher epoch was seen, lower ones are refused, by another process's fence as well; equal and higher ones pass."""
    await Fence(tmp_path).admit(command(5))
    other = Fence(tmp_path)
    for epoch in (4, None):
        with pytest.raises(LowerEpoch) as refused:
            await other.admit(command(epoch))
        assert refused.value.seen == 5
    await other.admit(command(5))
    await other.admit(command(6))
    assert Fence(tmp_path).highest(PLACE) == 6


async def test_environments_have_their_own_epochs(tmp_path: Path) -> None:
    """An epoch of one environment says nothing of another."""
    fence = Fence(tmp_path)
    await fence.admit(command(9))
    await fence.admit(command(1, OTHER))


async def test_claim_ends_when_a_higher_epoch_comes(tmp_path: Path) -> None:
    """A worker that was admitted and paused is refused at its next effect."""
    fence = Fence(tmp_path)
    claim = await fence.admit(command(1))
    async with claim.lease():
        pass
    await fence.admit(command(2))
    with pytest.raises(LowerEpoch):
        async with claim.lease():
            raise AssertionError("an effect under a lower epoch")


async def test_one_at_a_time(tmp_path: Path) -> None:
    """Two holders never overlap, within a process and across two fences; other environments are not held up."""
    first, second = Fence(tmp_path), Fence(tmp_path)
    inside = 0

    async def effect(fence: Fence) -> None:
        nonlocal inside
        async with fence.lease(PLACE, 1):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(effect(fence) for fence in (first, second) for _ in range(5)))
    async with first.lease(PLACE), second.lease(OTHER):
        pass


async def test_effect_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The holder itself gives an effect up before anybody has to kill it."""
    with pytest.raises(Unavailable):
        async with Fence(tmp_path, limit_s=0.1).lease(PLACE):
            await asyncio.sleep(5)


def hold(folder: Path) -> "subprocess.Popen[bytes]":
    """Another worker, which takes the lease and never gives it back."""
    script = f"""
        import asyncio, time
        from pathlib import Path
        from services.deployer.fence import Fence
        from shared.contracts.places import Place
        async def main():
            async with Fence(Path({str(folder)!r})).lease(Place(organization="main", project="shop", environment="production"), 1):
                print("held", flush=True)
                time.sleep(60)
        asyncio.run(main())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


async def test_worker_that_holds_too_long_is_killed(tmp_path: Path) -> None:
    """Whoever waits longer than the limit kills the holder's process, and goes on."""
    process = hold(tmp_path)
    async with Fence(tmp_path, limit_s=0.3).lease(PLACE, 2):
        assert await asyncio.to_thread(process.wait, 5) == -9


async def test_a_busy_worker_is_not_killed_for_the_time_that_others_wait(tmp_path: Path) -> None:
    """One that takes many short leases, one after the other, holds none too long, however long somebody waits for his."""
    script = f"""
        import asyncio
        from pathlib import Path
        from services.deployer.fence import Fence
        from shared.contracts.places import Place
        async def main():
            fence, place = Fence(Path({str(tmp_path)!r})), Place(organization="main", project="shop", environment="production")
            async with fence.lease(place):
                print("held", flush=True)
            while True:
                async with fence.lease(place):
                    await asyncio.sleep(0.05)
        asyncio.run(main())
    """
    busy = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"held\n"
        waiting = [asyncio.create_task(_enter(Fence(tmp_path, limit_s=0.3))) for _ in range(8)]
        await asyncio.wait(waiting, timeout=1.5)
        assert busy.poll() is None
    finally:
        busy.kill()
        busy.wait()
        assert busy.stdout is not None
        busy.stdout.close()
    await asyncio.gather(*waiting)


async def test_lease_falls_with_its_process(tmp_path: Path) -> None:
    """A worker that was killed leaves no lock behind."""
    process = hold(tmp_path)
    process.kill()
    process.wait()
    async with asyncio.timeout(2), Fence(tmp_path).lease(PLACE, 2):
        pass


async def test_another_process_with_the_same_id_is_not_killed(tmp_path: Path) -> None:
    """A lock file that names a process which has ended, and whose id is another's now, kills nobody."""
    bystander = subprocess.Popen(["sleep", "30"])
    try:
        holder = hold(tmp_path)
        (tmp_path / "locks" / PLACE.subject).write_text(f"{bystander.pid} 1")
        waiting = asyncio.create_task(_enter(Fence(tmp_path, limit_s=0.2)))
        done, _ = await asyncio.wait([waiting], timeout=0.6)
        assert not done
        assert bystander.poll() is None
        assert started_at(bystander.pid) != ""
        holder.kill()
        holder.wait()
        await waiting
    finally:
        bystander.kill()
        bystander.wait()


async def _enter(fence: Fence) -> None:
    async with fence.lease(PLACE, 2):
        pass
