"""Start inference: settings, champion, core, worker."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from catseye.codec import Codec
from catseye.errors import BadRecord
from catseye.jpeg import decode_rgb
from catseye.models import Champion
from catseye.net import Crop
from catseye.service import run
from services.inference import BATCHES, NAME
from services.inference.core import InferenceCore
from services.inference.settings import InferenceSettings


def decoded(jpeg: bytes) -> Crop | BadRecord:
    try:
        return decode_rgb(jpeg)
    except BadRecord as fault:
        return fault


def build(settings: InferenceSettings, codec: Codec, logger: Any) -> InferenceCore:
    pool = ThreadPoolExecutor(settings.inference_decode_threads, thread_name_prefix="decode")

    def decode_many(jpegs: Sequence[bytes]) -> Iterator[Crop | BadRecord]:
        return pool.map(decoded, jpegs)

    champion = Champion(settings, codec, logger.info, settings.inference_threads)
    champion.follow()
    return InferenceCore(codec, settings.topic_prefix, champion.current, decode_many, settings.inference_micro_batch)


if __name__ == "__main__":
    run(NAME, BATCHES, InferenceSettings, build)
