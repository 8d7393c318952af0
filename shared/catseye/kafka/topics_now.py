"""What topics are there now, each with its id: a topic that was deleted and made again has the name of the old one, and
offsets that mean other records."""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid

from catseye.kafka.admin import admin

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from catseye.settings import Settings

ANSWER_S: Final = 5.0
"""How long the broker may take for one answer."""
_NO_ID: Final = str(Uuid(0, 0))
"""What librdkafka says for a broker that gives none."""
_NOT_THERE: Final = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}


class TopicNow(NamedTuple):
    """A topic that is there.

    Attributes:
        id: Another one each time that a topic of that name is made; empty where the broker gives none, as those before
            Kafka 2.8 do.
        partitions: How many it has.
    """

    id: str
    partitions: int


def is_another(was: str, now: str) -> bool:
    """Whether two ids of one name are of two topics; where one is not known nobody can say, and it is taken for one."""
    return bool(was and now) and was != now


class TopicsNow:
    """Asks for topics, from any thread, and keeps the last answer for who must not wait.

    Args:
        settings: Where the brokers are.
        names: Full names.
    """

    def __init__(self, settings: "Settings", names: Iterable[str]) -> None:
        self._settings = settings
        self._names = sorted(set(names))
        self._lock = Lock()
        self._client: AdminClient | None = None
        self.known: Mapping[str, TopicNow] = {}
        """The last answer; empty before the first one."""

    def ask(self) -> Mapping[str, TopicNow]:
        """Those that are there, by full name. Raises KafkaException when the broker does not answer."""
        with self._lock:
            if self._client is None:  # made when first needed; only an AdminClient is told ids (decision 0016)
                self._client = admin(self._settings)
            asked = self._client.describe_topics(TopicCollection(self._names), request_timeout=ANSWER_S)
            found: dict[str, TopicNow] = {}
            for name, answer in asked.items():
                try:
                    topic = answer.result(ANSWER_S + 1)
                except KafkaException as fault:
                    if fault.args[0].code() not in _NOT_THERE:
                        raise
                else:
                    topic_id = str(topic.topic_id)
                    found[name] = TopicNow("" if topic_id == _NO_ID else topic_id, len(topic.partitions))
            self.known = found
        return found
