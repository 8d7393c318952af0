# The trainer alone has torch. It runs when a model is to be made: docker compose run --rm trainer fit --frames /frames
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/catseye/shared:/catseye

WORKDIR /catseye

COPY infra/requirements/trainer.txt infra/requirements/trainer.txt
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes \
      -r infra/requirements/trainer.txt \
 && useradd --system --uid 10001 --user-group --home-dir /var/lib/catseye --create-home catseye

COPY schemas schemas
COPY shared shared
COPY services services

USER catseye
ENV CATSEYE_DATA_DIR=/var/lib/catseye
VOLUME /var/lib/catseye

ENTRYPOINT ["python", "-m", "services.trainer"]
