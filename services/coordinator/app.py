"""The coordinator: plans, drives steps, compensates, times out, queues, cancels, supersedes."""

from functools import partial

from services.coordinator.catalogue import Catalogue
from services.coordinator.changes import take_changes
from services.coordinator.coordinator import Coordinator
from services.coordinator.driver import drive
from services.coordinator.requests import decode_request, take_requests
from services.coordinator.results import take_results
from services.coordinator.settings import Settings
from services.coordinator.telling import measure_live
from services.coordinator.timers import Beats, tick
from shared.consumer import consume
from shared.contracts import changes
from shared.contracts.answers import Answer
from shared.contracts.changes import Change
from shared.messages import decode_as, type_of
from shared.outbox import Outbox
from shared.process import Process, started
from shared.relay import Relay
from shared.rpc import channel


def decode_answer(subject: str, headers: dict[str, str], body: bytes) -> Answer:
    """A result; raises `UnknownType` for one of another version, `ValueError` where its body names another target or participant than its subject.

    The bus lets each participant of each target write to its own subjects only; the body is what it likes.
    """
    said = decode_as(Answer, headers, body)
    if subject.split(".")[2:4] != [said.target, said.participant]:
        raise ValueError(f"an answer of {said.participant} of {said.target} cannot come on {subject}")
    return said


def decode_change(_subject: str, headers: dict[str, str], body: bytes) -> Change:
    """A change, by its type."""
    return changes.decode_change(type_of(headers), body)


async def build(process: Process, settings: Settings, catalogue: Catalogue) -> Coordinator:
    """Wires the coordinator and starts its work; tests call it with a catalogue of their own."""
    pool = await process.database(settings, "coordinator")
    outbox = Outbox("coordinator")
    coordinator = Coordinator(pool, process.bus, outbox, catalogue, settings.limits)
    relay = Relay(process.bus, settings.postgres_dsn.get_secret_value(), "coordinator", outbox)
    process.measure(partial(measure_live, pool))
    beats = Beats(process.bus)
    await beats.listen()
    bus = process.bus
    process.spawn("relay", relay.run())
    process.spawn("results", consume(bus, "RESULTS", "coordinator-results", decode_answer, partial(take_results, coordinator), batch=200))
    process.spawn("changes", consume(bus, "CHANGES", "coordinator-changes", decode_change, partial(take_changes, coordinator), batch=100))
    process.spawn(
        "requests", consume(bus, "REQUESTS", "coordinator-requests", decode_request, partial(take_requests, coordinator), batch=20)
    )
    process.spawn("driver", drive(coordinator))
    process.spawn("timers", tick(coordinator, beats))
    return coordinator


async def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings()
    async with started("coordinator", settings) as process:
        dialled = await process.enter(channel(settings.api_address, settings.tls_dir, "coordinator"))
        await build(process, settings, Catalogue(dialled))
        await process.until_stopped()
