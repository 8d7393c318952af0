"""Start ingest: settings, core, worker."""

from catseye.contract.codec import Codec
from catseye.models.jpeg import JpegLimits
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.ingest import NAME, READS, WRITES
from services.ingest.core import IngestCore, Limits
from services.ingest.settings import IngestSettings


def build(settings: IngestSettings, _codec: Codec, _logger: object, _problems: Problems) -> IngestCore:
    limits = Limits(
        frame_max_bytes=settings.ingest_frame_max_bytes,
        label_max_bytes=settings.ingest_label_max_bytes,
        future_max_ms=settings.ingest_future_max_ms,
        age_max_ms=settings.ingest_age_max_ms,
        jpeg=JpegLimits(max_bytes=settings.ingest_jpeg_max_bytes, max_pixels=settings.ingest_jpeg_max_pixels),
    )
    return IngestCore(settings.partitions, limits)


if __name__ == "__main__":
    run(NAME, READS, WRITES, IngestSettings, build)
