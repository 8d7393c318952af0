"""The command line without a broker: help at once, one sentence for each fault, and what is shown."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye import __version__
from catseye.cli import COMMANDS, catseye, main
from catseye.cli.common import at, table, write_json
from catseye.cli.models import newest_steps
from catseye.cli.repeats import frames_repeated, sentence
from catseye.cli.topics import _kept
from catseye.cli.watch import _line
from catseye.contract.dead_letters import KEPT_MAX_BYTES, destination
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Reason, Unavailable
from catseye.contract.records import (
    Alert,
    DeadLetter,
    DriftStatistic,
    ModelEvent,
    Outcome,
    Prediction,
    RepeatedFrame,
    Stage,
)
from catseye.contract.topics import Kept
from catseye.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES_OF_MODELS = ("onnxruntime", "cv2", "simplejpeg")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    reported = capsys.readouterr()
    return int(ended.value.code or 0), reported.out, reported.err


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broker that nobody is at, and a folder without `.env`."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("catseye.cli.common._ANSWER_S", 0.1)
    monkeypatch.chdir(tmp_path)


def test_the_version_is_the_one_that_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """In a checkout too, where nothing is installed."""
    assert run(capsys, "--version") == (0, f"catseye {__version__}\n", "")


@pytest.mark.parametrize(("name", "output"), [("topcs", "'topcs'. Did you mean 'topics'?"), ("xyz", "'xyz'.")])
def test_a_command_that_is_not_there_is_named_with_the_nearest(
    capsys: pytest.CaptureFixture[str], name: str, output: str
) -> None:
    """Where one is near."""
    status, _, err = run(capsys, name)
    assert (status, err.splitlines()[-1]) == (2, f"Error: No such command {output}")


def test_help_loads_no_client_and_every_command_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` is there at once: none of the slow packages is loaded for it."""
    slow = "('confluent_kafka', 'aiokafka', 'onnxruntime', 'torch', 'pydantic', 'fastavro', 'numpy')"
    code = f"""
import sys
from catseye.cli import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in {slow} if name in sys.modules])
"""
    reported = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert reported.splitlines()[-1] == "[]"
    for name, (_, line) in COMMANDS.items():
        assert f"{name}  " in reported
        status, help_, _ = run(capsys, name, "--help")
        assert (status, line.split()[0][:4] in help_) == (0, True)


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the customary status of a wrong command line."""
    status, _, err = run(capsys, "wach")
    assert status == 2
    assert "No such command 'wach'" in err


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Misconfigured("set it right"), 2),
        (Unavailable("nobody there"), 1),
        (BadModel("no model"), 1),
        (BadRecord(Reason.CAMERA_EMPTY, "camera is empty"), 1),
    ],
)
def test_each_fault_of_ours_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int
) -> None:
    """And an exit status that says whether a person must act; no stack."""

    def fail(_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("catseye.cli.catseye", fail)
    assert run(capsys, "topics") == (status, "", f"Error: {fault}\n")
    assert catseye.name == "catseye"


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("command", ["topics", "models list", "dead list", "watch alerts", "label a b/1 car"])
def test_an_absent_broker_is_one_sentence(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Within a moment, and with what to do."""
    status, out, err = run(capsys, *command.split())
    assert (status, out) == (1, "")
    assert err.startswith("Error: no Kafka broker answers at 127.0.0.1:1: is it up")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["promote 1234", "reject 1234", "rollback", "register FILE", "first FILE"])
def test_only_who_opens_a_model_file_needs_the_packages_that_run_one(tmp_path: Path, command: str) -> None:
    """`pip install '.[cli]'` brings none of them: where one is missing, one sentence says what installs it."""
    file = tmp_path / "any.onnx"
    file.write_bytes(b"any")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({PACKAGES_OF_MODELS}))
import catseye.cli.common
catseye.cli.common._ANSWER_S = 0.1
from catseye.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "models", *command.replace("FILE", str(file)).split()],
        env={"PYTHONPATH": str(ROOT / "shared"), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    if "FILE" in command:
        assert done.returncode == 2
        assert done.stderr == (
            "Error: a model file is looked into before it is signed, which needs the package onnxruntime: "
            "`pip install '.[models]'` in the folder of Catseye's sources installs it\n"
        )
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("Error: no Kafka broker answers at 127.0.0.1:1")


def test_the_extra_has_the_packages_that_run_a_model() -> None:
    """By the names that the package index has for them."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["models"]
    named = {re.split("[>=<~]", package)[0] for package in extras}
    installed = packages_distributions()
    others = {"cryptography", "fsspec", "numpy"}  # those have other users too: keys, the store, states of services
    assert named == {installed[module][0] for module in PACKAGES_OF_MODELS} | others


@pytest.mark.usefixtures("nobody")
def test_keys_are_made_without_a_broker_and_named_in_full(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The data folder is relative to the working folder by default; a second call makes none anew."""
    public = tmp_path / ".catseye" / "keys" / "model-signing.pub.pem"
    assert run(capsys, "models", "keys") == (0, f"{public}\n", "")
    made = public.read_bytes()
    assert run(capsys, "models", "keys")[0] == 0
    assert public.read_bytes() == made
    (public.parent / "model-signing.pem").unlink()
    status, out, err = run(capsys, "models", "keys")
    assert (status, out) == (2, "")
    assert "only a public one: models are signed elsewhere" in err


@pytest.mark.usefixtures("nobody")
def test_settings_are_listed_with_those_of_services_and_without_passwords(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Variable, value, default, meaning; what is secret is only said to be set."""
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "rosebud")
    monkeypatch.setenv("CATSEYE_INGEST_FUTURE_MAX_MS", "1234")
    status, out, _ = run(capsys, "settings", "--json", str(tmp_path / "new" / "settings.json"))
    listed = {row["variable"]: row for row in json.loads((tmp_path / "new" / "settings.json").read_text())["settings"]}
    assert status == 0
    assert "rosebud" not in out + json.dumps(listed)
    assert listed["KAFKA_SASL_PASSWORD"]["value"] == "(set, not shown)"
    assert listed["KAFKA_BOOTSTRAP_SERVERS"]["of"] == "common"
    assert (listed["CATSEYE_INGEST_FUTURE_MAX_MS"]["of"], listed["CATSEYE_INGEST_FUTURE_MAX_MS"]["value"]) == (
        "ingest",
        "1234",
    )
    assert all(row["meaning"] for row in listed.values())
    assert out.splitlines()[0].split() == ["VARIABLE", "VALUE", "DEFAULT", "MEANING"]


@pytest.mark.usefixtures("nobody")
def test_settings_are_listed_where_only_the_library_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as in a checkout, with the values that are set."""
    monkeypatch.setenv("CATSEYE_DRIFT_ACCURACY_FLOOR", "0.5")
    fields = ("of", "variable", "default", "meaning")
    _, in_a_checkout, _ = run(capsys, "settings", "--json", "-")
    monkeypatch.setattr("catseye.cli.settings.find_spec", lambda name: None)
    status, out, _ = run(capsys, "settings", "--json", "-")
    assert status == 0
    rows, there = json.loads(out)["settings"], json.loads(in_a_checkout)["settings"]
    assert [[row[name] for name in fields] for row in rows] == [[row[name] for name in fields] for row in there]
    assert [row["value"] for row in rows if row["variable"] == "CATSEYE_DRIFT_ACCURACY_FLOOR"] == ["0.5"]


@pytest.mark.usefixtures("nobody")
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the services do."""
    monkeypatch.setenv("CATSEYE_PARTITION", "3")
    assert run(capsys, "topics") == (
        2,
        "",
        "Error: CATSEYE_PARTITION is not a setting; did you mean CATSEYE_PARTITIONS?\n",
    )


@pytest.mark.usefixtures("nobody")
def test_wrong_frames_and_files_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before anything is sent."""
    assert run(capsys, "label", "gate", "b/x", "car")[2].startswith("Error: field_out_of_range: 'gate/b/x' is no frame")
    assert "is a frame of yard, not of gate" in run(capsys, "label", "gate", "yard/b/1", "car")[2]
    for argv in (("gate", "b/1"), ("gate", "b/1", "car", "--withdraw")):
        status, _, err = run(capsys, "label", *argv)
        assert status == 2
        assert "give either a CLASS or --withdraw" in err
    assert "give either IDs or --reason" in run(capsys, "dead", "replay")[2]
    assert "there is no JPEG in" in run(capsys, "publish", str(tmp_path), "--camera", "gate")[2]


def test_json_is_one_object_with_bytes_as_base64(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """To a file beside the usual output, or to standard output instead of it."""
    assert write_json(None, {}) is False
    assert write_json(tmp_path / "b.json", {"value": b"\x00\xff"}) is False
    assert json.loads((tmp_path / "b.json").read_text()) == {"value": "AP8="}
    assert write_json(Path("-"), {"value": 1}) is True
    assert json.loads(capsys.readouterr().out) == {"value": 1}


def test_tables_have_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Each as wide as its widest cell."""
    table([("A", "LONG", "END"), ("aaa", "b", "c")])
    assert capsys.readouterr().out == "A    LONG  END\naaa  b     c\n"
    assert at(1_700_000_000_000) == "2023-11-14 22:13:20"


def test_a_table_that_is_not_on_a_terminal_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A row is a line however long it is; what cameras are called is no markup."""
    table([("NAME", "WHY"), ("[red]a[/red]", "long " * 200 + ":smile: http://h/1"), ("摄像头", "wide")])
    assert capsys.readouterr().out == (
        f"NAME          WHY\n[red]a[/red]  {'long ' * 200}:smile: http://h/1\n摄像头        wide\n"
    )


def test_how_long_topics_are_kept_is_reported_in_words() -> None:
    """Hours, or why not."""
    reported = [_kept(kept, Settings()) for kept in (Kept.SHORT, Kept.HORIZON, Kept.COMPACTED, Kept.FOR_EVER)]
    assert reported == ["24 h", "192 h", "last of each key", "for ever"]


def step(version: str, stage: Stage, at_ms: int, model: str = "m") -> ModelEvent:
    return ModelEvent(
        event_id="e",
        model=model,
        version=version,
        stage=stage,
        sha256="s",
        signature=b"",
        because="x",
        by="me",
        at_ms=at_ms,
    )


def test_models_show_what_each_version_is_now() -> None:
    """Newest step first; one is champion, those before it are replaced, whatever their names."""
    events = [
        step("1", "champion", 1),
        step("2", "candidate", 2),
        step("9", "champion", 3, "other"),
        step("2", "champion", 4),
    ]
    shown = [(row["model"], row["version"], row["stage"]) for row in newest_steps(events)]
    assert shown == [("m", "2", "champion"), ("other", "9", "replaced"), ("m", "1", "replaced")]
    assert newest_steps([]) == []


def test_a_canary_is_shown_beside_the_champion() -> None:
    """One that has some cameras replaces nobody; a shadow of another name waits."""
    canary = msgspec.structs.replace(step("2", "champion", 2), cameras=["gate"])
    events = [step("1", "champion", 1), canary, step("9", "shadow", 3, "other")]
    shown = [(row["version"], row["stage"]) for row in newest_steps(events)]
    assert shown == [("9", "candidate"), ("2", "canary"), ("1", "champion")]


def letter(topic: str) -> DeadLetter:
    return DeadLetter(
        dead_letter_id="d", service="ingest", reason="x", detail="y", topic=topic, partition=0, offset=0,
        written_at_ms=0, refused_at_ms=0,
    )  # fmt: skip


def test_a_version_that_is_refused_is_shown_so_and_the_one_before_serves() -> None:
    """Whatever its stage says: inference does not serve it."""
    events = [step("1", "champion", 1), step("2", "champion", 2)]
    rows = newest_steps(events, {("m", "2"): "weights lie elsewhere"})
    assert [(row["version"], row["stage"], row["refused"]) for row in rows] == [
        ("2", "refused", "weights lie elsewhere"),
        ("1", "champion", ""),
    ]


def test_refused_records_go_back_to_public_topics_only() -> None:
    """One that was re-keyed goes back to frames; what a service wrote does not go anywhere."""
    assert [destination(letter(f"t.{topic}"), "t.") for topic in ("frames", "labels", "frames.rekeyed")] == [
        "t.frames",
        "t.labels",
        "t.frames",
    ]
    with pytest.raises(Misconfigured, match=r"t\.labels\.accepted, which only a service writes to"):
        destination(letter("t.labels.accepted"), "t.")
    with pytest.raises(Misconfigured, match="only the first bytes"):
        destination(replace(letter("t.frames"), value=bytes(KEPT_MAX_BYTES)), "t.")


FIELDS = {
    "camera": "gate",
    "boot": "b",
    "sequence": 4,
    "captured_at_ms": 0,
    "received_at_ms": 0,
    "predicted_at_ms": 0,
    "model": "m",
    "version": "v",
    "role": "champion",
    "frame_partition": 0,
    "frame_offset": 0,
    "prediction_id": "p",
    "brightness": 0.5,
    "contrast": 0.1,
    "sharpness": 0.1,
    "dark_share": 0.0,
    "bright_share": 0.0,
    "perceptual_hash": 0,
    "model_sha256": "s",
    "embedding": [],
    "label": "car",
    "probabilities": {"car": 0.75},
    "predicted": "car",
    "confidence": 0.5,
    "source": "s",
    "propensity": 1.0,
    "labelled_at_ms": 0,
    "label_received_at_ms": 0,
    "label_delay_ms": 0,
    "signal": "brightness",
    "phase": "day",
    "detector": "d",
    "at_ms": 0,
    "count": 9,
    "estimate": 0.25,
    "reference": 0.5,
    "reference_name": "r",
    "evidence": 3.0,
    "threshold": 10.0,
    "learning_left": 0,
    "alert_id": "a",
    "revision": 0,
    "state": "opened",
    "kind": "input",
    "severity": "warning",
    "since_ms": 0,
    "opened_at_ms": 0,
    "updated_at_ms": 0,
    "by": "drift",
    "explanation": "It is dark.",
}
ZERO = "1970-01-01 00:00:00  "


@pytest.mark.parametrize(
    ("kind", "own", "line"),
    [
        (Prediction, {"kind": "object"}, "gate/b/4  car 75.0%  m v"),
        (Outcome, {"kind": "object", "correct": True, "change": "matched"}, "gate/b/4  car: right  (matched)"),
        (
            Outcome,
            {"kind": "object", "correct": False, "label": "van", "change": "corrected"},
            "gate/b/4  car: wrong, was van  (corrected)",
        ),
        (
            Outcome,
            {"kind": "object", "correct": None, "label": None, "change": "withdrawn"},
            "gate/b/4  car: withdrawn  (withdrawn)",
        ),
        (DriftStatistic, {}, "gate  brightness day  0.25, normally 0.5  evidence 3 of 10"),
        (
            DriftStatistic,
            {"learning_left": 840, "reference": 0.0},
            "gate  brightness day  0.25, learning what is normal, 840 to go  evidence 3 of 10",
        ),
        (Alert, {}, "gate  warning input opened  It is dark."),
        (Alert, {"camera": None}, "fleet  warning input opened  It is dark."),
    ],
)
def test_a_watched_record_is_a_line(kind: type[Any], own: dict[str, Any], line: str) -> None:
    """What a person wants to see of each kind."""
    assert _line(msgspec.convert(FIELDS | own, kind)) == ZERO + line


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        (["settings", "--json"], "/dev/null/x/o.json"),
        (["settings", "--json"], "."),
        (["settings", "--json"], "/proc/o.json"),
        (["label", "gate-7", "b/0", "car", "--json"], "/dev/null/o.json"),
        (["models", "promote", "abc", "--because", "x", "--json"], "/dev/null/o.json"),
        (["dead", "replay", "abc", "--json"], "/dev/null/o.json"),
        (["dead", "show", "abc", "--save"], "/dev/null/o.jpg"),
    ],
)
def test_a_file_that_cannot_be_written_is_reported_before_the_work(
    capsys: pytest.CaptureFixture[str], nobody: None, argv: list[str], file: str
) -> None:
    """In a sentence that names it, with status 2; nobody was asked for a broker."""
    status, out, reported = run(capsys, *argv, file)
    assert (status, out) == (2, "")
    assert argv[-1] in reported
    assert file in reported
    assert "broker" not in reported


def test_looking_whether_a_file_can_be_written_leaves_none(
    capsys: pytest.CaptureFixture[str], nobody: None, tmp_path: Path
) -> None:
    """A command that fails leaves no empty file, and what stood there before as it was."""
    (tmp_path / "there.json").write_text("before")
    for name in ("new/o.json", "there.json"):
        assert run(capsys, "label", "gate-7", "b/0", "car", "--json", str(tmp_path / name))[0] == 1
    assert list((tmp_path / "new").iterdir()) == []
    assert (tmp_path / "there.json").read_text() == "before"


def test_a_file_that_can_no_longer_be_written_is_reported(tmp_path: Path) -> None:
    """A disk that filled up meanwhile, a folder that was taken away."""
    with pytest.raises(Misconfigured, match=r"o\.json cannot be written"):
        write_json(tmp_path / "gone" / "o.json", {})


def test_what_came_again_is_said_of_those_with_the_most() -> None:
    """The newest count of each camera holds; of many cameras three are named and the rest is summed."""

    def repeat(camera: str, repeats: int) -> RepeatedFrame:
        return RepeatedFrame(camera=camera, boot="b", sequence=0, repeats=repeats, dropped_at_ms=0)

    assert sentence(frames_repeated([])) == ""
    one = frames_repeated([repeat("a", 6), repeat("a", 7)])
    assert sentence(one) == "frames that came again and were dropped: 7 of a"
    many = frames_repeated([repeat(camera, repeats) for camera, repeats in (("a", 1), ("b", 9), ("c", 5), ("d", 1))])
    assert sentence(many) == "frames that came again and were dropped: 9 of b, 5 of c, 1 of a and 1 of others"
