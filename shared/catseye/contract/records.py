"""Records of every topic, one class a schema. Generated from schemas/*.avsc: change those, then run
`python -m infra.local.generate_records`."""

from typing import ClassVar, Literal

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on a topic. Immutable; `msgspec.structs.replace` makes a changed copy."""

    schema_name: ClassVar[str]


FrameKind = Literal["object", "view"]


class AcceptedFrame(Record, frozen=True, kw_only=True):
    """A frame that ingest has checked, measured and put on its camera's partition; the archive that training reads.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        captured_at_ms: The camera's clock when the frame was taken, Unix milliseconds; not trusted.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        jpeg: The picture, byte for byte as it came.
        width: Pixels.
        height: Pixels.
        brightness: Mean luma, 0 to 1.
        contrast: Standard deviation of luma, 0 to 0.5.
        sharpness: Variance of the Laplacian of luma; higher is sharper.
        dark_share: Share of pixels at the dark end of the scale, 0 to 1.
        bright_share: Share of pixels at the bright end of the scale, 0 to 1.
        perceptual_hash: 64-bit perceptual hash as a signed number; near-identical frames differ in few bits.
        telemetry: Readings of the device by name, in the publisher's units: temperature, vibration, humidity, voltage.
        explain: Asks for a class activation map with the prediction.
        chroma_blue: Mean blue-difference chroma (Cb of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        chroma_red: Mean red-difference chroma (Cr of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        bits_per_pixel: Size of the JPEG as it came over its pixels, bits; null where it was not measured.
        kind: What the picture is of: one object, which is predicted, or the whole view of a camera, which is measured
            and not predicted.
        track: Name of the object among all that this publisher's boot has seen, at most 200 characters; its pictures
            share it. Null where nobody follows objects.
        box: Where the object is in the camera's picture: left, top, width and height as shares of it, 0 to 1. Null
            where that is not known.
        first_seen_ms: When the object was first seen, the camera's clock, Unix milliseconds.
        last_seen_ms: When the object was last seen, the camera's clock, Unix milliseconds; of a picture that is sent
            before it has gone, until then.
        direction: Where the object went in the picture: left, right, up or down. Null where that is not known.
        line: Name of the counting line that the object crossed, at most 200 characters; of several the first. Null
            where it crossed none.
    """

    schema_name: ClassVar[str] = "catseye.AcceptedFrame"

    camera: str
    boot: str
    sequence: int
    captured_at_ms: int
    received_at_ms: int
    jpeg: bytes
    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float
    dark_share: float
    bright_share: float
    perceptual_hash: int
    telemetry: dict[str, float] = msgspec.field(default_factory=dict)
    explain: bool = False
    chroma_blue: float | None = None
    chroma_red: float | None = None
    bits_per_pixel: float | None = None
    kind: FrameKind = "object"
    track: str | None = None
    box: list[float] | None = None
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None
    direction: str | None = None
    line: str | None = None


class AcceptedLabel(Record, frozen=True, kw_only=True):
    """A label that ingest has checked and put on its camera's partition.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        label: The true class; null withdraws an earlier label of this frame.
        labelled_at_ms: The labeller's clock, Unix milliseconds. Of two labels for a frame the one with the later clock
            holds.
        source: Where the label comes from: person, sensor, audit, or a name of your own.
        propensity: Probability, over 0 to 1, with which this frame was chosen to be labelled; 1 when every frame is.
        received_at_ms: Ingest's clock when it took the label, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.AcceptedLabel"

    camera: str
    boot: str
    sequence: int
    label: str | None = None
    labelled_at_ms: int
    source: str = "person"
    propensity: float = 1.0
    received_at_ms: int


AlertState = Literal["opened", "updated", "acknowledged", "suppressed", "resolved"]


Severity = Literal["info", "warning", "critical"]


class Place(Record, frozen=True, kw_only=True):
    """Where a record lies.

    Attributes:
        topic: Full name of the topic.
        partition: Partition.
        offset: Offset.
    """

    schema_name: ClassVar[str] = "catseye.Place"

    topic: str
    partition: int
    offset: int


class Alert(Record, frozen=True, kw_only=True):
    """One state of an alert's lifecycle; the newest record of an alert_id holds.

    Attributes:
        alert_id: 32 hexadecimal digits: a hash of what caused it.
        revision: Counts the records of this alert from 0.
        state: State of the alert in its lifecycle: only opened follows on resolved, or suppressed where a person wants
            no alert of the kind.
        kind: What is wrong: camera_silent, camera_frozen, input, class_mix, concept, accuracy_floor, labels_missing
            and so on.
        severity: How soon a person should look.
        camera: The camera; null for a group or the fleet.
        group: Site, firmware or model that the cameras share.
        cameras: Cameras concerned, the first 50 at most and the alert's own among them; each further one has an alert
            with the same incident_id.
        signal: Signal with the most evidence; of frames that are refused, the commonest reason.
        label: Class concerned.
        phase: Phase by brightness: night, day or all; empty where it does not matter.
        detector: Name in the registry of detectors.
        estimate: Current estimate of the signal.
        reference: What is normal.
        evidence: Statistic of the detector.
        threshold: Evidence at which the alert opened.
        model: Name of the model.
        version: Version of the model.
        since_ms: First suspect time, of an alert that came back that of the last time, Unix milliseconds.
        opened_at_ms: When it opened first, event time, Unix milliseconds.
        updated_at_ms: Event time of this record, Unix milliseconds.
        resolved_at_ms: When it was over, event time, Unix milliseconds; null while it is not.
        explanation: One paragraph for a person.
        by: Service or person that wrote this record.
        examples_before: Frames from before the change.
        examples_after: Frames from after it.
        incident_id: The alert_id of the first alert of the incident: cameras of a group that alarm within an hour are
            one, and so is a service that is down and has not worked off its records.
        suppressed_until_ms: Until when the alert is suppressed, event time, Unix milliseconds; null while
            suppressed_by is set: until it resolves.
        suppressed_by: Who suppressed it; null while nobody has.
        suppressed_because: Why it was suppressed; empty where no reason was given.
        acknowledged_by: Who acknowledged it as it is; null while nobody has.
        command_id: Command that led to this record; null where no command did.
        times_opened: How often this alert has opened: 0 while it was only ever suppressed; over 1 once its cause came
            back soon after resolved_at_ms (within an hour, unless an operator chose otherwise). It is opened again
            then, and nobody has acknowledged it. A subscriber that notifies people once for each alert does so where
            this is 1.
        reopened_at_ms: When it opened last, event time, Unix milliseconds; null until it has opened twice.
    """

    schema_name: ClassVar[str] = "catseye.Alert"

    alert_id: str
    revision: int
    state: AlertState
    kind: str
    severity: Severity
    camera: str | None = None
    group: str | None = None
    cameras: list[str] = msgspec.field(default_factory=list)
    signal: str
    label: str | None = None
    phase: str
    detector: str
    estimate: float
    reference: float
    evidence: float
    threshold: float
    model: str
    version: str
    since_ms: int
    opened_at_ms: int
    updated_at_ms: int
    resolved_at_ms: int | None = None
    explanation: str
    by: str
    examples_before: list[Place] = msgspec.field(default_factory=list)
    examples_after: list[Place] = msgspec.field(default_factory=list)
    incident_id: str = ""
    suppressed_until_ms: int | None = None
    suppressed_by: str | None = None
    suppressed_because: str = ""
    acknowledged_by: str | None = None
    command_id: str | None = None
    times_opened: int = 1
    reopened_at_ms: int | None = None


AlertAction = Literal["acknowledge", "suppress", "unsuppress"]


class AlertCommand(Record, frozen=True, kw_only=True):
    """What a person wants done with an alert. Incidents reads it; the alert's next record names it.

    Attributes:
        command_id: 32 hexadecimal digits: a hash of who asks for what and when.
        alert_id: The alert; the key of the record.
        action: What is to be done with it.
        until_ms: Until when it is to be suppressed, Unix milliseconds; null: until it resolves.
        revision: Revision of the alert's record that the person looked at.
        reason: Why; may be empty.
        by: Who asks.
        at_ms: Clock of who asks, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.AlertCommand"

    command_id: str
    alert_id: str
    action: AlertAction
    until_ms: int | None = None
    revision: int | None = None
    reason: str = ""
    by: str
    at_ms: int


class Alarm(Record, frozen=True, kw_only=True):
    """Something that is wrong with one camera now.

    Attributes:
        kind: What is wrong: camera_silent, camera_frozen, camera_black and so on; input, predictions, accuracy,
            accuracy_floor, labels_missing, telemetry.
        cause: 32 hexadecimal digits: a hash of what raised it; the same after a crash.
        signal: Signal with the most evidence; of frames that are refused, the commonest reason.
        label: Class concerned.
        phase: Phase by brightness: night, day or all; empty where it does not matter.
        detector: Name in the registry of detectors; rule for a camera's faults.
        estimate: Current estimate of the signal.
        reference: What is normal.
        evidence: Statistic of the detector.
        threshold: Evidence at which the alarm is raised.
        since_ms: First suspect time, Unix milliseconds.
        raised_at_ms: Event time, Unix milliseconds.
        examples_before: Frames of the reference.
        examples_after: Frames that raised it.
    """

    schema_name: ClassVar[str] = "catseye.Alarm"

    kind: str
    cause: str
    signal: str
    label: str | None = None
    phase: str
    detector: str
    estimate: float
    reference: float
    evidence: float
    threshold: float
    since_ms: int
    raised_at_ms: int
    examples_before: list[Place] = msgspec.field(default_factory=list)
    examples_after: list[Place] = msgspec.field(default_factory=list)


class CameraReport(Record, frozen=True, kw_only=True):
    """All that is wrong with one camera now; the newest record of a camera holds. Private to drift and incidents.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        at_ms: Event time, Unix milliseconds.
        model: Name of the model.
        version: Version of the model.
        version_since_ms: When this version's first prediction for the camera came, Unix milliseconds; 0 while none
            has.
        alarms: Alarms that are raised now; empty when all is well.
        learning_left: Samples still needed before the camera's first reference is whole; 0 when it can claim anything.
        recent_labels: Labels in the recent window, weighted by propensity and age.
        recent_errors: Those among them that contradict their prediction.
        worst_loss: Highest loss that a changed mix of classes alone can cause, 0 to 1: the loss of the worst class
            known so far.
        estimated_accuracy: Accuracy of the recent window, estimated without labels, 0 to 1.
        estimate_valid: Whether the assumption behind estimated_accuracy holds now.
        signals_off: Signals that are not watched on this camera: all of its reference holds no number of them.
    """

    schema_name: ClassVar[str] = "catseye.CameraReport"

    camera: str
    at_ms: int
    model: str
    version: str
    version_since_ms: int
    alarms: list[Alarm]
    learning_left: int
    recent_labels: float
    recent_errors: float
    worst_loss: float = 1.0
    estimated_accuracy: float | None = None
    estimate_valid: bool
    signals_off: list[str] = msgspec.field(default_factory=list)


class CameraView(Record, frozen=True, kw_only=True):
    """The whole picture of a camera, measured, which watches the camera when nobody drives by; it has no prediction.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        captured_at_ms: The camera's clock when the frame was taken, Unix milliseconds; not trusted.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        width: Pixels.
        height: Pixels.
        brightness: Mean luma, 0 to 1.
        contrast: Standard deviation of luma, 0 to 0.5.
        sharpness: Variance of the Laplacian of luma; higher is sharper.
        dark_share: Share of pixels at the dark end of the scale, 0 to 1.
        bright_share: Share of pixels at the bright end of the scale, 0 to 1.
        perceptual_hash: 64-bit perceptual hash as a signed number; near-identical frames differ in few bits.
        chroma_blue: Mean blue-difference chroma (Cb of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        chroma_red: Mean red-difference chroma (Cr of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        bits_per_pixel: Size of the JPEG as it came over its pixels, bits; null where it was not measured.
        telemetry: Readings of the device by name, in the publisher's units: temperature, vibration, humidity, voltage.
        jpeg: The picture as it came.
    """

    schema_name: ClassVar[str] = "catseye.CameraView"

    camera: str
    boot: str
    sequence: int
    captured_at_ms: int
    received_at_ms: int
    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float
    dark_share: float
    bright_share: float
    perceptual_hash: int
    chroma_blue: float | None = None
    chroma_red: float | None = None
    bits_per_pixel: float | None = None
    telemetry: dict[str, float] = msgspec.field(default_factory=dict)
    jpeg: bytes


class DeadLetter(Record, frozen=True, kw_only=True):
    """A record that could not be accepted, with its bytes as they were; of over 8 MiB the first.

    Attributes:
        dead_letter_id: 32 hexadecimal digits: a hash of where the record lay.
        service: Service that refused the record.
        reason: Stable code.
        detail: What was found and what is allowed.
        topic: Topic it came from: of a frame that ingest sent round by way of frames.rekeyed, frames.
        partition: Partition it came from.
        offset: Offset it came from.
        written_at_ms: The broker's clock for the refused record, Unix milliseconds.
        refused_at_ms: The refusing service's clock, Unix milliseconds.
        camera: Camera, where it could be read.
        key: Key, as it was.
        value: Value, as it was.
    """

    schema_name: ClassVar[str] = "catseye.DeadLetter"

    dead_letter_id: str
    service: str
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    written_at_ms: int
    refused_at_ms: int
    camera: str | None = None
    key: bytes | None = None
    value: bytes | None = None


class DriftStatistic(Record, frozen=True, kw_only=True):
    """One signal of one camera in one phase: estimate, reference and evidence.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        signal: Name of the signal, for example brightness, entropy, loss.
        phase: Phase by brightness: night, day or all.
        detector: Name in the registry of detectors.
        at_ms: Event time, Unix milliseconds.
        model: Name of the model.
        version: Version of the model.
        count: Samples seen since the reference was fixed.
        estimate: Current estimate of the signal.
        reference: What is normal.
        reference_name: Names the samples that the reference was made of.
        evidence: Statistic of the detector.
        threshold: Evidence at which an alert opens.
        learning_left: Samples still needed before this signal can claim anything; 0 when it can.
        suspect_since_ms: When the evidence started to grow, Unix milliseconds.
        low: Lower end of the estimate's 95 % interval.
        high: Upper end of it.
        valid: Of accuracy that is estimated without labels: whether its assumption holds now.
    """

    schema_name: ClassVar[str] = "catseye.DriftStatistic"

    camera: str
    signal: str
    phase: str
    detector: str
    at_ms: int
    model: str
    version: str
    count: int
    estimate: float
    reference: float
    reference_name: str
    evidence: float
    threshold: float
    learning_left: int
    suspect_since_ms: int | None = None
    low: float | None = None
    high: float | None = None
    valid: bool | None = None


class Frame(Record, frozen=True, kw_only=True):
    """One picture of one camera, as a publisher sends it.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up. A repeat is found among the 2,048 numbers behind the
            highest of a boot, for the eight boots used last; a frame further behind is refused (sequence_too_old).
        captured_at_ms: The camera's clock when the frame was taken, Unix milliseconds; not trusted. Refused when it is
            over 2 seconds after the broker's clock, or over 7 days before.
        jpeg: The picture, baseline or progressive JPEG, grey or colour; at most 8 MiB and 16 megapixels.
        telemetry: Readings of the device by name, in the publisher's units: temperature, vibration, humidity, voltage.
        explain: Asks for a class activation map with the prediction.
        kind: What the picture is of: one object, which is predicted, or the whole view of a camera, which is measured
            and not predicted.
        track: Name of the object among all that this publisher's boot has seen, at most 200 characters; its pictures
            share it. Null where nobody follows objects.
        box: Where the object is in the camera's picture: left, top, width and height as shares of it, 0 to 1. Null
            where that is not known.
        first_seen_ms: When the object was first seen, the camera's clock, Unix milliseconds.
        last_seen_ms: When the object was last seen, the camera's clock, Unix milliseconds; of a picture that is sent
            before it has gone, until then.
        direction: Where the object went in the picture: left, right, up or down. Null where that is not known.
        line: Name of the counting line that the object crossed, at most 200 characters; of several the first. Null
            where it crossed none.
    """

    schema_name: ClassVar[str] = "catseye.Frame"

    camera: str
    boot: str
    sequence: int
    captured_at_ms: int
    jpeg: bytes
    telemetry: dict[str, float] = msgspec.field(default_factory=dict)
    explain: bool = False
    kind: FrameKind = "object"
    track: str | None = None
    box: list[float] | None = None
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None
    direction: str | None = None
    line: str | None = None


ProcessState = Literal["starting", "ready", "not_ready", "stopped", "failed"]


class Problem(Record, frozen=True, kw_only=True):
    """Something that the process was told to do and does not do, while it goes on with the rest.

    Attributes:
        kind: Kind of the alert that it is, for example model_refused.
        subject: What it is about, for example a topic; of a model, its name and version.
        detail: Why, in a sentence for whoever must act.
        since_ms: When the process found it, by its machine's clock, Unix milliseconds.
        model: Name of the model that is refused; empty where it is about none.
        version: Its version.
    """

    schema_name: ClassVar[str] = "catseye.Problem"

    kind: str
    subject: str
    detail: str
    since_ms: int
    model: str = ""
    version: str = ""


class Backlog(Record, frozen=True, kw_only=True):
    """What the process has still to work off of one topic: records on its own partitions.

    Attributes:
        topic: Name without the prefix.
        records: Records that wait; markers of transactions are none. Of many, an estimate.
        oldest_ms: How long ago the broker got the oldest of them, milliseconds; 0 where none waits.
    """

    schema_name: ClassVar[str] = "catseye.Backlog"

    topic: str
    records: int
    oldest_ms: int


class Heartbeat(Record, frozen=True, kw_only=True):
    """A process of a service is there. Each writes one every few seconds, and a last one at its end. Private.

    Attributes:
        service: Name of the service.
        instance: Which worker of the service; with the service's name the key of the record.
        host: Name of the machine.
        pid: Process id on that machine.
        started_at_ms: When the process began, by its machine's clock, Unix milliseconds: another one is another
            process.
        at_ms: When this was written, by the same clock, Unix milliseconds.
        every_ms: The next one comes after so long at the latest, milliseconds.
        state: starting until it was ready once; ready while it works on its partitions, not_ready while it does not;
            stopped when it ended because it was asked to, failed when it ended because it could not go on.
        detail: Why it failed; else empty.
        problems: What is wrong now, oldest first.
        backlogs: What waits for it, by topic, as it was last looked at; empty while nothing is known.
    """

    schema_name: ClassVar[str] = "catseye.Heartbeat"

    service: str
    instance: str
    host: str
    pid: int
    started_at_ms: int
    at_ms: int
    every_ms: int
    state: ProcessState
    detail: str = ""
    problems: list[Problem] = msgspec.field(default_factory=list)
    backlogs: list[Backlog] = msgspec.field(default_factory=list)


class Label(Record, frozen=True, kw_only=True):
    """The true class of a frame, from a person, a sensor or an audit. May come up to 7 days after its frame, or before.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        label: The true class; null withdraws an earlier label of this frame.
        labelled_at_ms: The labeller's clock, Unix milliseconds. Of two labels for a frame the one with the later clock
            holds. Refused when it is over 5 minutes after the broker's clock.
        source: Where the label comes from: person, sensor, audit, or a name of your own.
        propensity: Probability, over 0 to 1, with which this frame was chosen to be labelled; 1 when every frame is.
    """

    schema_name: ClassVar[str] = "catseye.Label"

    camera: str
    boot: str
    sequence: int
    label: str | None = None
    labelled_at_ms: int
    source: str = "person"
    propensity: float = 1.0


Drawer = Literal["audit", "unsure", "evidence", "suspect"]


LabelAnswerKind = Literal["labelled", "not_sure", "not_in_list", "skipped", "undone"]


class LabelAnswer(Record, frozen=True, kw_only=True):
    """What a person said of a frame that was offered to him: the decision, beside the Label that it may lead to.

    Attributes:
        answer_id: Name of the decision, given by who answers: an answer that is sent again, or taken back, has the
            same.
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Boot of the frame.
        sequence: Number of the frame within the boot.
        drawer: Why the frame was offered. audit: each frame has the same chance. unsure: the less sure the model, the
            likelier. evidence: its camera is suspected of drift. suspect: its label is in doubt.
        chance: Probability with which the frame came into the drawer, over 0 to 1; the propensity of its label.
        answer: labelled: label is the class. not_sure: the person cannot tell. not_in_list: a kind that the model has
            no class for; label names it. skipped: offered to somebody else. undone: the answer of this id is taken
            back.
        label: The class that was given; null where none was.
        second_opinion: Whether somebody else had answered before, on purpose.
        also_labelled: Near-identical frames that the decision labels too; their names are on the labels.
        by: Who answers.
        took_ms: How long he looked at it, milliseconds; 0 where it is not known.
        at_ms: Clock of the gateway, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.LabelAnswer"

    answer_id: str
    camera: str
    boot: str
    sequence: int
    drawer: Drawer
    chance: float
    answer: LabelAnswerKind
    label: str | None = None
    second_opinion: bool = False
    also_labelled: int = 0
    by: str
    took_ms: int = 0
    at_ms: int


SuspectReason = Literal["training", "opinions"]


class LabelSuspect(Record, frozen=True, kw_only=True):
    """A label that is probably wrong: its frame is shown to people again. A correction is a Label with a later time.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Boot of the frame.
        sequence: Number of the frame within the boot.
        frame_partition: Partition of the frame in frames.accepted.
        frame_offset: Offset of the frame in frames.accepted.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds; how long the frame is kept counts
            from it.
        label: The class that is in doubt.
        classes: Classes of the model.
        source: Source of the label; a correction has the same.
        propensity: Propensity of the label, over 0 to 1; a correction has the same.
        because: training: the champion and similar frames contradict it with one voice. opinions: two people disagree.
        by: Who suspects it: the trainer, or whoever gave the other opinion.
        at_ms: Clock of who suspects it, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.LabelSuspect"

    camera: str
    boot: str
    sequence: int
    frame_partition: int
    frame_offset: int
    received_at_ms: int
    label: str
    classes: list[str]
    source: str
    propensity: float
    because: SuspectReason
    by: str
    at_ms: int


ModelAction = Literal["register", "promote", "reject", "roll_back", "approve"]


Stage = Literal["candidate", "shadow", "champion", "retired", "rejected"]


class ModelCommand(Record, frozen=True, kw_only=True):
    """What a person or a trainer wants done with a version of a model; the event that rollout makes of it names it.

    Attributes:
        command_id: 32 hexadecimal digits: a hash of who asks for what and when.
        action: What is to be done.
        model: Name of the model.
        version: Version that is meant; for roll_back the champion that is to go, null for whichever it is.
        stage: What a registered version is to be: candidate, champion, or rejected where its own gate refused it; null
            for other actions.
        sha256: 64 hexadecimal digits: hash and address of the registered file in the artifact store; null for other
            actions.
        signature: ed25519 over the 32 bytes of the hash; null for other actions.
        metrics: Numbers that a registration rests on.
        dataset_sha256: Hash of the dataset snapshot that the registered version was trained on.
        decision_id: Retrain decision that the registered version answers.
        seen_event_id: Newest model event that the sender of the command had seen.
        reason: Why; may be empty.
        by: Person or trainer that asks.
        at_ms: Clock of who asks, Unix milliseconds.
        owner: Who answers for the registered model: the name of a route of the notifier; null for other actions, or
            where nobody is named.
        only_as_first: Register it only if no version was champion before; where one was, the command leads to nothing.
    """

    schema_name: ClassVar[str] = "catseye.ModelCommand"

    command_id: str
    action: ModelAction
    model: str
    version: str | None = None
    stage: Stage | None = None
    sha256: str | None = None
    signature: bytes | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    dataset_sha256: str | None = None
    decision_id: str | None = None
    seen_event_id: str | None = None
    reason: str = ""
    by: str
    at_ms: int
    owner: str | None = None
    only_as_first: bool = False


class ModelEvent(Record, frozen=True, kw_only=True):
    """One step in the lifecycle of a model version.

    Attributes:
        event_id: 32 hexadecimal digits: a hash of what caused it.
        model: Name of the model.
        version: Version of the model.
        stage: What the version is from now on.
        sha256: 64 hexadecimal digits: hash and address of the model file in the artifact store.
        signature: ed25519 over the 32 bytes of the hash.
        previous_version: The champion that this one replaces.
        because: Stable code or one sentence.
        by: Service or person.
        at_ms: Unix milliseconds.
        cameras: Cameras that this holds for; empty for all.
        metrics: Numbers that the step rests on.
        dataset_sha256: Hash of the dataset snapshot that the version was trained on.
        decision_id: Retrain decision that led to the version.
        command_id: Command that led to this step; null where no command did.
        owner: Who answers for the model and is told of its accuracy and rollout: the name of a route of the notifier;
            null where nobody is named.
    """

    schema_name: ClassVar[str] = "catseye.ModelEvent"

    event_id: str
    model: str
    version: str
    stage: Stage
    sha256: str
    signature: bytes
    previous_version: str | None = None
    because: str
    by: str
    at_ms: int
    cameras: list[str] = msgspec.field(default_factory=list)
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    dataset_sha256: str | None = None
    decision_id: str | None = None
    command_id: str | None = None
    owner: str | None = None


NotificationAction = Literal["message", "edit", "digest"]


NotificationResult = Literal["delivered", "failed", "refused", "given_up"]


class Notification(Record, frozen=True, kw_only=True):
    """What became of one attempt to tell people of an incident through one route.

    Attributes:
        notification_id: 32 hexadecimal digits: a hash of route, incident and number of the message; the same for each
            attempt, and the idempotency key where the channel has one.
        incident_id: The incident; of a digest, the first of those that it lists.
        route: Name of the route.
        channel: What the route goes through: mail, webhook, slack, telegram, matrix, alertmanager, apprise.
        action: message: the first of the incident on this route; edit: that message again as it is now, where the
            channel cannot edit a reply to it; digest: one message of several incidents.
        result: delivered: the server took it; failed: it did not, or nobody knows, and it is tried again; refused: the
            server does not take this message, and it is not tried again; given_up: it failed for too long.
        attempt: Counts the attempts from 1.
        detail: Why it failed; of a delivery, what the server said. Without addresses' passwords.
        title: What people were told, in a line.
        incidents: How many incidents it is about.
        due_at_ms: When it became due, Unix milliseconds.
        at_ms: When the attempt ended, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.Notification"

    notification_id: str
    incident_id: str
    route: str
    channel: str
    action: NotificationAction
    result: NotificationResult
    attempt: int
    detail: str = ""
    title: str
    incidents: int = 1
    due_at_ms: int
    at_ms: int


Role = Literal["champion", "shadow"]


Change = Literal["matched", "corrected", "withdrawn"]


class Outcome(Record, frozen=True, kw_only=True):
    """A prediction and its label. A later outcome with the same prediction_id replaces this one.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        captured_at_ms: The camera's clock when the frame was taken, Unix milliseconds; not trusted.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        predicted_at_ms: Inference's clock, Unix milliseconds.
        prediction_id: The prediction that this outcome is of.
        model: Name of the model.
        version: Version of the model.
        role: Role of the model when it predicted.
        frame_partition: Partition of the frame in frames.accepted.
        frame_offset: Offset of the frame in frames.accepted.
        predicted: The class that was predicted.
        confidence: Probability of the predicted class, 0 to 1.
        change: matched: first label of the prediction. corrected: replaces the earlier outcome. withdrawn: removes it.
        label: The true class; null when withdrawn.
        correct: Whether predicted equals label; null when withdrawn.
        label_probability: Probability that the model gave to the label, 0 to 1; 0 when the model has no such class;
            null when withdrawn.
        brightness: Mean luma of the frame, 0 to 1, in steps of 1/255.
        source: Source of the label.
        propensity: Propensity of the label.
        labelled_at_ms: The labeller's clock, Unix milliseconds.
        label_received_at_ms: Ingest's clock for the label, Unix milliseconds.
        label_delay_ms: From the frame's arrival at ingest to the label's; negative when the label came first.
        kind: What the picture is of: one object, which is predicted, or the whole view of a camera, which is measured
            and not predicted.
        track: Name of the object among all that this publisher's boot has seen, at most 200 characters; its pictures
            share it. Null where nobody follows objects.
        box: Where the object is in the camera's picture: left, top, width and height as shares of it, 0 to 1. Null
            where that is not known.
        first_seen_ms: When the object was first seen, the camera's clock, Unix milliseconds.
        last_seen_ms: When the object was last seen, the camera's clock, Unix milliseconds; of a picture that is sent
            before it has gone, until then.
    """

    schema_name: ClassVar[str] = "catseye.Outcome"

    camera: str
    boot: str
    sequence: int
    captured_at_ms: int
    received_at_ms: int
    predicted_at_ms: int
    prediction_id: str
    model: str
    version: str
    role: Role
    frame_partition: int
    frame_offset: int
    predicted: str
    confidence: float
    change: Change
    label: str | None = None
    correct: bool | None = None
    label_probability: float | None = None
    brightness: float
    source: str
    propensity: float
    labelled_at_ms: int
    label_received_at_ms: int
    label_delay_ms: int
    kind: FrameKind = "object"
    track: str | None = None
    box: list[float] | None = None
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None


class PairedOutcome(Record, frozen=True, kw_only=True):
    """Predictions of champion and shadow for the same frame, and its true class.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters.
        sequence: Number of the frame within the boot, from 0 up.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        label_received_at_ms: Ingest's clock for the label, Unix milliseconds.
        model: Name of the model.
        champion: Version of the champion.
        shadow: Version of the shadow.
        label: The true class.
        champion_predicted: The class that the champion predicted.
        shadow_predicted: The class that the shadow predicted.
        champion_label_probability: Probability that the champion gave to the label, 0 to 1.
        shadow_label_probability: Probability that the shadow gave to the label, 0 to 1.
        source: Source of the label.
        propensity: Propensity of the label.
        frame_partition: Partition of the frame in frames.accepted.
        frame_offset: Offset of the frame in frames.accepted.
        track: Name of the object among all that this publisher's boot has seen, at most 200 characters; its pictures
            share it. Null where nobody follows objects.
    """

    schema_name: ClassVar[str] = "catseye.PairedOutcome"

    camera: str
    boot: str
    sequence: int
    received_at_ms: int
    label_received_at_ms: int
    model: str
    champion: str
    shadow: str
    label: str
    champion_predicted: str
    shadow_predicted: str
    champion_label_probability: float
    shadow_label_probability: float
    source: str
    propensity: float
    frame_partition: int
    frame_offset: int
    track: str | None = None


class Prediction(Record, frozen=True, kw_only=True):
    """The output of one model for one frame.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        captured_at_ms: The camera's clock when the frame was taken, Unix milliseconds; not trusted.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        predicted_at_ms: Inference's clock, Unix milliseconds.
        prediction_id: 32 hexadecimal digits: a hash of frame, model, version and role.
        model: Name of the model.
        version: Version of the model.
        role: The champion's predictions are published; the shadow's are compared with them.
        frame_partition: Partition of the frame in frames.accepted.
        frame_offset: Offset of the frame in frames.accepted.
        label: The class with the highest probability.
        probabilities: Calibrated probability of each class of the model; they sum to 1.
        brightness: Mean luma, 0 to 1.
        contrast: Standard deviation of luma, 0 to 0.5.
        sharpness: Variance of the Laplacian of luma; higher is sharper.
        dark_share: Share of pixels at the dark end of the scale, 0 to 1.
        bright_share: Share of pixels at the bright end of the scale, 0 to 1.
        perceptual_hash: 64-bit perceptual hash as a signed number; near-identical frames differ in few bits.
        model_sha256: 64 hexadecimal digits: hash of the model file.
        embedding: 16 numbers: a fixed projection of the penultimate features; empty where the model has no features
            output.
        telemetry: Readings of the device by name, in the publisher's units: temperature, vibration, humidity, voltage.
        activation_map_png: Class activation map of the predicted class, 8-bit grey PNG at the net's own resolution,
            when asked for.
        chroma_blue: Mean blue-difference chroma (Cb of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        chroma_red: Mean red-difference chroma (Cr of ITU-R BT.601), -0.5 to 0.5; 0 is grey; null where it was not
            measured.
        bits_per_pixel: Size of the JPEG as it came over its pixels, bits; null where it was not measured.
        kind: What the picture is of: one object, which is predicted, or the whole view of a camera, which is measured
            and not predicted.
        track: Name of the object among all that this publisher's boot has seen, at most 200 characters; its pictures
            share it. Null where nobody follows objects.
        box: Where the object is in the camera's picture: left, top, width and height as shares of it, 0 to 1. Null
            where that is not known.
        first_seen_ms: When the object was first seen, the camera's clock, Unix milliseconds.
        last_seen_ms: When the object was last seen, the camera's clock, Unix milliseconds; of a picture that is sent
            before it has gone, until then.
        direction: Where the object went in the picture: left, right, up or down. Null where that is not known.
        line: Name of the counting line that the object crossed, at most 200 characters; of several the first. Null
            where it crossed none.
    """

    schema_name: ClassVar[str] = "catseye.Prediction"

    camera: str
    boot: str
    sequence: int
    captured_at_ms: int
    received_at_ms: int
    predicted_at_ms: int
    prediction_id: str
    model: str
    version: str
    role: Role
    frame_partition: int
    frame_offset: int
    label: str
    probabilities: dict[str, float]
    brightness: float
    contrast: float
    sharpness: float
    dark_share: float
    bright_share: float
    perceptual_hash: int
    model_sha256: str
    embedding: list[float]
    telemetry: dict[str, float] = msgspec.field(default_factory=dict)
    activation_map_png: bytes | None = None
    chroma_blue: float | None = None
    chroma_red: float | None = None
    bits_per_pixel: float | None = None
    kind: FrameKind = "object"
    track: str | None = None
    box: list[float] | None = None
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None
    direction: str | None = None
    line: str | None = None


class RepeatedFrame(Record, frozen=True, kw_only=True):
    """A frame that came again and was dropped: frames in = accepted + dead letters + these, by count.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        repeats: Frames of this camera that were dropped so far, this one included; from 1 again after a silence of 16
            days.
        dropped_at_ms: Ingest's clock, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.RepeatedFrame"

    camera: str
    boot: str
    sequence: int
    repeats: int
    dropped_at_ms: int


class RetrainDecision(Record, frozen=True, kw_only=True):
    """Whether to train, and why.

    Attributes:
        decision_id: 32 hexadecimal digits: a hash of its causes.
        model: Name of the model.
        base_version: Version of the champion when it was decided.
        accepted: Whether a training starts.
        because: Stable code: drift, schedule, request, cool_down, too_few_labels, camera_fault and so on.
        detail: One sentence with the numbers.
        causes: Alert ids and request ids that led here.
        fresh_labels: Labels since the champion was trained, by class.
        by: Policy or person.
        decided_at_ms: Event time, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.RetrainDecision"

    decision_id: str
    model: str
    base_version: str
    accepted: bool
    because: str
    detail: str
    causes: list[str]
    fresh_labels: dict[str, int] = msgspec.field(default_factory=dict)
    by: str
    decided_at_ms: int


class TrainingRequest(Record, frozen=True, kw_only=True):
    """A person asks for a training. The retrain trigger reads it; a decision names it among its causes.

    Attributes:
        request_id: 32 hexadecimal digits: a hash of who asks for what and when.
        model: Name of the model; the key of the record.
        reason: Why; may be empty.
        by: Who asks.
        at_ms: Clock of who asks, Unix milliseconds.
    """

    schema_name: ClassVar[str] = "catseye.TrainingRequest"

    request_id: str
    model: str
    reason: str = ""
    by: str
    at_ms: int


UnmatchedReason = Literal["late", "unknown", "repeated", "superseded"]


class UnmatchedLabel(Record, frozen=True, kw_only=True):
    """A label that led to no outcome, and why.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter, at most 200 characters; a publisher that loses count starts a
            new one.
        sequence: Number of the frame within the boot, from 0 up.
        label: The true class; null withdraws an earlier label of this frame.
        labelled_at_ms: The labeller's clock, Unix milliseconds. Of two labels for a frame the one with the later clock
            holds.
        source: Where the label comes from: person, sensor, audit, or a name of your own.
        propensity: Probability, over 0 to 1, with which this frame was chosen to be labelled; 1 when every frame is.
        received_at_ms: Ingest's clock for the label, Unix milliseconds.
        reason: late: past the horizon. unknown: no prediction of that frame. repeated: the same label is there
            already. superseded: a later label is there already.
    """

    schema_name: ClassVar[str] = "catseye.UnmatchedLabel"

    camera: str
    boot: str
    sequence: int
    label: str | None = None
    labelled_at_ms: int
    source: str = "person"
    propensity: float = 1.0
    received_at_ms: int
    reason: UnmatchedReason


class Vehicle(Record, frozen=True, kw_only=True):
    """A vehicle that has driven by: all predictions of one track together. There is one record of each.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter; tracks are numbered within it.
        track: Name of the vehicle among those of the boot.
        vehicle_id: 32 hexadecimal digits: a hash of camera, boot and track.
        first_seen_ms: When it was first seen, the camera's clock, Unix milliseconds; of a publisher that does not say,
            when its first picture was taken.
        last_seen_ms: When it was last seen, the camera's clock, Unix milliseconds.
        received_at_ms: Ingest's clock when it took the first of its pictures, Unix milliseconds.
        completed_at_ms: The vehicles service's clock when no more pictures were waited for, Unix milliseconds.
        model: Name of the model.
        version: Version of the model; of the last picture where several predicted.
        label: The class that is most likely given all its pictures.
        confidence: Probability of that class, 0 to 1.
        probabilities: Probability of each class: the normalised geometric mean of those of its pictures, 0 to 1.
        sequences: Numbers of its frames within the boot, in the order of their predictions. A label of one of them is
            a label of the vehicle.
        direction: Where it went in the picture: left, right, up or down; null where that is not known.
        line: Name of the counting line that it crossed; null where it crossed none.
        box: Where it was in its last picture: left, top, width and height as shares of the camera's picture, 0 to 1;
            null where that is not known.
    """

    schema_name: ClassVar[str] = "catseye.Vehicle"

    camera: str
    boot: str
    track: str
    vehicle_id: str
    first_seen_ms: int
    last_seen_ms: int
    received_at_ms: int
    completed_at_ms: int
    model: str
    version: str
    label: str
    confidence: float
    probabilities: dict[str, float]
    sequences: list[int]
    direction: str | None = None
    line: str | None = None
    box: list[float] | None = None


class VehicleCount(Record, frozen=True, kw_only=True):
    """How many vehicles of a kind passed a camera in a minute. Records add up: each counts what was not counted yet.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        minute_ms: Start of the minute in which they were last seen, the camera's clock, Unix milliseconds.
        label: Their class.
        direction: Where they went; null where that is not known.
        line: Name of the counting line that they crossed; null for none.
        vehicles: How many; at least 1.
    """

    schema_name: ClassVar[str] = "catseye.VehicleCount"

    camera: str
    minute_ms: int
    label: str
    direction: str | None = None
    line: str | None = None
    vehicles: int


class VehicleOutcome(Record, frozen=True, kw_only=True):
    """A vehicle and its true class. A later outcome with the same vehicle_id replaces this one.

    Attributes:
        camera: Name of the camera, 1 to 200 characters; the key of the record.
        boot: Names one run of the publisher's counter; tracks are numbered within it.
        track: Name of the vehicle among those of the boot.
        vehicle_id: 32 hexadecimal digits: a hash of camera, boot and track.
        model: Name of the model.
        version: Version of the model.
        predicted: The class that its pictures together gave.
        confidence: Probability of that class, 0 to 1.
        change: matched: first label of the vehicle. corrected: replaces the earlier outcome. withdrawn: removes it.
        label: The true class; null when withdrawn.
        correct: Whether predicted equals label; null when withdrawn.
        received_at_ms: Ingest's clock when it took the first of its pictures, Unix milliseconds.
        label_received_at_ms: Ingest's clock for the label, Unix milliseconds.
        labelled_at_ms: The labeller's clock, Unix milliseconds.
        source: Source of the label.
        propensity: Propensity of the label.
    """

    schema_name: ClassVar[str] = "catseye.VehicleOutcome"

    camera: str
    boot: str
    track: str
    vehicle_id: str
    model: str
    version: str
    predicted: str
    confidence: float
    change: Change
    label: str | None = None
    correct: bool | None = None
    received_at_ms: int
    label_received_at_ms: int
    labelled_at_ms: int
    source: str
    propensity: float
