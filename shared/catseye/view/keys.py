"""Names of all keys of the read model, once for who writes them and who reads them.

All of it follows from topics and is rebuilt when `epoch` is missing; nothing stands here alone. It is meant for one
Redis server, not for a cluster: one script writes keys of every kind.
"""

from dataclasses import dataclass

FORMAT = "2"
"""Of what is written; a read model of another format is rebuilt."""


def log_place(partition: int, offset: int) -> str:
    """Where a record lies on its topic, as the read model and addresses have it: ``PARTITION/OFFSET``."""
    return f"{partition}/{offset}"


def partition_and_offset(place: str) -> tuple[int, int]:
    """What `log_place` was made of; a topic may stand before it. Raises ValueError for anything else."""
    partition, offset = place.split("/")[-2:]
    return int(partition), int(offset)


@dataclass(frozen=True)
class Keys:
    """Keys under one prefix.

    Args:
        topic_prefix: The setting of that name: what several installations that share a server are told apart by.
    """

    topic_prefix: str

    @property
    def root(self) -> str:
        """What every key begins with."""
        return f"{self.topic_prefix}view:"

    @property
    def epoch(self) -> str:
        """String: format and a random name of this build of the read model."""
        return self.root + "epoch"

    @property
    def begins(self) -> str:
        """String: there while a process takes away what an earlier build left."""
        return self.root + "begins"

    @property
    def offsets(self) -> str:
        """Hash: partition (``predictions/3``) to the offset up to which the read model stands for it."""
        return self.root + "offsets"

    @property
    def progress(self) -> str:
        """Hash: ``read`` and ``total`` records of a build, and ``whole``, 1 once it has caught up."""
        return self.root + "progress"

    @property
    def live(self) -> str:
        """Stream: one entry a batch, what changed in it, as JSON in the field ``changes``; capped."""
        return self.root + "live"

    @property
    def cameras(self) -> str:
        """Sorted set of camera names, all with score 0: in the order of their bytes."""
        return self.root + "cameras"

    def camera(self, name: str) -> str:
        """Hash: what is known of a camera now; each field is written by one topic."""
        return f"{self.root}camera:{name}"

    def signals(self, name: str) -> str:
        """Hash: signal to its newest statistic, JSON."""
        return f"{self.root}signals:{name}"

    def versions(self, name: str) -> str:
        """Hash: ``MODEL/VERSION`` to when its first prediction for the camera came, Unix milliseconds."""
        return f"{self.root}versions:{name}"

    def vehicles(self, name: str) -> str:
        """Hash: class, direction and line of vehicles (JSON: ``["car","up",null]``) to how many there were."""
        return f"{self.root}vehicles:{name}"

    def picture(self, name: str) -> str:
        """String: the camera's newest picture, JPEG of at most 320 pixels' width; has a lifetime."""
        return f"{self.root}picture:{name}"

    def plot(self, series: str, subject: str, step_ms: int, chunk: int) -> str:
        """String: packed numbers of one series and one stretch of time; see `catseye.view.plots`."""
        return f"{self.root}plot:{series}:{step_ms // 1_000}:{chunk}:{subject}"

    @property
    def alerts(self) -> str:
        """Hash: alert_id to its newest record, JSON."""
        return self.root + "alerts"

    @property
    def alerts_open(self) -> str:
        """Sorted set: alert_id by its newest record's event time, of those that are not resolved."""
        return self.root + "alerts:open"

    @property
    def alerts_resolved(self) -> str:
        """Sorted set: likewise, of those that are."""
        return self.root + "alerts:resolved"

    @property
    def models(self) -> str:
        """List: every event of `models`, JSON, oldest first."""
        return self.root + "models"

    @property
    def decisions(self) -> str:
        """List: the newest decisions of `retraining`, JSON, newest first; capped."""
        return self.root + "decisions"

    def race(self, model: str, champion: str, shadow: str) -> str:
        """Hash: propensity and who was right (``1/both``, ``champion``, ``shadow``, ``neither``) to paired outcomes."""
        return f"{self.root}race:{model}/{champion}/{shadow}"

    @property
    def races(self) -> str:
        """Sorted set: ``MODEL/CHAMPION/SHADOW`` by when its newest label came, Unix milliseconds."""
        return self.root + "races"

    @property
    def dead(self) -> str:
        """Sorted set: dead_letter_id by when it was refused, Unix milliseconds; the newest, capped."""
        return self.root + "dead"

    @property
    def dead_letters(self) -> str:
        """Hash: dead_letter_id to the dead letter without its bytes, JSON, with the place where it lies."""
        return self.root + "dead:letters"

    @property
    def dead_reasons(self) -> str:
        """Hash: ``TOPIC/REASON`` to how many there were."""
        return self.root + "dead:reasons"

    @property
    def processes(self) -> str:
        """Hash: ``SERVICE/INSTANCE`` to the newest heartbeat of it, JSON; `backlogs` there is what waits for it."""
        return self.root + "processes"

    @property
    def counts(self) -> str:
        """Hash: topic to the records of it that the read model stands for."""
        return self.root + "counts"

    # -- the queue of frames that people are asked to label

    def drawer(self, name: str, camera: str = "") -> str:
        """Sorted set: frames of a drawer by when they were received, Unix milliseconds; the newest, capped. The drawer
        of evidence has one a camera."""
        return f"{self.root}queue:{name}:{camera}"

    def drawn(self, name: str, camera: str = "") -> str:
        """Hash: frame of that drawer to what is known of it, JSON."""
        return f"{self.root}queue:{name}:frames:{camera}"

    @property
    def suspected(self) -> str:
        """Sorted set: camera to how many alarms of drift it has now."""
        return self.root + "queue:suspected"

    @property
    def labelled(self) -> str:
        """Sorted set: frames of the queue that have a label, by when it came; capped."""
        return self.root + "queue:labelled"

    @property
    def answered(self) -> str:
        """Sorted set: frames that somebody has answered, by when; capped."""
        return self.root + "queue:answered"

    @property
    def answered_by(self) -> str:
        """Hash: frame that somebody has answered to his name."""
        return self.root + "queue:answered:by"

    @property
    def second_opinions(self) -> str:
        """Sorted set: frames that a second person has answered, by when; capped."""
        return self.root + "queue:seconds"

    @property
    def looked_again(self) -> str:
        """Sorted set: frames with a label in doubt that somebody has looked at again, by when; capped."""
        return self.root + "queue:again"

    @property
    def skipped(self) -> str:
        """Sorted set: ``PERSON`` and frame, a line feed between, that he does not want to answer; capped."""
        return self.root + "queue:skipped"

    @property
    def opinions(self) -> str:
        """Sorted set: likewise, of frames that two people answer on purpose, by when; capped."""
        return self.root + "queue:opinions"

    @property
    def opinion_labels(self) -> str:
        """Hash: likewise, to the class that he gave."""
        return self.root + "queue:opinions:said"

    @property
    def people(self) -> str:
        """Sorted set: who has answered, by when he did last, Unix milliseconds."""
        return self.root + "queue:people"

    def answers_of(self, person: str) -> str:
        """Sorted set: his answers by when he gave them, Unix milliseconds; capped."""
        return f"{self.root}queue:answers:{person}"

    def lease(self, frame: str, *, second: bool = False) -> str:
        """String: who looks at a frame now, for a first or a second opinion; has a lifetime. It belongs to the gateway:
        no build takes it away."""
        return f"{self.topic_prefix}label-lease:{1 + second}:{frame}"
