"""`slipway doctor` as far as it looks at what runs; the machine and the platform are looked at in tests/integration/cli."""

import pytest

from services.api.adapters import targets
from tests.component.api.running import RunningApi, service_bus
from tests.component.api.upkeep import FakeUpkeep, answering
from tests.component.cli.conftest import Slipway


async def test_differences_are_shown_and_mended_when_a_person_agrees(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """What differs, where, and what mending does is said; nothing is done without a yes; then what was done, and that all is well."""
    async with service_bus(nats_url, "deployer") as bus, answering(bus, FakeUpkeep()):
        shown = await slipway("doctor")
        assert shown.exit_code == 1
        assert "main/todo/production  container todo-web does not run\n    → mending: started" in shown.output
        assert "no environment  route service.x.yml" in shown.output
        assert "slipway doctor --mend" in shown.stderr
        refused = await slipway("doctor", "--mend", given="n\n")
        assert "Set these 2 right now?" in refused.output
        assert "todo-web started" not in refused.output
        mended = await slipway("doctor", "--mend", given="y\n")
        assert "✓ main/todo/production: todo-web started" in mended.output
        assert "✓ target local: 1 environment, as recorded" in mended.output
        after = await slipway("doctor", "--mend", "--yes")
        assert "✓ target local: 1 environment, as recorded" in after.output


async def test_programs_say_yes_beforehand(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """With --json nobody can be asked; what differed is one answer, with what was done."""
    async with service_bus(nats_url, "deployer") as bus, answering(bus, FakeUpkeep()):
        assert (await slipway("doctor", "--mend", "--json")).exit_code == 2
        assert (await slipway("doctor", "--yes")).exit_code == 2
        mended = await slipway("doctor", "--mend", "--yes", "--json")
        assert '"done": ["main/todo/production: todo-web started", "None: service.x.yml removed"]' in mended.stdout


async def test_a_silent_deployer_is_told_of(slipway: Slipway, api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not looked at is not well."""
    monkeypatch.setattr(targets, "PATIENCE_S", 0.2)
    silent = await slipway("doctor")
    assert silent.exit_code == 1
    assert "✗ target local: The deployer of the target local did not answer" in silent.output
