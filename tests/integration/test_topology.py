"""The bus of an older version, brought to what it shall be."""

import nats
from nats.js.api import ConsumerConfig

from shared import topology
from tests.stack import nats_server


async def test_streams_of_an_older_version_are_changed_in_place() -> None:
    """Streams and durables that do not take dead letters again learn it; what waits in them stays, and where each reader is."""
    with nats_server() as server:
        admin = await nats.connect(server.url, user="admin", password="test")
        js = admin.jetstream()
        for stream in topology.streams():
            await js.add_stream(stream.evolve(subjects=[name for name in stream.subjects or () if not topology.is_again(name)]))
        for durable in topology.durables():
            older = ConsumerConfig.evolve(durable.config(), filter_subjects=list(durable.filters))
            await js.add_consumer(durable.stream, older)
        for number in range(3):
            await js.publish("slipway.req.main.cancel", b"%d" % number)
        reader = await js.pull_subscribe_bind("coordinator-requests", "REQUESTS")
        (first,) = await reader.fetch(1)
        await first.ack_sync()
        await topology.declare(js)
        await topology.declare(js)
        await js.publish(topology.again_subject("REQUESTS", "coordinator-requests", "7"), b"again")
        rest = await reader.fetch(10, timeout=1)
        assert [message.data for message in rest] == [b"1", b"2", b"again"]
        await admin.close()
