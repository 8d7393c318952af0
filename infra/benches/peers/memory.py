"""Decode and classify crops that lie in memory: what inference costs without Kafka, Avro and promises.

Prints one JSON object: what was spent on how many frames.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from infra.benches.frames import crops


def main() -> None:
    """Go through the crops of the example again and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--warm", type=int, required=True, help="frames before the clock is read")
    parser.add_argument("--micro-batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    flags = parser.parse_args()
    net, jpegs = Net(flags.model.read_bytes(), flags.threads), crops()

    def work(frames: int) -> None:
        for at in range(0, frames, flags.micro_batch):
            numbers = range(at, min(at + flags.micro_batch, frames))
            net.predict([decode_rgb(jpegs[number % len(jpegs)]) for number in numbers]).probabilities.argmax(axis=1)

    work(flags.warm)
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    work(flags.frames)
    cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.perf_counter_ns() - wall_ns
    json.dump({"frames": flags.frames, "wall_ns": wall_ns, "cpu_ns": cpu_ns}, sys.stdout)


if __name__ == "__main__":
    main()
