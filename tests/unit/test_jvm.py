"""Why a Java program ended, of what it wrote."""

from pathlib import Path

import pytest

from infra.local import jvm

FULL = """\
2026-11-30T08:44:20,404 WARN TransactionStateManager: Unloaded
2026-11-30T08:44:20,421 ERROR KafkaRaftServer: Exiting Kafka due to fatal exception
org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /data
\tat org.apache.kafka.storage.internals.log.LogManager.lockLogDirs(LogManager.java:1)
Caused by: java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
\tat kafka.Kafka.main(Kafka.scala)
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (FULL, "java.io.IOException: No space left on device"),
        (
            FULL.replace("Caused by: ", "\tat "),
            "org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /data",
        ),
        (
            "2026-11-30T08:44:20,421 ERROR LogManager: Shutdown broker because all log dirs have failed\n",
            "LogManager: Shutdown broker because all log dirs have failed",
        ),
        (
            "Error: Could not find or load main class kafka.Kafka\n",
            "Error: Could not find or load main class kafka.Kafka",
        ),
        ("nothing of the kind\n", "nothing of the kind"),
        ("", "its log is empty"),
    ],
)
def test_the_reason_is_told_and_not_the_last_frame_of_a_trace(tmp_path: Path, log: str, expected: str) -> None:
    """Of this start: what an earlier one wrote is left out."""
    before = "Caused by: what was long ago\n"
    file = tmp_path / "log"
    file.write_text(before + log)
    assert jvm.last_words(file, len(before)) == expected
