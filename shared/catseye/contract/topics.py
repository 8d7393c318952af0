"""Every topic, once: its record, its key, how long it is kept and who writes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from catseye.contract import records
from catseye.contract.records import Record


class Kept(Enum):
    """How long a topic keeps its records; the values are hours, None is for ever."""

    SHORT = 24
    DAYS = 7 * 24
    WEEKS = 30 * 24
    HORIZON = -1  # the label horizon and a margin, both settings
    FOR_EVER = None
    COMPACTED = 0  # the last record of each key


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        name: Name without the prefix.
        record: What its values are; None for a service's private state.
        key: Fields of the record that its keys are made of, with strokes between them; of a state topic, in words.
        kept: How long it keeps records.
        by_camera: Whether a camera lives on murmur2(camera); all such topics have the same number of partitions, unless
            they are public.
        public: Whether anyone may write to it, with any partitioner and on any number of partitions.
    """

    name: str
    record: type[Record] | None
    key: tuple[str, ...]
    kept: Kept
    by_camera: bool = True
    public: bool = False

    def key_of(self, record: Record) -> bytes:
        """Key of *record* on this topic; a field that is null is empty there."""
        parts = [getattr(record, field) for field in self.key]
        if len(parts) == 1 and type(parts[0]) is str:  # most have one, and a frame may lead to a dozen records
            return parts[0].encode()
        return "/".join(["" if part is None else str(part) for part in parts]).encode()


TOPICS = (
    Topic("frames", records.Frame, ("camera",), Kept.SHORT, public=True),
    Topic("labels", records.Label, ("camera",), Kept.SHORT, public=True),
    Topic("frames.rekeyed", records.Frame, ("camera",), Kept.SHORT),
    Topic("frames.accepted", records.AcceptedFrame, ("camera",), Kept.HORIZON),
    Topic("views", records.CameraView, ("camera",), Kept.SHORT),
    Topic("frames.repeated", records.RepeatedFrame, ("camera",), Kept.WEEKS),
    Topic("labels.accepted", records.AcceptedLabel, ("camera",), Kept.HORIZON),
    Topic("labels.answers", records.LabelAnswer, ("camera",), Kept.WEEKS, by_camera=False),
    Topic("labels.suspects", records.LabelSuspect, ("camera",), Kept.WEEKS, by_camera=False),
    Topic("predictions", records.Prediction, ("camera",), Kept.DAYS),
    Topic("predictions.shadow", records.Prediction, ("camera",), Kept.DAYS),
    Topic("outcomes", records.Outcome, ("camera",), Kept.HORIZON),
    Topic("outcomes.paired", records.PairedOutcome, ("camera",), Kept.HORIZON, by_camera=False),
    Topic("vehicles", records.Vehicle, ("camera",), Kept.DAYS),
    Topic("vehicles.outcomes", records.VehicleOutcome, ("camera",), Kept.HORIZON),
    Topic("vehicles.counts", records.VehicleCount, ("camera",), Kept.WEEKS),
    Topic("labels.unmatched", records.UnmatchedLabel, ("camera",), Kept.DAYS),
    Topic("statistics", records.DriftStatistic, ("camera",), Kept.DAYS),
    Topic("drift.reports", records.CameraReport, ("camera",), Kept.COMPACTED, by_camera=False),
    Topic("alerts", records.Alert, ("alert_id",), Kept.COMPACTED, by_camera=False),
    Topic("retraining", records.RetrainDecision, ("model",), Kept.FOR_EVER, by_camera=False),
    Topic("models", records.ModelEvent, ("model", "version"), Kept.FOR_EVER, by_camera=False),
    Topic("alert.commands", records.AlertCommand, ("alert_id",), Kept.WEEKS, by_camera=False),
    Topic("training.requests", records.TrainingRequest, ("model",), Kept.FOR_EVER, by_camera=False),
    Topic("model.commands", records.ModelCommand, ("model", "version"), Kept.FOR_EVER, by_camera=False),
    Topic("notifications", records.Notification, ("incident_id", "route"), Kept.WEEKS, by_camera=False),
    Topic("heartbeats", records.Heartbeat, ("service", "instance"), Kept.COMPACTED, by_camera=False),
    Topic("dead-letters", records.DeadLetter, ("topic", "partition"), Kept.WEEKS),
    Topic("ingest.state", None, ("camera",), Kept.COMPACTED),
    Topic("ground_truth.state", None, ("frame",), Kept.COMPACTED),
    Topic("vehicles.state", None, ("vehicle",), Kept.COMPACTED),
    Topic("drift.state", None, ("camera",), Kept.COMPACTED),
    Topic("retrain_trigger.state", None, ("label counted",), Kept.COMPACTED),
    Topic("rollout.state", None, ("model",), Kept.COMPACTED, by_camera=False),
    Topic("incidents.state", None, ("camera or alert_id",), Kept.COMPACTED, by_camera=False),
    Topic("notifier.state", None, ("incident and route",), Kept.COMPACTED, by_camera=False),
)
BY_NAME = {topic.name: topic for topic in TOPICS}


def full_name(name: str, prefix: str) -> str:
    """Name of a topic on the broker. Raises KeyError for one that is not in the table."""
    return prefix + BY_NAME[name].name


def state_topic(service: str, prefix: str) -> str:
    """Full name of the topic that holds a service's state."""
    return full_name(f"{service}.state", prefix)


def misfits(counts: Mapping[str, int], names: Iterable[str], prefix: str, partitions: int) -> dict[str, str]:
    """Topics of ours that have more partitions than others that must have the same number.

    Kafka takes no partition away, and nothing of ours is written to those beyond, so the way out is to give the others
    as many.

    Args:
        counts: Partitions by full name.
        names: Topics to look at, without prefix.
        prefix: Of topic names.
        partitions: That cameras are spread over.

    Returns:
        Full name of each, with a sentence for whoever must act.
    """
    looked_at = [BY_NAME[name] for name in names if prefix + name in counts and not BY_NAME[name].public]
    found: dict[str, str] = {}
    for by_camera in (True, False):
        there = {
            prefix + topic.name: counts[prefix + topic.name] for topic in looked_at if topic.by_camera is by_camera
        }
        widest = max(there.values(), default=0)
        narrow = sorted(name for name, count in there.items() if count < widest)
        if narrow:
            stays = f", and CATSEYE_PARTITIONS stays {partitions}" if by_camera else ""
            found |= {
                name: f"topic {name} has {count} partitions and {narrow[0]} has {there[narrow[0]]}, which do not fit "
                f"together: `catseye topics create` gives all {widest}; services go on by themselves then{stays}"
                for name, count in there.items()
                if count == widest
            }
    return found
