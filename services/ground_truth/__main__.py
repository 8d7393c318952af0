"""Start ground truth: settings, core, worker."""

from catseye.contract.codec import Codec
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.ground_truth import NAME, READS, WRITES
from services.ground_truth.core import GroundTruthCore
from services.ground_truth.settings import GroundTruthSettings


def build(settings: GroundTruthSettings, codec: Codec, _logger: object, _problems: Problems) -> GroundTruthCore:
    horizon_ms, margin_ms = (int(hours * 3_600_000) for hours in (settings.label_horizon_h, settings.archive_margin_h))
    early_ms = int(settings.ground_truth_early_s * 1_000)
    return GroundTruthCore(codec, horizon_ms, early_ms, margin_ms)


if __name__ == "__main__":
    run(NAME, READS, WRITES, GroundTruthSettings, build)
