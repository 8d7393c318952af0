"""The main job, whole: `infra/demo`. Sets up, plays a road of cameras, shows it, checks it, sums up, stops all."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import msgspec
from confluent_kafka import KafkaException
from rich.console import Console
from rich.live import Live

from catseye.cli.common import OutFile, write_file
from catseye.cli.settings import check_services
from catseye.cli.streams import print_anything
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import ModelCommand
from catseye.kafka.admin import admin
from catseye.kafka.registry import codec_for
from catseye.models.ask import answers
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings, load
from infra.local.checker import Report, check
from infra.local.demo_alerts import alert_figures, read_alerts, wait_for_alerts
from infra.local.demo_figures import Scoreboard, summary
from infra.local.demo_folder import own_folder
from infra.local.demo_frames import check_pictures
from infra.local.demo_loop import MOST_S, Loop, decisions_made, step_line
from infra.local.demo_models import MODEL, candidate, champion, models_seen, promote
from infra.local.demo_road import Wishes, of_services, wishes
from infra.local.demo_story import Change, next_steps, story
from infra.local.demo_view import (
    BehindLines,
    accuracy_table,
    ending,
    line,
    news_line,
    screen,
    story_table,
    summary_table,
)
from infra.local.evidence import Ledger
from infra.local.jvm import ROOT
from infra.local.log_reader import read_log
from infra.local.processes import last_line
from infra.local.services import PASSING, PASSING_SHOWN
from infra.local.set_up import need_loop
from infra.local.stack import Stack
from infra.local.warm_up import warm_up
from infra.local.watch import STEPS, WATCHED, Watch
from services.simulator.scenario import SCENARIOS

REFRESH_S = 0.25
LINE_EVERY_S = 5.0
PARTITIONS = 3
"""Half of the usual number: on two cores a frame takes 60 ms with them, 74 with six (median)."""
PATIENCE_S = 30.0
"""What is under way may take so long without one more end; then it is called lost."""
_NOT_ON_ROADS = ("frames", "scenario", "after", "change_at", "change_cameras")
SHARE = click.FloatRange(0, 1)
FOLDER = click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
MODEL_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


class Ledgers:
    """Follows the simulator's ledger while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def entries(self) -> list[dict[str, Any]]:
        """Whole lines that came since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._place)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._place += len(whole) + len(newline)
        return [msgspec.json.decode(entry) for entry in whole.split(b"\n") if entry]


class Demo:
    """One run.

    Args:
        wishes: The command line.
        folder: Where data and logs of this run go.
        console: Where a person looks.
        started_s: When the command was called, Unix seconds.
    """

    def __init__(self, wishes: Wishes, folder: Path, console: Console, started_s: float) -> None:
        self._wishes = wishes
        self._console = console
        self._started_s = started_s
        self._logs = folder / "logs"
        self._ledger_file = folder / "ledger.jsonl"
        self._ledgers = Ledgers(self._ledger_file)
        self._board = Scoreboard()
        self._phase = "starting"
        self._model = ""
        self._began_s = time.time()
        self._worse: ModelCommand | None = None
        self._pages: str | None = None
        self._loop = Loop(wishes.change_at_s or 0.0)
        self._road_ended = False
        self._behind_s = 0.0
        self._behind_lines = BehindLines()

    def run(self) -> tuple[dict[str, Any], Report]:
        """Do everything; returns the object for JSON and the checker's report."""
        with ExitStack() as undo:
            settings = self._set_up(undo)
            env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers}
            watch = undo.enter_context(Watch(env, self._log("watch"), (*WATCHED, *STEPS)))
            setup_s = time.time() - self._started_s
            until = ", or until the loop has closed" if self._wishes.until_closed else ""
            self._print(f"ready after {setup_s:.1f} s; publishing for {self._wishes.duration_s:.0f} s{until}")
            if self._wishes.people_label:
                self._print(f"nobody labels this road but people: {self._pages}label")
            self._began_s = time.time()
            simulator = self._simulator(env)
            undo.callback(ended, simulator)
            self._show(simulator, watch, settings)
            ended_s = time.time()
            if not wait_for_alerts(settings):
                self._print(f"drift and incidents have not read all; what they say of it is in {self._logs}")
            self._print("reading the topics back")
            ledger = Ledger.read(self._ledger_file)
            log = read_log(settings)
            report = check(ledger, log)
            self._board.on_sightings(watch.sightings())
            started_at_ms, ended_at_ms = self._span_ms()
            figures = summary(ledger, log, report, self._board.seen_at_ms, started_at_ms)
            figures["alerts"], late = alert_figures(read_alerts(settings), started_at_ms, ended_at_ms)
            if late:
                listed = ", ".join(f"{alert.kind} on {alert.camera or 'the fleet'}" for alert in late)
                self._print(f"alerts that opened after publishing had ended, and are left out: {listed}")
            figures["decisions"] = decisions_made(settings, started_at_ms, ended_at_ms)
            figures["models"] = models_seen(settings, started_at_ms)
            figures["pages"] = self._pages
            figures["story"] = story(figures, self._change(started_at_ms), self._behind_s)
            figures["setup_s"] = round(setup_s, 3)
            figures["duration_s"] = round(ended_s - started_at_ms / 1_000, 3)
            self._print("stopping what was started")
        return figures, report

    def _set_up(self, undo: ExitStack) -> Settings:
        settings = load(Settings)
        happens = self._wishes.change_at_s is not None
        if happens:  # the loop may train
            check_services()
            need_loop()
        self._print("starting Kafka")
        if "kafka_bootstrap_servers" in settings.model_fields_set:  # a cluster of somebody's own
            undo.callback(self._forget_topics, settings)
        broker = Stack(settings, services=())
        undo.callback(Stack(settings).down)
        plan = broker.up()
        settings = settings.model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
        self._print(f"Kafka is at {plan.bootstrap_servers}; handing {self._wishes.model.name} in")
        make_keys(key_folder(settings))
        codec = codec_for(settings)
        asked = champion(settings, codec, self._wishes.model)
        self._model = asked.model
        if self._wishes.worse_model:
            self._print("making a worse model of it, which will be promoted")
            self._worse = candidate(settings, codec, self._wishes.model, self._wishes.frames)
        self._print("starting the services")
        self._pages = Stack(load(Settings), services=PASSING if happens else PASSING_SHOWN).up().pages
        self._print(f"pages: {self._pages}")
        answers(settings, asked)
        if plan.brokers:
            warm_up(settings)
        return settings

    def _forget_topics(self, settings: Settings) -> None:
        """Leave a cluster as it was: delete the topics of this run, by its prefix."""
        client = admin(settings)
        try:
            there = client.list_topics(timeout=10).topics
            own = [name for name in there if name.startswith(settings.topic_prefix)]
            for gone in (client.delete_topics(own) if own else {}).values():
                gone.result()
        except KafkaException as fault:
            self._print(f"topics {settings.topic_prefix}* could not be deleted: {fault.args[0].str()}")

    def _simulator(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        with self._log("simulator").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "services.simulator", *self._wishes.road, "--ledger", str(self._ledger_file)],
                env=dict(env),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _show(self, simulator: "subprocess.Popen[bytes]", watch: Watch, settings: Settings) -> None:
        """Show the road until all that was published has its end, or nothing more comes."""
        if self._wishes.headless:
            self._follow(simulator, watch, settings, lambda: None)
            return
        with Live(console=self._console, auto_refresh=False, screen=False) as live:
            self._follow(simulator, watch, settings, lambda: live.update(self._screen(), refresh=True))

    def _follow(self, simulator: "subprocess.Popen[bytes]", watch: Watch, settings: Settings, refresh: Any) -> None:
        board, patience_until_s, before, line_s = self._board, float("inf"), -1, LINE_EVERY_S
        began_s = time.monotonic()
        while True:
            status = simulator.poll()
            board.on_ledger(self._ledgers.entries())
            sightings = watch.sightings()
            board.on_sightings(sightings)
            self._loop.on_sightings(sightings)
            board.forget(time.time() * 1_000)
            if status is not None:
                if status:
                    kind = Misconfigured if status == 2 else Unavailable
                    raise kind(f"the simulator failed: {last_line(self._log('simulator'))}")
                left = len(board.frames_open) + max(0, board.labels_open)
                if not left:
                    break
                if left != before:
                    before, patience_until_s = left, time.time() + PATIENCE_S
                if time.time() > patience_until_s:
                    self._print(
                        f"{len(board.frames_open)} frames and {max(0, board.labels_open)} labels have no end, and none "
                        f"came for {PATIENCE_S:.0f} s; what the services say of it is in {self._logs}"
                    )
                    break
            elapsed_s = time.time() - self._began_s
            self._phase = self._phase_at(elapsed_s, running=status is None)
            self._promote_in_time(settings)
            self._end_in_time(simulator)
            refresh()
            passed_s, began_s = time.monotonic() - began_s, time.monotonic()
            self._behind_s += passed_s if status is None and board.behind_ms else 0.0
            self._print_news(publishing=elapsed_s < self._wishes.duration_s and not self._road_ended)
            if self._wishes.headless and elapsed_s >= line_s:
                line_s += LINE_EVERY_S
                self._print(line(board, elapsed_s=elapsed_s, duration_s=self._wishes.duration_s))
                for behind in self._behind_lines.at(elapsed_s, board):
                    self._print(behind)
            time.sleep(REFRESH_S)
        refresh()

    def _promote_in_time(self, settings: Settings) -> None:
        """Promote the worse model when its time has come by the road's clock."""
        began_ms, change_at_s = self._board.began_ms, self._wishes.change_at_s
        if self._worse is None or began_ms is None or change_at_s is None:
            return
        if time.time() * 1_000 >= began_ms + change_at_s * 1_000:
            promote(settings, codec_for(settings), self._worse)
            self._worse = None

    def _end_in_time(self, simulator: "subprocess.Popen[bytes]") -> None:
        """End the road once nothing more is to be waited for."""
        began_ms = self._board.began_ms
        if not self._wishes.until_closed or self._road_ended or began_ms is None:
            return
        if self._loop.has_closed(began_ms, time.time() * 1_000, len(self._board.alerts_open)):
            self._road_ended = True
            self._print("nothing more is to be waited for: the road ends")
            simulator.terminate()

    def _print_news(self, *, publishing: bool) -> None:
        """Say which alerts opened or ended; once the road is over, cameras only seem to fall silent."""
        news, self._board.news = self._board.news, []
        if self._wishes.headless and publishing:
            for seen in news:
                self._print(step_line(seen) or news_line(seen))

    def _phase_at(self, elapsed_s: float, *, running: bool) -> str:
        if not running:
            return "waiting for the last ends"
        publishing = elapsed_s < self._wishes.duration_s and not self._road_ended
        return "publishing" if publishing else "labels that were still due, hurried"

    def _screen(self) -> Any:
        return screen(
            self._board,
            elapsed_s=time.time() - self._began_s,
            duration_s=self._wishes.duration_s,
            phase=self._phase,
            model=self._champion(),
        )

    def _champion(self) -> str:
        """Name and version of the model that serves now."""
        versions = [seen.value for seen in self._board.steps if seen.topic == "models" and seen.boot == "champion"]
        return f"{self._model} {versions[-1]}" if versions else self._model

    def _end_line(self) -> dict[str, Any]:
        """The ledger's last line."""
        with self._ledger_file.open("rb") as lines:
            ends = [msgspec.json.decode(entry) for entry in lines if entry.startswith(b'{"kind":"end"')]
        if not ends:
            raise Unavailable(f"the simulator did not finish: {last_line(self._log('simulator'))}")
        end: dict[str, Any] = ends[-1]
        return end

    def _span_ms(self) -> tuple[float, float]:
        """When the first frame could be due, by the ledger's last line, and when publishing ended."""
        end = self._end_line()
        started_ms, ended_ms = float(end["started_at_ms"]), float(end["ended_at_ms"])
        return started_ms, min(started_ms + self._wishes.duration_s * 1_000, ended_ms)

    def _change(self, started_at_ms: float) -> Change:
        """What happened on the road, by the ledger's last line."""
        end = self._end_line()
        if self._wishes.change_at_s is None or end["change_at_ms"] is None:
            return Change()
        at_s = round((end["change_at_ms"] - started_at_ms) / 1_000, 3)
        return Change(at_s, tuple(end["changed_cameras"]), self._wishes.sentence)

    def _log(self, name: str) -> Path:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self._logs / f"{name}.log"

    def _print(self, what: str) -> None:
        self._console.print(what, highlight=False, soft_wrap=True)


def ended(process: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--frames", type=FOLDER, help="One folder of JPEGs a class.  [default: the crops of the example]")
@click.option("--cameras", type=click.IntRange(1, 10_000), default=6, help="How many.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), default=10.0, help="Frames per second of a camera.")
@click.option(
    "--duration",
    type=click.FloatRange(1),
    help="Of publishing, seconds.  [default: 60; where something happens, until the loop has closed, at most "
    f"{MOST_S:.0f} after the change]",
)
@click.option("--label-delay", type=click.FloatRange(0, min_open=True), default=5.0, help="Mean, seconds.")
@click.option("--label-share", type=SHARE, default=0.9, help="Share of frames that get a label.")
@click.option(
    "--labels",
    type=click.Choice(("simulator", "none")),
    default="simulator",
    help="Who labels: the simulator, or only people, on the pages.",
)
@click.option(
    "--scenario", metavar="NAME|FILE", help=f"What happens on the road: {', '.join(SCENARIOS)}, or a file of your own."
)
@click.option("--after", type=FOLDER, help="Frames that changed cameras show, laid out like --frames.")
@click.option("--change-at", type=click.FloatRange(0), help="From when on, seconds.  [default: the scenario's; 30]")
@click.option(
    "--change-cameras",
    metavar="N|SHARE",
    help="Which: a number, or with a point a share.  [default: the scenario's; 1.0 of --after]",
)
@click.option("--model", type=MODEL_FILE, default=MODEL, help="ONNX model to start with.", show_default="infra/example")
@click.option(
    "--roads", is_flag=True, help="Composed films of whole roads through `catseye roadside`, instead of crops."
)
@click.option("--headless", is_flag=True, help="Lines instead of a live screen.")
@click.option("--seed", type=int, default=1, help="Of all chance.")
@click.option("--json", "json_file", type=OutFile(), help="Write one object here.")
def main(*, roads: bool, headless: bool, json_file: Path | None, **asked: Any) -> None:
    """Show Catseye at work: a road of cameras through Kafka, predictions, late labels, alerts, and what came of it.

    Exit status: 0 nothing was lost and nothing repeated; 1 something was, or something failed; 2 misconfigured.
    """
    started_s = float(os.environ.get("INFRA_DEMO_STARTED_S") or time.time())
    wanted = wishes(headless=headless or not sys.stdout.isatty(), **asked)
    check_pictures(wanted.model, wanted.frames, asked["after"])
    if roads and (others := [name for name in _NOT_ON_ROADS if asked[name] is not None]):
        raise Misconfigured(f"--roads plays films of its own; it takes no --{others[0].replace('_', '-')}")
    os.chdir(ROOT)  # so that .env and relative settings are the repository's, wherever the command is called from
    signal.signal(signal.SIGTERM, _stop)
    console = Console()
    os.environ["CATSEYE_TOPIC_PREFIX"] = f"demo-{secrets.token_hex(4)}."
    os.environ.update(of_services(wanted, os.environ))
    if "partitions" not in load(Settings).model_fields_set:
        os.environ["CATSEYE_PARTITIONS"] = str(PARTITIONS)
    try:
        with own_folder(ROOT / ".catseye" / "demo") as folder:
            if roads:
                played = (asked["cameras"], wanted.duration_s, asked["seed"])
                sys.exit(_roads(wanted, folder, console, started_s, played, json_file))
            figures, report = Demo(wanted, folder, console, started_s).run()
    except KeyboardInterrupt:
        sys.exit("infra/demo: stopped before its end; what it had started is stopped too")
    console.print(summary_table(figures))
    console.print(story_table(figures))
    console.print(accuracy_table(figures["story"]))
    console.print(ending(figures, next_steps(figures["story"], wanted.fps)))
    for finding in report.findings:
        console.print(f"broken promise: {finding}", style="red", highlight=False)
    _write(json_file, figures, console)
    sys.exit(1 if report.findings else 0)


def _roads(
    wanted: Wishes,
    folder: Path,
    console: Console,
    started_s: float,
    played: tuple[int, float, int],
    json_file: Path | None,
) -> int:
    """Play films of roads; returns the exit status."""
    from infra.local.demo_roads import RoadsDemo, sentences, table  # noqa: PLC0415 - it is made of this module's

    figures = RoadsDemo(wanted, folder, console, started_s).play(*played)
    console.print(table(figures))
    for sentence in sentences(figures):
        console.print(sentence, highlight=False, soft_wrap=True)
    _write(json_file, figures, console)
    return 1 if figures["lost"] or figures["repeated"] else 0


def _write(file: Path | None, figures: Mapping[str, Any], console: Console) -> None:
    if file:
        write_file(file, msgspec.json.format(msgspec.json.encode(figures), indent=1))
        console.print(f"all figures are in {file}", highlight=False)


def run(argv: Sequence[str]) -> None:
    """Run `infra/demo` with these arguments, and exit."""
    print_anything()
    try:
        main(argv, prog_name="infra/demo")
    except Misconfigured as fault:
        print(f"infra/demo: {fault}", file=sys.stderr)
        sys.exit(2)
    except Unavailable as fault:
        sys.exit(f"infra/demo: {fault}")
