"""Start vehicles: settings, core, worker."""

from catseye.contract.codec import Codec
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.vehicles import NAME, READS, WRITES
from services.vehicles.core import VehiclesCore
from services.vehicles.settings import VehiclesSettings


def build(settings: VehiclesSettings, _codec: Codec, _logger: object, _problems: Problems) -> VehiclesCore:
    return VehiclesCore(
        late_ms=round(settings.vehicles_late_s * 1_000), horizon_ms=round(settings.label_horizon_h * 3_600_000)
    )


if __name__ == "__main__":
    run(NAME, READS, WRITES, VehiclesSettings, build)
