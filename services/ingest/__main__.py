"""Start ingest: settings, core, worker."""

from catseye.contract.codec import Codec
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.ingest import NAME, READS, WRITES
from services.ingest.core import IngestCore
from services.ingest.settings import IngestSettings


def build(settings: IngestSettings, _codec: Codec, _logger: object, _problems: Problems) -> IngestCore:
    return IngestCore(settings.partitions, settings.limits)


if __name__ == "__main__":
    run(NAME, READS, WRITES, IngestSettings, build)
