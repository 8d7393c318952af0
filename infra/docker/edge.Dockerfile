# What stands beside a camera: `catseye roadside`, for amd64 and arm64 (all wheels are there for both, so no compiler is).
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f infra/docker/edge.Dockerfile -t catseye-edge .
#   docker run --restart always -e KAFKA_BOOTSTRAP_SERVERS=kafka:9092 -v gate-7:/var/lib/catseye \
#     catseye-edge rtsp://user:password@camera/stream --camera gate-7
#
# A camera of its own device: `--device /dev/video0 --group-add video` and /dev/video0 in place of the address. The ring of
# what Kafka does not have yet lies in the volume. PyAV's wheel carries x264 and x265, which are under the GPL: no other
# image has it, and this one has no service.
FROM python:3.11-slim

LABEL org.opencontainers.image.licenses="Apache-2.0 AND LGPL-3.0-or-later AND GPL-2.0-or-later"

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/catseye/shared

WORKDIR /catseye

COPY infra/requirements/edge.txt infra/requirements/edge.txt
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --require-hashes \
      -r infra/requirements/edge.txt \
 && useradd --system --uid 10001 --user-group --home-dir /var/lib/catseye --create-home catseye

COPY schemas schemas
COPY shared shared

# Nothing is written later: what is not compiled here is compiled at each start.
RUN python -m compileall -q shared

USER catseye
ENV CATSEYE_DATA_DIR=/var/lib/catseye
VOLUME /var/lib/catseye

EXPOSE 8100

HEALTHCHECK --interval=30s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8100/ready', timeout=2)"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "catseye", "roadside", "--health-host", "0.0.0.0", "--health-port", "8100"]
