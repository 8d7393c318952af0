"""By heartbeats alone it is known what is down, in a crash loop or refused; a restart is no fault."""

from catseye.contract.records import Problem
from catseye.runtime.presence import Patience
from tests.simulation.processes import START_MS, Processes, refused

ALL = ("ingest-0", "inference-0", "drift-0")


def test_services_that_run_have_no_fault() -> None:
    """For hours; nor is anything wrong where nobody ever ran."""
    processes = Processes(*ALL)
    processes.wait(7_200)
    assert processes.faults == []
    assert Processes().faults == []


def test_a_service_that_is_gone_is_down() -> None:
    """After the limit, and since its last heartbeat; it says what is known of the end."""
    processes = Processes(*ALL)
    processes.wait(60)
    processes.kill("inference-0")
    processes.wait(30)
    assert processes.faults == []
    processes.wait(3)
    (fault,) = processes.faults
    assert (fault.service, fault.kind, fault.subject, fault.since_ms) == (
        "inference",
        "service_down",
        "",
        START_MS + 60_000,
    )
    assert fault.sentence == (
        "No sign of life from inference (inference-0 on here): it wrote nothing at its end, so it was killed, or "
        "hangs, or its machine is off or cannot reach the broker"
    )
    processes.start("inference-0")
    assert processes.faults == []


def test_a_restart_is_none() -> None:
    """As long as one takes on a busy machine: 19 seconds after kill -9, again and again with minutes between."""
    processes = Processes(*ALL)
    for _ in range(10):
        processes.wait(90)
        processes.kill("ingest-0")
        processes.wait(19)
        assert processes.faults == []
        processes.start("ingest-0")
        assert processes.faults == []


def test_a_wanted_stop_is_none() -> None:
    """Of one service, of one worker of several, and of all."""
    processes = Processes(*ALL, "inference-1")
    processes.end("drift-0")
    processes.end("inference-1")
    processes.wait(3_600)
    assert processes.faults == []
    for name in ("ingest-0", "inference-0"):
        processes.end(name)
    processes.wait(3_600)
    processes.presence.nobody_until(processes.now_ms)
    assert processes.faults == []


def test_a_service_that_refuses_its_settings_says_why() -> None:
    """Its one heartbeat is the last; it was stopped in good order before."""
    processes = Processes(*ALL)
    processes.end("ingest-0")
    processes.wait(10)
    processes.start("ingest-0", "starting")
    processes.end("ingest-0", "failed", "CATSEYE_INGEST_X: no number.")
    processes.wait(33)
    (fault,) = processes.faults
    assert fault.sentence == "No sign of life from ingest (ingest-0 on here): CATSEYE_INGEST_X: no number"


def test_a_worker_of_several_that_is_gone_is_named() -> None:
    """Others do its work; it is missed for a day."""
    processes = Processes("inference-0", "inference-1", "inference-2")
    processes.kill("inference-1")
    processes.wait(60)
    (fault,) = processes.faults
    assert "No sign of life from 1 of 3 workers of inference (inference-1 on here)" in fault.sentence
    processes.wait(24 * 3_600)
    assert processes.faults == []


def loop(processes: Processes, times: int, every_s: int, why: str = "no such file") -> None:
    """A process that starts, and fails after a second."""
    for _ in range(times):
        processes.start("inference-0", "starting")
        processes.wait(1)
        processes.end("inference-0", "failed", why)
        processes.wait(every_s - 1)


def test_a_crash_loop_is_told_though_it_is_never_gone_for_long() -> None:
    """With the words of the last end; over once a process outlives what a loop allows."""
    processes = Processes("ingest-0", "inference-0")
    processes.wait(60)
    processes.kill("inference-0")
    loop(processes, 3, 6)
    assert processes.faults == []
    loop(processes, 2, 6)
    (fault,) = processes.faults
    assert (fault.service, fault.kind) == ("inference", "service_down")
    assert fault.sentence == "inference-0 on here is in a crash loop: no such file"
    processes.start("inference-0")
    processes.wait(74)
    assert [fault.kind for fault in processes.faults] == ["service_down"]
    processes.wait(6)
    assert processes.faults == []


def test_a_crash_loop_that_stays_down_is_one_fault() -> None:
    """Its supervisor gave up: it is in a loop no more once the starts are past, and is still down."""
    processes = Processes("ingest-0", "inference-0")
    processes.kill("inference-0")
    loop(processes, 5, 6)
    processes.wait(120)
    (fault,) = processes.faults
    assert "crash loop" in fault.sentence
    processes.wait(300)
    (fault,) = processes.faults
    assert fault.sentence == "No sign of life from inference (inference-0 on here): no such file"


def test_starts_after_wanted_stops_are_no_crash_loop() -> None:
    """Somebody who tries settings."""
    processes = Processes("ingest-0", "inference-0")
    for _ in range(20):
        processes.wait(2)
        processes.end("inference-0")
        processes.start("inference-0")
    assert processes.faults == []


def test_a_broker_that_was_away_silences_nobody() -> None:
    """An hour; whoever comes back first speaks for nobody else."""
    processes = Processes(*ALL)
    processes.wait(60)
    processes.broker_is_away = True
    processes.wait(3_600)
    processes.broker_is_away = False
    beat = processes.kill("drift-0")
    processes.wait(20)
    assert processes.faults == []
    processes.write(beat)
    assert processes.faults == []


def test_time_without_heartbeats_that_was_heard_would_be_noticed() -> None:
    """Negative control of the one before: others went on all the while."""
    processes = Processes(*ALL)
    processes.wait(60)
    processes.kill("drift-0")
    processes.wait(3_600)
    assert [fault.service for fault in processes.faults] == ["drift"]


def test_a_new_reader_knows_the_same() -> None:
    """Of the whole topic, and of one that was compacted: heartbeats that are missing there were heard."""
    processes = Processes(*ALL)
    processes.has("ingest-0", refused("2"))
    processes.wait(60)
    processes.kill("drift-0")
    processes.wait(600)
    before = processes.faults
    assert [fault.service for fault in before] == ["drift", "ingest"]
    for compacted in (False, True):
        processes.read_again(compacted=compacted)
        assert processes.faults == before


def test_a_process_that_was_suspended_does_not_take_the_place_of_its_successor() -> None:
    """It goes on after another one has begun; nor are the two a crash loop."""
    processes = Processes("ingest-0", "drift-0")
    suspended = processes.kill("ingest-0")
    processes.wait(20)
    processes.start("ingest-0")
    for _ in range(30):
        processes.write(suspended)
        processes.wait(3)
    assert processes.faults == []
    processes.kill("ingest-0")
    for _ in range(12):
        processes.write(suspended)
        processes.wait(3)
    assert [fault.service for fault in processes.faults] == ["ingest"]


def test_what_is_refused_is_a_fault_while_the_process_says_so() -> None:
    """Once, however many workers say it; with model, version and reason. A process that was stopped refuses nothing."""
    processes = Processes("inference-0", "inference-1", "ingest-0")
    for name in ("inference-0", "inference-1"):
        processes.has(name, refused("2"), refused("3", "it mixes its batch"))
    one, two = processes.faults
    assert (one.kind, one.model, one.version, one.sentence) == (
        "model_refused",
        "road",
        "2",
        "road 2: its signature is not ours",
    )
    assert two.sentence == "road 3: it mixes its batch"
    processes.has("inference-0")
    processes.has("inference-1", refused("3"))
    assert [fault.version for fault in processes.faults] == ["3"]
    processes.end("inference-1")
    assert processes.faults == []
    processes.has("ingest-0", Problem(kind="topics_mismatch", subject="", detail="8 and 6", since_ms=1))
    assert [fault.sentence for fault in processes.faults] == ["8 and 6"]


def test_who_listens_to_silence_knows_that_all_are_gone() -> None:
    """A command that reads the topic once and hears nobody."""
    processes = Processes(*ALL)
    processes.wait(60)
    processes.presence.nobody_until(processes.now_ms + 31_000)
    assert [fault.service for fault in processes.faults] == ["drift", "inference", "ingest"]
    assert [beat.service for beat in processes.presence.instances()] == ["drift", "inference", "ingest"]


def test_the_limits_are_settings() -> None:
    """Though a process that writes seldom is not gone before it missed a few."""
    processes = Processes(*ALL, patience=Patience(down_ms=5_000))
    processes.kill("drift-0")
    processes.wait(9)
    assert processes.faults == []
    processes.wait(3)
    assert [fault.service for fault in processes.faults] == ["drift"]
