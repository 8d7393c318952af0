"""Whether a broker answers: while none does, nothing comes in, as on a quiet road, and only an answer tells the two
apart."""

import time

from confluent_kafka import KafkaError, KafkaException, Producer

from catseye.runtime.probe import Probe

ASK_EVERY_S = 1.0  # how often a broker that was away is asked for,
ASK_WAIT_S = 0.3  # and how long its answer is waited for


class Connection:
    """Tells *probe* once that no broker answers any more, and once that one does again.

    Args:
        probe: Observes what happens.
        topic: Full name of one that a broker is asked for.
    """

    def __init__(self, probe: Probe, topic: str) -> None:
        self._probe = probe
        self._topic = topic
        self._ask_at: float | None = None  # None while a broker answers

    def on_client_error(self, error: KafkaError) -> None:
        """Faults of connections come here, and fatal ones, which the next call raises again."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.lost()

    def lost(self) -> None:
        """Nothing goes on, whatever the cause."""
        if self._ask_at is None:
            self._ask_at = time.monotonic()
            self._probe.connected(connected=False)

    def ask_again(self, producer: Producer) -> None:
        """Ask a broker that was away, when it is time to."""
        if self._ask_at is None or time.monotonic() < self._ask_at:
            return
        try:
            producer.list_topics(self._topic, ASK_WAIT_S)
        except KafkaException:
            self._ask_at = time.monotonic() + ASK_EVERY_S
        else:
            self._ask_at = None
            self._probe.connected(connected=True)
