# The trainer alone has torch: it waits for decisions, or makes a first model of a folder of frames.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/catseye/shared:/catseye

WORKDIR /catseye

COPY infra/requirements/trainer.txt infra/requirements/trainer.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r infra/requirements/trainer.txt \
 && useradd --system --uid 10001 --user-group --home-dir /var/lib/catseye --create-home catseye

COPY schemas schemas
COPY shared shared
COPY services services

# Nothing is written later: what is not compiled here is compiled at each start.
RUN python -m compileall -q shared services

USER catseye
ENV CATSEYE_DATA_DIR=/var/lib/catseye \
    CATSEYE_HEALTH_HOST=0.0.0.0 \
    CATSEYE_HEALTH_PORT=8100
VOLUME /var/lib/catseye
EXPOSE 8100

HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8100/live', timeout=2)"]

ENTRYPOINT ["python", "-m"]
