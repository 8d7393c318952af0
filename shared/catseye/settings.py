"""What an operator can turn: read once from the environment and `.env`, by the process's own `__main__`.

Common settings are `CATSEYE_NAME`, those of one service `CATSEYE_SERVICE_NAME`; Kafka, Redis and the schema registry
keep their customary names. Names carry their unit.
"""

import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from catseye.contract.checks import Limits
from catseye.contract.errors import Misconfigured
from catseye.contract.jpeg_header import JpegLimits
from catseye.contract.limits import (
    FRAME_AGE_MAX_MS,
    FRAME_AHEAD_MAX_MS,
    FRAME_MAX_BYTES,
    JPEG_MAX_BYTES,
    JPEG_MAX_PIXELS,
    LABEL_MAX_BYTES,
)
from catseye.contract.masking import masked

_HIDDEN = ("PASSWORD", "SECRET", "TOKEN")
SERVICES = (
    "ingest",
    "inference",
    "ground_truth",
    "vehicles",
    "drift",
    "incidents",
    "retrain_trigger",
    "trainer",
    "rollout",
    "view",
    "gateway",
    "notifier",
    "simulator",
)


class Settings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_prefix="CATSEYE_", env_file=".env", extra="ignore", populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        validation_alias="KAFKA_BOOTSTRAP_SERVERS",
        description="Brokers to start from, host:port,…",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL", description="How to talk to the brokers"
    )
    kafka_sasl_mechanism: str = Field(
        default="SCRAM-SHA-512", validation_alias="KAFKA_SASL_MECHANISM", description="How to log in, where SASL is on"
    )
    kafka_sasl_username: str = Field(
        default="", validation_alias="KAFKA_SASL_USERNAME", description="Name of the principal"
    )
    kafka_sasl_password: str = Field(
        default="", validation_alias="KAFKA_SASL_PASSWORD", description="Its password", repr=False
    )
    kafka_ssl_ca_location: str = Field(
        default="",
        validation_alias="KAFKA_SSL_CA_LOCATION",
        description="PEM file of the authority that signed the brokers",
    )
    kafka_ssl_certificate_location: str = Field(
        default="",
        validation_alias="KAFKA_SSL_CERTIFICATE_LOCATION",
        description="PEM file of the client's certificate",
    )
    kafka_ssl_key_location: str = Field(
        default="", validation_alias="KAFKA_SSL_KEY_LOCATION", description="PEM file of the client's key"
    )
    schema_registry_url: str = Field(
        default="",
        validation_alias="SCHEMA_REGISTRY_URL",
        description="Schema registry; with it records are written in Confluent's wire format, without in Avro's own",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        description="Redis server that pages read from, redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS",
    )
    data_dir: Path = Field(default=Path(".catseye"), description="Folder for artifacts, keys and logs")
    tokens_file: Path | None = Field(
        default=None,
        description="File of the tokens of the gateway; left out, tokens.json in the data folder",
    )
    artifacts_url: str = Field(
        default="",
        description="Where model files are kept, as fsspec writes it; empty is artifacts/ in the data folder",
    )
    topic_prefix: str = Field(default="catseye.", description="Put before every topic and group name")
    partitions: int = Field(
        default=6, ge=1, le=10_000, description="Partitions of every topic that a camera is the key of"
    )
    replication_factor: int = Field(
        default=-1, ge=-1, description="Copies of each partition when topics are created; -1 leaves it to the broker"
    )
    label_horizon_h: float = Field(
        default=7 * 24, gt=0, description="Longest time from a frame to its label; later labels are unmatched, hours"
    )
    archive_margin_h: float = Field(
        default=24, ge=0, description="Time that frames are kept beyond the label horizon, hours"
    )
    instance: str = Field(
        default="0",
        min_length=1,
        description="Which worker of its service this is; it names the transactions, so no two alike",
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once", description="Whether a crash may repeat records"
    )
    transaction_target_ms: float = Field(
        default=60, gt=0, description="How long the work of one transaction should take, milliseconds"
    )
    transaction_max_records: int = Field(default=5_000, ge=1, description="Most records that one transaction takes in")
    transaction_interval_ms: float = Field(
        default=20,
        ge=0,
        description="Shortest time from the start of one transaction to the next while no backlog waits: each costs "
        "the broker the same, however few records it has, milliseconds",
    )
    transaction_timeout_ms: int = Field(
        default=30_000,
        ge=1_000,
        description="After so long the broker aborts what a dead worker left open, milliseconds",
    )
    session_timeout_ms: int = Field(
        default=6_000,
        ge=1_000,
        description="After so long without a sign of life a worker's partitions move, milliseconds",
    )
    heartbeat_every_s: float = Field(
        default=3,
        gt=0,
        le=60,
        description="How often each process writes to the topic heartbeats that it is there, seconds",
    )
    service_down_s: float = Field(
        default=30,
        ge=1,
        description="A service is down when its process has given no sign of life for longer: a start after a crash "
        "takes 6 to 19, seconds",
    )
    crash_loop_starts: int = Field(
        default=4, ge=2, description="So many starts after ends that nobody asked for are a crash loop"
    )
    crash_loop_s: float = Field(default=300, gt=0, description="Within how long they are one, seconds")
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /live, /ready and /metrics; 0 takes a free one"
    )
    health_host: str = Field(default="127.0.0.1", description="Address that /live, /ready and /metrics listen on")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line to write"
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        for name, value in super().__repr_args__():
            yield name, shown(str(name).upper(), value) if isinstance(value, str) else value

    @property
    def tokens_path(self) -> Path:
        """Where the tokens are."""
        return self.tokens_file or self.data_dir / "tokens.json"

    @property
    def links_key_path(self) -> Path:
        """Where the key of the links in messages is, which the notifier and the gateway share: beside the tokens."""
        return self.tokens_path.with_name("links.key")

    @property
    def heartbeat_ms(self) -> int:
        """How often a member of a group gives a sign of life: some may be lost within a session."""
        return max(200, self.session_timeout_ms // 5)


class DoorSettings(Settings):
    """Limits of what is accepted: ingest checks by them, and so does a publisher that reads the same environment.

    Records cannot be longer than the contract's, by which topics and clients are sized.
    """

    ingest_frame_max_bytes: int = Field(
        default=FRAME_MAX_BYTES, ge=1_000, le=FRAME_MAX_BYTES, description="Longest value on frames that is read, bytes"
    )
    ingest_label_max_bytes: int = Field(
        default=LABEL_MAX_BYTES, ge=100, le=FRAME_MAX_BYTES, description="Longest value on labels that is read, bytes"
    )
    ingest_jpeg_max_bytes: int = Field(
        default=JPEG_MAX_BYTES, ge=100, le=JPEG_MAX_BYTES, description="Longest JPEG of a frame, bytes"
    )
    ingest_jpeg_max_pixels: int = Field(
        default=JPEG_MAX_PIXELS, ge=1, description="Most pixels of a frame, width times height"
    )
    ingest_future_max_ms: int = Field(
        default=FRAME_AHEAD_MAX_MS,
        ge=0,
        description="How far a camera's clock may be ahead of the broker's, milliseconds",
    )
    ingest_age_max_ms: int = Field(
        default=FRAME_AGE_MAX_MS, ge=1, description="How old a frame may be when it comes in, milliseconds"
    )

    @property
    def limits(self) -> Limits:
        """As the checks take them."""
        return Limits(
            frame_max_bytes=self.ingest_frame_max_bytes,
            label_max_bytes=self.ingest_label_max_bytes,
            future_max_ms=self.ingest_future_max_ms,
            age_max_ms=self.ingest_age_max_ms,
            jpeg=JpegLimits(max_bytes=self.ingest_jpeg_max_bytes, max_pixels=self.ingest_jpeg_max_pixels),
        )


T = TypeVar("T", bound=Settings)


def unknown(variable: str, known: Iterable[str]) -> Misconfigured:
    """What is said of a variable that is no setting: the nearest of *known* if one is near, else where all are listed.

    The prefix that all share makes none of them near.
    """
    prefix = "CATSEYE_"
    names = {name.removeprefix(prefix): name for name in sorted(known)}
    near = difflib.get_close_matches(variable.removeprefix(prefix), names, n=1)
    then = f"did you mean {names[near[0]]}?" if near else "`catseye settings` lists all"
    return Misconfigured(f"{variable} is not a setting; {then}")


def load(kind: type[T], *, service: str = "") -> T:
    """Read settings from the environment, or refuse with a sentence that names the setting.

    `.env` in the working folder fills the gaps.

    Args:
        kind: Settings class of the process.
        service: Name of the service whose settings *kind* has, for example ``ingest``.

    Raises:
        Misconfigured: a value is out of range, or a `CATSEYE_` variable is unknown.
    """
    known = {_variable(kind, name) for name in kind.model_fields}
    others = tuple(f"CATSEYE_{other.upper()}_" for other in SERVICES if other != service)
    for variable in sorted(os.environ.keys() | dotenv_values(".env").keys()):
        if variable.startswith("CATSEYE_") and variable not in known and not variable.startswith(others):
            raise unknown(variable, known)
    try:
        return kind()
    except ValidationError as fault:
        first = fault.errors()[0]
        name = str(first["loc"][0])
        variable = _variable(kind, name) if name in kind.model_fields else name
        found = shown(variable, str(first["input"]))
        raise Misconfigured(f"{variable}: {first['msg']}; it is {found!r}") from None  # the cause would show it


def listed(kind: type[Settings]) -> list[tuple[str, str, str]]:
    """Name of the variable, default and meaning of each setting of *kind*."""
    fields = kind.model_fields.items()
    return [
        (_variable(kind, name), str(field.get_default(call_default_factory=True)), field.description or "")
        for name, field in fields
    ]


def shown(variable: str, value: str) -> str:
    """*value* of a setting as anybody may see it."""
    return "(set, not shown)" if value and any(word in variable for word in _HIDDEN) else masked(value)


def _variable(kind: type[Settings], name: str) -> str:
    alias = kind.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"{kind.model_config['env_prefix']}{name}".upper()
