"""`infra.benches.jpeg`: its short form measures all sides on the same work, and its check sees other work."""

import io
import os

import numpy as np
import pytest
from rich.console import Console

from catseye.models.model_file import ModelSpec
from infra.benches import jpeg as bench
from infra.benches.harness import BenchError, Options
from tests.corpora.jpegs import sound_frames

_SPEC = ModelSpec("road", ("car", "truck"), 64, 64, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 1.0, ())


def test_the_short_form_measures_every_side_once() -> None:
    """One row a side, one ratio a comparison, and the process may go back to all of its cores."""
    cores = os.sched_getaffinity(0)
    report = bench.run(Options(short=True, progress=Console(file=io.StringIO())))
    assert [row["side"] for row in report.rows] == ["ours", "turbojpeg", "pillow", "ours, inspected"]
    assert all(float(row["cpu_us"]) > 0 for row in report.rows)
    assert [figure.target for figure in report.figures] == [0.85, 2.0, None]
    assert os.sched_getaffinity(0) == cores


def test_both_ways_to_a_batch_give_the_same_batch() -> None:
    """Also where the crops have another size than the net."""
    jpegs = sound_frames()[:5]
    bench.check(bench.ours(jpegs, _SPEC), bench.pillow(jpegs, _SPEC))


def test_the_check_sees_other_work() -> None:
    """Negative control: a side that leaves out the normalisation, or the last frame, is no peer."""
    whole = bench.pillow(sound_frames()[:5], _SPEC)
    with pytest.raises(BenchError, match="differ"):
        bench.check(whole * np.float32(0.2), whole)
    with pytest.raises(BenchError, match="Pillow"):
        bench.check(whole[:-1], whole)
