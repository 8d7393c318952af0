"""`catseye lineage`: where a prediction comes from, who made a model of what, what a dataset influenced."""

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from msgspec.structs import replace

from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.client import FrameId
from catseye.contract.errors import BadRecord, Misconfigured, Unavailable
from catseye.contract.identity import frame_id, prediction_id
from catseye.contract.records import AcceptedFrame, Outcome, Place, Prediction, Role
from catseye.contract.topics import full_name
from catseye.kafka.registry import codec_for
from catseye.models.store import ArtifactStore
from catseye.ops.lineage import answer as answers
from catseye.ops.lineage.answer import Answer, Kept, OfDataset, OfModel, OfPrediction
from catseye.ops.lineage.history import History, Link, Subject, subject_of
from catseye.ops.lineage.index import FILE, OUTCOMES, Index, Known, catch_up
from catseye.ops.lineage.log_reader import LogReader
from catseye.ops.lineage.manifest import Manifest, a_kept_frame, manifest_in
from catseye.settings import Settings

_SHOW_AFTER_S = 1.0
_REGISTER = ("models", "retraining", "training.requests", "alerts")
_FRAMES = "frames.accepted"


@click.command()
@click.argument("subject", metavar="PREDICTION_ID|CAMERA/BOOT/SEQUENCE|MODEL_VERSION|DATASET_SHA256")
@json_option
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), help="Write the frames' JPEGs to this folder."
)
def lineage(subject: str, json_file: Path | None, save: Path | None) -> None:
    """Say where a prediction comes from, who made a model of what, or what a dataset influenced.

    A prediction's id, or its frame's name as all commands print it, gives its frame, its outcome, its model with all
    that led to it, and one frame that the model was trained on. The first characters of a version are enough, as are
    eight digits of a dataset's sha256. Predictions are found by an index in the data folder, which each call that needs
    it brings up to date.
    """
    settings = settings_with_broker()
    with LogReader(settings, codec_for(settings)) as log:
        answer = _Asked(settings, log, save).answer(subject)
        if log.unreadable:
            click.echo(f"{log.unreadable} records of {', '.join(_REGISTER)} cannot be read and were left out", err=True)
    if not write_json(json_file, answers.as_json(answer)):
        click.echo(answers.as_text(answer), nl=False)


def history_of(log: LogReader) -> History:
    """Everything recorded about models. Raises `Unavailable`, `Misconfigured`."""
    records = log.records(_REGISTER)
    return History(*(records[topic] for topic in _REGISTER))


def chain_of(history: History, settings: Settings, model: str, version: str) -> list[Link]:
    """A version, the one that it goes on from, and so on back to the first.

    Raises:
        BadModel: the store gives other bytes for a manifest than were kept.
    """
    # Not `catseye.models.store_of`: onnxruntime comes with that module, and costs half a second.
    store = ArtifactStore(settings.artifacts_url or f"file://{(settings.data_dir / 'artifacts').resolve()}")
    chain: list[Link] = []
    following: str | None = version
    while following and following not in [link.version for link in chain]:
        manifest, missing = _manifest(store, history.dataset_of(model, following))
        chain.append(history.link(model, following, manifest, missing))
        following = chain[-1].base_version
    return chain


def _manifest(store: ArtifactStore, name: str | None) -> tuple[Manifest | None, str]:
    """The manifest, or why there is none: the rest of a lineage holds without it."""
    if name is None:
        return None, ""
    try:
        return manifest_in(store.get(name)), ""
    except (Unavailable, ValueError) as fault:
        return None, str(fault)


def predictions_of(frame: FrameId, versions: Sequence[tuple[str, str]]) -> list[str]:
    """Ids that a prediction of *frame* can have: by the newest version first, those of champions before shadows'."""
    roles: tuple[Role, ...] = ("champion", "shadow")
    return [prediction_id(*frame, model, version, role) for role in roles for model, version in reversed(versions)]


class _Asked:
    """One question, and all that it takes to answer it.

    Args:
        settings: Where broker, store and data folder are.
        log: The log.
        save: Folder for pictures; None keeps none.
    """

    def __init__(self, settings: Settings, log: LogReader, save: Path | None) -> None:
        self._settings = settings
        self._log = log
        self._save = save

    def answer(self, text: str) -> Answer:
        history = history_of(self._log)
        frame = FrameId.parse(text) if text.count("/") > 1 else None
        asked = subject_of(history.versions(), history.datasets(), text) if frame is None else Subject("frame", text)
        if asked.kind == "model":
            return self._of_model(history, asked)
        with Index(self._settings.data_dir / FILE) as index:
            with Progress("indexing predictions and outcomes") as progress:
                catch_up(
                    index,
                    self._log,
                    self._settings.topic_prefix,
                    progress=progress.show,
                    waiting=progress.waits,
                )
            if asked.kind == "dataset":
                return self._of_dataset(history, asked, index)
            ids = [asked.name] if frame is None else predictions_of(frame, history.versions())
            found = ((each, index.find(bytes.fromhex(each))) for each in ids)
            prediction, known = next(((each, one) for each, one in found if one is not None), ("", None))
            if known is None:
                raise Misconfigured(self._unknown(asked, index))
        return self._of_prediction(history, prediction, known)

    def _of_prediction(self, history: History, prediction_id: str, known: Known) -> OfPrediction:
        prefix = self._settings.topic_prefix
        places = [known.place]
        if known.outcome is not None:
            places.append(Place(topic=full_name(OUTCOMES, prefix), partition=known.outcome[0], offset=known.outcome[1]))
        found = self._log.at(places)
        value = found[known.place]
        prediction = None if value is None else self._log.decode(value, Prediction)
        if prediction is not None and prediction.prediction_id != prediction_id:
            raise Misconfigured(
                f"{known.place.topic} has another record at partition {known.place.partition}, offset "
                f"{known.place.offset}: delete {self._settings.data_dir / FILE} and call again"
            )
        outcome, missing = None, "no label came so far"
        if known.outcome is not None:
            value = found[places[1]]
            outcome = None if value is None else self._log.decode(value, Outcome)
            missing = "" if outcome else "a label came, but the log has dropped the outcome"
        chain = chain_of(history, self._settings, known.predictor.model, known.predictor.version)
        training, no_training = self._training_frame(chain[0])
        return OfPrediction(
            prediction_id=prediction_id,
            place=known.place,
            prediction=prediction,
            frame=None if prediction is None else self._frame_of(prediction),
            outcome=outcome,
            outcome_missing=missing,
            chain=chain,
            training_frame=training,
            training_frame_missing=no_training,
        )

    def _of_model(self, history: History, asked: Subject) -> OfModel:
        chain = chain_of(history, self._settings, asked.model, asked.name)
        training, missing = self._training_frame(chain[0])
        return OfModel(
            chain=chain,
            served=history.served(asked.model, asked.name),
            training_frame=training,
            training_frame_missing=missing,
        )

    def _of_dataset(self, history: History, asked: Subject, index: Index) -> OfDataset:
        stages: dict[tuple[str, str], str] = {(event.model, event.version): event.stage for event in history.events}
        return answers.influence(asked.name, history.datasets()[asked.name], stages, index.totals(), index.gaps())

    def _frame_of(self, prediction: Prediction) -> Kept:
        place = Place(
            topic=full_name(_FRAMES, self._settings.topic_prefix),
            partition=prediction.frame_partition,
            offset=prediction.frame_offset,
        )
        name = frame_id(prediction.camera, prediction.boot, prediction.sequence)
        frame = self._log.at([place])[place]
        if frame is None:
            return Kept(place=place, missing=self._dropped())
        kept, picture = self._kept(place, frame)
        if kept.name != name:
            return Kept(place=place, missing=f"another frame lies there, {kept.name}: the topic was made anew")
        return self._saved(kept, picture, "frame")

    def _training_frame(self, link: Link) -> tuple[Kept | None, str]:
        """One training frame of a version, or why there is none."""
        if link.manifest is None:
            return None, link.manifest_missing or "no event names the dataset that this version was trained on"
        topic = full_name(_FRAMES, self._settings.topic_prefix)
        if link.manifest.frames_topic != topic:
            return None, f"the frames lie on {link.manifest.frames_topic or 'no topic that is named'}, not on {topic}"
        firsts = {partition: first for (_, partition), (first, _) in self._log.bounds([_FRAMES]).items()}
        chosen = a_kept_frame(link.manifest, firsts)
        if chosen is None:
            return (
                None,
                f"none of the {link.manifest.by_part.get('train', 0)} training frames is kept: {self._dropped()}",
            )
        place = Place(topic=topic, partition=chosen.partition, offset=chosen.offset)
        frame = self._log.at([place])[place]
        if frame is None:
            return Kept(place=place, label=chosen.label, missing=self._dropped()), ""
        kept, picture = self._kept(place, frame, chosen.label)
        return self._saved(kept, picture, "training-frame"), ""

    def _kept(self, place: Place, value: bytes, label: str = "") -> tuple[Kept, bytes]:
        try:
            frame = self._log.decode(value, AcceptedFrame)
        except BadRecord as fault:
            raise Unavailable(f"{place.topic}-{place.partition} offset {place.offset} is no frame: {fault}") from fault
        kept = Kept(
            place=place,
            name=frame_id(frame.camera, frame.boot, frame.sequence),
            label=label,
            captured_at_ms=frame.captured_at_ms,
            received_at_ms=frame.received_at_ms,
            jpeg_bytes=len(frame.jpeg),
            jpeg_sha256=sha256(frame.jpeg).hexdigest(),
        )
        return kept, frame.jpeg

    def _saved(self, kept: Kept, picture: bytes, what: str) -> Kept:
        if self._save is None:
            return kept
        # Named by place: what a camera calls itself is no name for a file.
        file = self._save / f"{what}-{kept.place.partition}-{kept.place.offset}.jpg"
        try:
            self._save.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture)
        except OSError as fault:
            raise Misconfigured(f"--save: {file} cannot be written: {fault}") from fault
        return replace(kept, saved=str(file))

    def _dropped(self) -> str:
        hours = self._settings.label_horizon_h + self._settings.archive_margin_h
        return f"the archive keeps frames for {hours:g} h (CATSEYE_LABEL_HORIZON_H and CATSEYE_ARCHIVE_MARGIN_H)"

    def _unknown(self, asked: Subject, index: Index) -> str:
        count = sum(total.predictions for total in index.totals())
        missed, unreadable = index.gaps()
        gaps = f"; {missed:,} offsets were dropped from the log before they were indexed" if missed else ""
        gaps += f"; {unreadable:,} records cannot be read" if unreadable else ""
        if asked.kind == "frame":
            return (
                f"none of the {count:,} predictions that are known is of frame {asked.name}{gaps}; `catseye watch "
                "predictions` shows frames, `catseye dead list` those that were refused"
            )
        return (
            f"none of the {count:,} predictions that are known has the id {asked.name}{gaps}; `catseye watch "
            "predictions --json` shows ids: is CATSEYE_TOPIC_PREFIX right?"
        )


class Progress:
    """Says on standard error how far a long read is, once it takes more than a second.

    Args:
        what: Is done meanwhile.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._began_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """*done* of *total* offsets are read."""
        if self._bar is None:
            if time.monotonic() - self._began_s < _SHOW_AFTER_S:
                return
            # Not at the top: most calls are over before there is anything to show.
            from rich import progress  # noqa: PLC0415
            from rich.console import Console  # noqa: PLC0415

            self._bar = progress.Progress(console=Console(stderr=True))
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def waits(self) -> None:
        """Another process is at it."""
        click.echo("another call brings the index up to date: waiting for it", err=True)
