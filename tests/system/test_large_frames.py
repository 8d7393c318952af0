"""Pictures of a 4K camera, as large as the contract allows, through the whole of the road by the default settings."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from catseye import clock
from catseye.client import Publisher, aio, subscribe
from catseye.contract.codec import Codec
from catseye.contract.limits import JPEG_MAX_BYTES
from catseye.contract.records import Frame
from catseye.contract.topics import full_name
from catseye.kafka.producing import produce, produce_rows
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene, segment
from tests.system.running import running, wait_until

pytestmark = pytest.mark.broker

CODEC = Codec()


def picture_4k() -> bytes:
    """3840 x 2160 pixels, and so many comments that it has `JPEG_MAX_BYTES`."""
    jpeg = encode(scene(2_160, 3_840), quality=90)
    while missing := JPEG_MAX_BYTES - len(jpeg):
        jpeg = jpeg[:2] + segment(0xFE, bytes(min(missing, 65_000) - 4 if missing != 65_001 else 60_000)) + jpeg[2:]
    return jpeg


def test_a_frame_of_4k_passes_and_one_that_is_refused_is_kept_whole(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """From both publishers, at home and by way of frames.rekeyed, to its prediction, and for whoever subscribes; a dead
    letter has the whole picture, and can be sent again."""
    jpeg = picture_4k()
    model = tiny_model(("car", "truck"), encode(scene(40, 50)))
    services = [Service("ingest", 0), Service("inference", 0)]
    with running(broker.bootstrap_servers, tmp_path, prefix, services, model=model) as it:
        with Publisher(it.settings) as publisher:
            plain = publisher.publish(jpeg, camera="plain")

        async def publish_and_read() -> bytes:
            async with aio.subscribe("frames.accepted", camera="async", settings=it.settings, timeout_s=60) as frames:
                async with aio.Publisher(it.settings, camera="async") as publisher:
                    await publisher.publish(jpeg)
                return bytes((await anext(frames)).jpeg)

        assert asyncio.run(publish_and_read()) == jpeg
        elsewhere = Frame(camera="other", boot="b", sequence=0, captured_at_ms=clock.now_ms(), jpeg=jpeg)
        early = replace(elsewhere, camera="plain", captured_at_ms=elsewhere.captured_at_ms + 60_000)
        topic = full_name("frames", prefix)
        produce_rows(it.settings, [(topic, f"key {number}".encode(), CODEC.encode(elsewhere)) for number in range(2)])
        produce(it.settings, CODEC, "frames", early)
        with subscribe("predictions", settings=it.settings, from_="beginning", timeout_s=60) as predictions:
            assert {next(predictions).camera for _ in range(3)} == {"plain", "async", "other"}
        wait_until(lambda: len(it.records("dead-letters")) > 0, "the frame that is early is a dead letter")
        (letter,) = it.records("dead-letters")
        assert (letter.reason, CODEC.decode(letter.value, Frame)) == ("captured_in_future", early)
        assert len(it.records("frames.repeated")) == 1
        assert plain.sequence == 0
        assert it.starts() == {"ingest-0": 1, "inference-0": 1}
