"""Start inference: settings, models, core, worker. With `--shadow` it is a process beside the champion's."""

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import Role
from catseye.models.follower import Follower
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Crop
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.inference import BATCHES, NAME, SHADOW, WRITES_AS
from services.inference.core import InferenceCore, Swap
from services.inference.settings import InferenceSettings
from services.inference.shadow_settings import ShadowSettings

YIELDING = 10  # niceness of the shadow: where cores are short the champion has ten times its share (sched(7))


def decoded(jpeg: bytes) -> Crop | BadRecord:
    try:
        return decode_rgb(jpeg)
    except BadRecord as fault:
        return fault


def build(role: Role, settings: InferenceSettings, codec: Codec, logger: Any, problems: Problems) -> InferenceCore:
    pool = ThreadPoolExecutor(settings.inference_decode_threads, thread_name_prefix="decode")

    def decode_many(jpegs: Sequence[bytes]) -> Iterator[Crop | BadRecord]:
        return pool.map(decoded, jpegs)

    def swapped(swap: Swap) -> None:
        logger.info("predicting", role=role, **swap._asdict())

    batch = settings.inference_micro_batch
    models = Follower(settings, codec, logger.info, settings.inference_threads, role, batch, problems=problems)
    models.follow()
    return InferenceCore(
        models.current,
        models.refuse,
        decode_many,
        batch,
        role=role,
        shadow_age_ms=int(settings.inference_shadow_age_s * 1_000),
        swapped=swapped,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m services.inference", description=__doc__)
    parser.add_argument("--shadow", action="store_true", help="predict with the shadow, beside the champion's process")
    if parser.parse_args().shadow:
        os.nice(YIELDING)
        run(SHADOW, BATCHES, WRITES_AS["shadow"], ShadowSettings, partial(build, "shadow"))
    run(NAME, BATCHES, WRITES_AS["champion"], InferenceSettings, partial(build, "champion"))
