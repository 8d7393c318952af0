"""One training from decision to candidate, in a process of its own: it may be ended at any moment and done again.

Everything that it makes is stored under its own hash, and it hands nothing in: that is for the service, once.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from catseye.client.drafts import FrameId
from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, BadRecord, Unavailable
from catseye.contract.identity import digest
from catseye.contract.records import LabelSuspect
from catseye.models import model_file, signing
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import ModelSpec
from catseye.models.register import store_of
from catseye.models.signing import key_folder
from services.trainer import NAME, checks, data, dataset, export, gate, tracking
from services.trainer.archive import Archive, Taken
from services.trainer.calibrate import fit_temperature
from services.trainer.champion import graph_with, net_of
from services.trainer.core import changed_cameras
from services.trainer.data import Part, batches, joined, taken
from services.trainer.dataset import Labelled
from services.trainer.examples import read_examples, shrink
from services.trainer.fine_tune import OnProgress, Parts, fine_tune
from services.trainer.fit import logits_of, precision_of, worked_s
from services.trainer.gate import DRIFTED, ELSEWHERE, GOLDEN, HeldOut, assess
from services.trainer.job import SUSPECTS_MOST, Job, Result
from services.trainer.lessons import adapted, repeated
from services.trainer.likeness import perceptual_hash
from services.trainer.lite import Lite
from services.trainer.net import Net
from services.trainer.recipe import Recipe, Trial, as_parameters, over_frozen
from services.trainer.run import code_fingerprint
from services.trainer.settings import TrainerSettings
from services.trainer.split import apart, clusters, lacking, split
from services.trainer.suspects import suspects

Crop = NDArray[np.uint8]

_RESERVE_S = 60.0
"""What is left of the budget after fitting, for exporting, judging and storing; a quarter of a small budget."""


@dataclass(frozen=True)
class _Frames:
    """Decoded frames of the road, by time, with what the champion says of them."""

    labelled: list[Labelled]
    part: Part
    hashes: list[int]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]


class Refused(Exception):
    """The data are not fit to train on; says why, a stable code first."""


class Attempt:
    """One training.

    Args:
        settings: What an operator has turned.
        codec: Reads records.
        job: What to do.
        report: Gets a phase and numbers by name.
    """

    def __init__(self, settings: TrainerSettings, codec: Codec, job: Job, report: OnProgress) -> None:
        self._settings = settings
        self._job = job
        self._report = report
        self._archive = Archive(settings, codec)
        self._store = store_of(settings)
        self._until_s = math.inf
        self._recipe = Recipe(
            epochs=settings.trainer_epochs,
            learning_rate=settings.trainer_learning_rate,
            warm_up_epochs=0.3,
            mix_share=0.3,
            mean_decay=0.99,
            start_share=0.15,
            start_teaches=True,
        )
        self._trials: tuple[Trial, ...] = ()
        self._metrics: dict[str, float] = {}
        self._suspects: tuple[LabelSuspect, ...] = ()

    def run(self) -> Result:
        """Do it.

        Raises:
            Unavailable: the broker or the artifact store does not answer.
            Misconfigured: a folder of crops does not fit the model.
            BadModel: the champion is not one that can be gone on from.
            ExportFailed: torch and onnxruntime disagree on the new net.
        """
        torch.set_num_threads(self._settings.trainer_threads)
        cv2.setNumThreads(1)
        self._until_s = worked_s() + self._settings.trainer_budget_s
        self._report("lessons", **{f"rejected_{fault}": number for fault, number in self._faults().items()})
        graph = onnx.load_model_from_string(self._champion())
        session = export.session_of(graph)
        spec = model_file.spec_from_metadata(session.get_modelmeta().custom_metadata_map)
        if not spec.has_plain_ends():
            raise BadModel("the model cannot be trained on: its input or output is not as the trainer's nets have it")
        net = net_of(graph, len(spec.classes))
        self._recipe = adapted(over_frozen(self._recipe) if isinstance(net, Lite) else self._recipe, self._job.lessons)
        examples = read_examples(
            self._settings.trainer_examples_dir,
            self._settings.trainer_golden_dir,
            self._settings.trainer_golden_share,
            spec,
        )
        try:
            frames, changed, origin = self._frames(session, spec)
        except Refused as fault:
            return self._ended(Result(stage="rejected", because=str(fault)), "")
        fresh = [dataset.is_fresh(frame, changed) for frame in frames.labelled]
        of_golden, of_examples = (
            [perceptual_hash(crop) for crop in part.images] for part in (examples.golden, examples.train)
        )
        bits = self._settings.trainer_hash_bits
        cluster_of, golden, replayed = np.split(
            clusters([*frames.hashes, *of_golden, *of_examples], bits=bits),
            [len(frames.hashes), len(frames.hashes) + len(of_golden)],
        )
        frozen = frozenset(golden.tolist())
        parts = split(
            frames.labelled,
            cluster_of.tolist(),
            fresh=lambda frame: dataset.is_fresh(frame, changed),
            frozen=frozen,
            validation_share=self._settings.trainer_validation_share,
            window_share=self._settings.trainer_window_share,
        )
        manifest = dataset.manifest(
            self._job.decision,
            self._job.champion.version,
            frames.labelled,
            parts,
            spec.classes,
            changed_since_ms=changed,
            cut_off_ms=self._job.cut_off_ms,
            examples_sha256=examples.train_sha256,
            golden_sha256=examples.golden_sha256,
            **origin,
        )
        dataset_sha256 = self._kept(dataset.as_bytes(manifest))
        self._report("dataset", frames=len(parts), fresh=sum(fresh), cameras_changed=len(changed))
        refusal = self._checked(frames, cluster_of, fresh, spec)
        if refusal := refusal or lacking(parts, fresh):
            return self._ended(Result(stage="rejected", because=refusal, dataset_sha256=dataset_sha256), "")
        at = {name: np.array([part == name for part in parts]) for name in dataset.PARTS}
        validation, window = taken(frames.part, at["validation"]), taken(frames.part, at["window"])
        replay = taken(
            examples.train, np.array(apart(replayed.tolist(), cluster_of.tolist(), parts, frozen), dtype=bool)
        )
        self._metrics["data/examples"] = float(len(examples.train.images))
        self._metrics["data/examples_apart"] = float(len(replay.images))
        replay = data.at(replay, repeated(replay.labels, spec.classes, self._job.lessons))
        fitted = self._fitted(net, Parts(taken(frames.part, at["train"]), replay, validation), spec)
        graph = graph_with(graph, fitted)
        content, candidate, spec = self._exported(graph, fitted, validation, window, spec, manifest, dataset_sha256)
        # What must not leak may be alike from afar, by way of others; what is counted as one has to be closer.
        pictures = clusters([*frames.hashes, *of_golden], bits=bits // 2)
        held_out = self._held_out(session, candidate, frames, at["window"], fresh, examples.golden, pictures, spec)
        verdict = assess(held_out, margin=self._settings.trainer_margin, error=self._settings.trainer_error)
        self._metrics |= verdict.metrics
        result = Result(
            stage="candidate" if verdict.passed else "rejected",
            because=verdict.because,
            sha256=self._kept(content),
            dataset_sha256=dataset_sha256,
        )
        return self._ended(result, gate.markdown(verdict.rows))

    # -- steps

    def _faults(self) -> dict[str, int]:
        """How many candidates of this champion were rejected, by what they lacked."""
        return Counter(lesson.fault for lesson in self._job.lessons)

    def _champion(self) -> bytes:
        event = self._job.champion
        content = self._store.get(event.sha256)
        signing.verify(event.sha256, event.signature, key_folder(self._settings))
        return content

    def _kept(self, content: bytes) -> str:
        try:
            return self._store.put(content)
        except OSError as fault:
            raise Unavailable(f"the artifact store keeps nothing: {fault}") from fault

    def _frames(self, session: Any, spec: ModelSpec) -> tuple[_Frames, dict[str, int], dict[str, Any]]:
        """Frames with their labels, the changed cameras, and the manifest's entries on where they came from."""
        labels, ranges = self._archive.labels_until(self._job.cut_off_ms, most=self._settings.trainer_outcomes_most)
        labelled = labels.frames()
        known = [frame for frame in labelled if frame.label in spec.classes]
        self._report("labels", outcomes=labels.outcomes, labelled=len(labelled))
        changed = changed_cameras(self._job.decision, self._archive.alerts()) or dataset.fallen_cameras(known)
        chosen = dataset.choose(
            known, changed, most=self._settings.trainer_frames_most, fresh_share=self._settings.trainer_fresh_share
        )
        taken, images = _decoded(self._archive.frames(chosen), spec)
        if not taken:
            raise Refused(f"too_few_frames: of {len(labelled)} labelled frames none is in the archive")
        part = Part(tuple(images), np.array([spec.classes.index(one.frame.label) for one in taken], dtype=np.int64))
        logits, features = answers(session, part, spec)
        self._report("frames", frames=len(taken))
        prefix = self._settings.topic_prefix
        origin = {
            "outcomes_topic": f"{prefix}outcomes",
            "outcomes_ranges": {str(partition): own for partition, own in ranges.items()},
            "frames_topic": f"{prefix}frames.accepted",
            "outcomes_read": labels.outcomes,
            "labelled": len(labelled),
            "unknown_labels": dataset.counted(frame.label for frame in labelled if frame.label not in spec.classes),
            "gone": len(chosen) - len(taken),
        }
        hashes = [one.perceptual_hash for one in taken]
        return _Frames([one.frame for one in taken], part, hashes, logits, features), changed, origin

    def _checked(self, frames: _Frames, cluster_of: NDArray[np.int64], fresh: Sequence[bool], spec: ModelSpec) -> str:
        chances = model_file.probabilities(frames.logits, spec.temperature)
        suspected = suspects(chances, frames.features, frames.part.labels, cluster_of)
        found = checks.check(
            [frame.label for frame in frames.labelled],
            cluster_of.tolist(),
            suspected.tolist(),
            fresh,
            self._settings.limits(),
        )
        self._metrics |= found.numbers
        in_doubt = [frame for frame, is_suspect in zip(frames.labelled, suspected, strict=True) if is_suspect]
        self._suspects = tuple(self._suspect(frame, spec) for frame in in_doubt[-SUSPECTS_MOST:])
        self._report("checked", **found.numbers)
        return found.refusal

    def _suspect(self, frame: Labelled, spec: ModelSpec) -> LabelSuspect:
        """The same however often the training is done."""
        name = FrameId.parse(frame.name)
        return LabelSuspect(
            camera=name.camera,
            boot=name.boot,
            sequence=name.sequence,
            frame_partition=frame.partition,
            frame_offset=frame.offset,
            received_at_ms=frame.received_at_ms,
            label=frame.label,
            classes=list(spec.classes),
            source=frame.source,
            propensity=frame.propensity,
            because="training",
            by=NAME,
            at_ms=self._job.cut_off_ms,
        )

    def _fitted(self, net: Net, parts: Parts, spec: ModelSpec) -> Net:
        settings = self._settings
        began_s = time.monotonic()
        tuned = fine_tune(
            net,
            parts,
            spec,
            self._recipe,
            seed=settings.trainer_seed,
            until_s=self._until_s - min(_RESERVE_S, settings.trainer_budget_s / 4),
            trials=settings.trainer_search_trials,
            # Another decision tries others of the grid; the same one, after a crash, the same.
            search_seed=int(digest("search", self._job.decision.decision_id)[:8], 16),
            report=self._report,
        )
        self._recipe, self._trials = tuned.recipe, tuned.trials
        replayed = round(tuned.recipe.replay_share * len(parts.examples.images))
        self._metrics["fit/seconds"] = round(time.monotonic() - began_s, 3)
        self._metrics["fit/crops"] = float(len(parts.road.images) + replayed)
        if tuned.trials:
            self._metrics["search/trials"] = float(len(tuned.trials))
            self._metrics["search/first_loss"] = tuned.trials[0].loss
            self._metrics["search/best_loss"] = min(trial.loss for trial in tuned.trials if not trial.pruned)
        return tuned.net

    def _exported(
        self,
        graph: onnx.ModelProto,
        net: Net,
        validation: Part,
        window: Part,
        spec: ModelSpec,
        manifest: dataset.Manifest,
        sha256: str,
    ) -> tuple[bytes, onnxruntime.InferenceSession, ModelSpec]:
        """The candidate's file, what runs it, and what it says of itself."""
        self._report("exporting")
        validation_logits = logits_of(net, validation, spec)
        # Validation lies beside what was trained on: a candidate may not be surer than the champion that it comes from.
        temperature = round(max(spec.temperature, fit_temperature(validation_logits, validation.labels)), 4)
        session = export.session_of(graph)
        model_file.check_graph(spec, session.get_inputs(), session.get_outputs())
        both = joined(validation, window)
        self._metrics["export/parity"] = export.check_parity(
            np.concatenate([validation_logits, logits_of(net, window, spec)]), export.served_logits(session, both, spec)
        )
        self._metrics["export/temperature"] = temperature
        commit, dirty = tracking.code_version()
        spec = replace(
            spec,
            temperature=temperature,
            trained={
                "code_sha256": code_fingerprint(),
                "commit": commit,
                "dirty": dirty,
                "decision_id": self._job.decision.decision_id,
                "base_version": self._job.champion.version,
                "base_sha256": self._job.champion.sha256,
                "dataset_sha256": sha256,
                "crops": manifest.by_part,
                "recipe": asdict(self._recipe),
                "seed": self._settings.trainer_seed,
                "search_trials": len(self._trials),
                "lessons": [msgspec.to_builtins(lesson) for lesson in self._job.lessons],
                "precision": precision_of(net),
                "torch": torch.__version__,
            },
        )
        spec = export.with_golden(session, spec, [crop.jpeg for crop in spec.golden])
        return export.as_bytes(graph, spec), session, spec

    def _held_out(
        self,
        champion: Any,
        candidate: Any,
        frames: _Frames,
        in_window: NDArray[np.bool_],
        fresh: Sequence[bool],
        golden: Part,
        pictures: NDArray[np.int64],
        spec: ModelSpec,
    ) -> list[HeldOut]:
        """Frames of the window and golden crops; *pictures* has the number of each frame's, then of each crop's."""
        self._report("evaluating")
        of_frames, of_golden = np.split(pictures, [len(in_window)])
        window = taken(frames.part, in_window)
        labelled = [frame for frame, taken in zip(frames.labelled, in_window, strict=True) if taken]
        where = [DRIFTED if is_fresh else ELSEWHERE for is_fresh, taken in zip(fresh, in_window, strict=True) if taken]
        own = frames.logits[in_window].argmax(axis=1) == window.labels
        other = export.served_logits(candidate, window, spec).argmax(axis=1) == window.labels
        held_out = [
            HeldOut(at, frame.camera, frame.label, *right)
            for at, frame, *right in zip(
                where, labelled, own.tolist(), other.tolist(), of_frames[in_window].tolist(), strict=True
            )
        ]
        if golden.images:
            own = export.served_logits(champion, golden, spec).argmax(axis=1) == golden.labels
            other = export.served_logits(candidate, golden, spec).argmax(axis=1) == golden.labels
            held_out += [
                HeldOut(GOLDEN, "", spec.classes[label], *right)
                for label, *right in zip(golden.labels, own.tolist(), other.tolist(), of_golden.tolist(), strict=True)
            ]
        return held_out

    def _ended(self, result: Result, table: str) -> Result:
        """Log the training, and give *result* with its numbers."""
        settings, decision = self._settings, self._job.decision
        uri = uri_of(settings)
        commit, dirty = tracking.code_version()
        parameters = as_parameters(self._recipe)
        parameters |= {name: str(getattr(settings, name)) for name in type(settings).model_fields if "trainer_" in name}
        tags = {
            "catseye.decision_id": decision.decision_id,
            "catseye.decided_because": f"{decision.because}: {decision.detail}",
            "catseye.decided_by": decision.by,
            "catseye.base_version": self._job.champion.version,
            "catseye.dataset_sha256": result.dataset_sha256 or "",
            "catseye.model_sha256": result.sha256 or "",
            "catseye.stage": result.stage,
            "catseye.because": result.because,
            "catseye.code_sha256": code_fingerprint(),
            "catseye.commit": commit,
            "catseye.dirty": str(dirty).lower(),
            "catseye.tests": "parity, golden crops and gate passed" if result.stage == "candidate" else result.because,
        }
        try:
            run_id = tracking.log_training(
                uri,
                decision.model,
                name=f"{decision.model} {decision.decision_id[:12]}",
                parameters=parameters,
                metrics=self._metrics,
                tags=tags,
                texts={"gate.md": table} if table else {},
                trials=self._trials,
            )
            self._report(f"logged to {uri} as {run_id}")
        except Unavailable as fault:
            # A model must not wait for the diary; what it rests on is in the manifest, the event and the file.
            self._report(f"not logged: {fault}")
        return Result(
            stage=result.stage,
            because=result.because,
            sha256=result.sha256,
            dataset_sha256=result.dataset_sha256,
            metrics=self._metrics,
            suspects=self._suspects,
        )


def warm(settings: TrainerSettings) -> None:
    """Load what a training needs before there is one: torch loads much of itself at the first step."""
    torch.set_num_threads(settings.trainer_threads)
    net = Net(2)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    net(torch.zeros(2, 3, 64, 64)).sum().backward()
    optimiser.step()
    optimiser.zero_grad()
    tracking.client_of(uri_of(settings))


def uri_of(settings: TrainerSettings) -> str:
    """Where trainings are logged."""
    return settings.mlflow_tracking_uri or f"file://{(settings.data_dir / 'mlruns').resolve()}"


def answers(session: Any, part: Part, spec: ModelSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and features of *part*, float32 [N, C] and [N, D]; without features, logits stand in."""
    there = {output.name for output in session.get_outputs()}
    names = [model_file.LOGITS, model_file.FEATURES if model_file.FEATURES in there else model_file.LOGITS]
    rows = [
        session.run(names, {model_file.IMAGE: model_file.to_input([part.images[place] for place in some], spec)})
        for some in batches(np.arange(len(part.images)))
    ]
    return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])


def _decoded(taken: Sequence[Taken], spec: ModelSpec) -> tuple[list[Taken], list[Crop]]:
    kept, images = [], []
    for one in taken:
        try:
            images.append(shrink(decode_rgb(one.jpeg), spec))
        except BadRecord:
            continue  # ingest decoded it once: counted as gone
        kept.append(one)
    return kept, images
