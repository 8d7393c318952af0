"""One training from decision to candidate, in a process of its own: it may be ended at any moment and done again.

Everything that it makes is stored under its own hash, and it announces nothing: that is for the service, once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from catseye import model, signing
from catseye.codec import Codec
from catseye.errors import BadRecord, Unavailable
from catseye.jpeg import decode_rgb
from catseye.model import ModelSpec
from catseye.models import key_folder, store_of
from services.trainer import checks, dataset, export, gate, tracking
from services.trainer.archive import Archive, Taken
from services.trainer.calibrate import fit_temperature
from services.trainer.champion import graph_with, net_of, wake
from services.trainer.core import changed_cameras
from services.trainer.data import Part
from services.trainer.dataset import Labelled
from services.trainer.examples import read_examples, shrink
from services.trainer.fit import Recipe, Step, bfloat16_is_fast, fit, logits_of, steps_per_epoch
from services.trainer.gate import DRIFTED, ELSEWHERE, GOLDEN, Judged, judge
from services.trainer.job import Job, Result
from services.trainer.likeness import perceptual_hash
from services.trainer.net import Net
from services.trainer.run import code_fingerprint
from services.trainer.settings import TrainerSettings
from services.trainer.split import clusters, split
from services.trainer.suspects import suspects

Say = Callable[..., None]
Crop = NDArray[np.uint8]

_WAKING_CROPS = 512
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
        say: Gets a phase and numbers by name.
    """

    def __init__(self, settings: TrainerSettings, codec: Codec, job: Job, say: Say) -> None:
        self._settings = settings
        self._job = job
        self._say = say
        self._archive = Archive(settings, codec)
        self._store = store_of(settings)
        self._until_s = time.monotonic() + settings.trainer_budget_s
        self._recipe = Recipe(
            epochs=settings.trainer_epochs,
            learning_rate=settings.trainer_learning_rate,
            warm_up_epochs=0.3,
            mix_share=0.3,
            mean_decay=0.99,
        )
        self._metrics: dict[str, float] = {}

    def run(self) -> Result:
        """Do it.

        Raises:
            Unavailable: the broker or the artifact store does not answer.
            Misconfigured: a folder of crops does not fit the model.
            BadModel: the champion is not one that can be gone on from.
        """
        torch.set_num_threads(self._settings.trainer_threads)
        cv2.setNumThreads(1)
        graph = onnx.load_model_from_string(self._champion())
        session = export.session_of(graph)
        spec = model.spec_from_metadata(session.get_modelmeta().custom_metadata_map)
        net = net_of(graph, len(spec.classes))
        examples = read_examples(
            self._settings.trainer_examples_dir,
            self._settings.trainer_golden_dir,
            self._settings.trainer_golden_share,
            spec,
        )
        try:
            frames, changed, told = self._frames(session, spec)
        except Refused as fault:
            return self._ended(Result(stage="rejected", because=str(fault)), "")
        fresh = [dataset.is_fresh(frame, changed) for frame in frames.labelled]
        golden_hashes = [perceptual_hash(crop) for crop in examples.golden.images]
        cluster_of = clusters([*frames.hashes, *golden_hashes], bits=self._settings.trainer_hash_bits)
        frozen = frozenset(cluster_of[len(frames.hashes) :].tolist())
        cluster_of = cluster_of[: len(frames.hashes)]
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
            **told,
        )
        dataset_sha256 = self._store.put(dataset.as_bytes(manifest))
        self._say("dataset", frames=len(parts), fresh=sum(fresh), cameras_changed=len(changed))
        refusal = self._checked(frames, cluster_of, fresh, spec)
        if not refusal and min(parts.count(part) for part in ("train", "validation", "window")) < 1:
            refusal = "duplicates: near-identical frames leave no part to train on or to judge by"
        if refusal:
            return self._ended(Result(stage="rejected", because=refusal, dataset_sha256=dataset_sha256), "")
        at = {name: np.array([part == name for part in parts]) for name in dataset.PARTS}
        train = _joined(_taken(frames.part, at["train"]), examples.train)
        fitted = self._fitted(net, train, spec)
        validation, window = _taken(frames.part, at["validation"]), _taken(frames.part, at["window"])
        graph = graph_with(graph, fitted)
        content, candidate, spec = self._exported(graph, fitted, validation, window, spec, manifest, dataset_sha256)
        judged = self._judged(session, candidate, frames, at["window"], fresh, examples.golden, spec)
        verdict = judge(judged, margin=self._settings.trainer_margin, error=self._settings.trainer_error)
        self._metrics |= verdict.metrics
        result = Result(
            stage="candidate" if verdict.passed else "rejected",
            because=verdict.because,
            sha256=self._store.put(content),
            dataset_sha256=dataset_sha256,
        )
        return self._ended(result, gate.markdown(verdict.rows))

    # -- steps

    def _champion(self) -> bytes:
        event = self._job.champion
        content = self._store.get(event.sha256)
        signing.verify(event.sha256, event.signature, key_folder(self._settings))
        return content

    def _frames(self, session: Any, spec: ModelSpec) -> tuple[_Frames, dict[str, int], dict[str, Any]]:
        """Frames with their labels, the changed cameras, and what the manifest is told of where they came from."""
        labels, ranges = self._archive.labels_until(self._job.cut_off_ms, most=self._settings.trainer_outcomes_most)
        labelled = labels.frames()
        known = [frame for frame in labelled if frame.label in spec.classes]
        self._say("labels", outcomes=labels.outcomes, labelled=len(labelled))
        changed = changed_cameras(self._job.decision, self._archive.alerts()) or dataset.fallen_cameras(known)
        chosen = dataset.choose(
            known, changed, most=self._settings.trainer_frames_most, fresh_share=self._settings.trainer_fresh_share
        )
        taken, images = _decoded(self._archive.frames(chosen), spec)
        if not taken:
            raise Refused(f"too_few_frames: of {len(labelled)} labelled frames none is in the archive")
        part = Part(tuple(images), np.array([spec.classes.index(one.frame.label) for one in taken], dtype=np.int64))
        logits, features = answers(session, part, spec)
        self._say("frames", frames=len(taken))
        prefix = self._settings.topic_prefix
        told = {
            "outcomes_topic": f"{prefix}outcomes",
            "outcomes_ranges": {str(partition): own for partition, own in ranges.items()},
            "frames_topic": f"{prefix}frames.accepted",
            "outcomes_read": labels.outcomes,
            "labelled": len(labelled),
            "unknown_labels": dataset.counted(frame.label for frame in labelled if frame.label not in spec.classes),
            "gone": len(chosen) - len(taken),
        }
        hashes = [one.perceptual_hash for one in taken]
        return _Frames([one.frame for one in taken], part, hashes, logits, features), changed, told

    def _checked(self, frames: _Frames, cluster_of: NDArray[np.int64], fresh: Sequence[bool], spec: ModelSpec) -> str:
        chances = model.probabilities(frames.logits, spec.temperature)
        suspected = suspects(chances, frames.features, frames.part.labels, cluster_of)
        found = checks.check(
            [frame.label for frame in frames.labelled],
            cluster_of.tolist(),
            suspected.tolist(),
            fresh,
            self._settings.limits(),
        )
        self._metrics |= found.numbers
        self._say("checked", **found.numbers)
        return found.refusal

    def _fitted(self, net: Net, train: Part, spec: ModelSpec) -> Net:
        chance = np.random.default_rng(self._settings.trainer_seed)
        sample = chance.permutation(len(train.images))[:_WAKING_CROPS]
        wake(net, (model.to_input([train.images[place] for place in some], spec) for some in _batches(sample)))
        each = steps_per_epoch(len(train.images), self._recipe)

        def show(step: Step) -> None:
            if step.done % max(1, each // 4) == 0 or step.done == step.of:
                self._say("fitting", step=step.done, of=step.of, epoch=step.done / each, loss=step.loss)

        left_s = self._until_s - time.monotonic()
        reserve_s = min(_RESERVE_S, self._settings.trainer_budget_s / 4)
        began_s = time.monotonic()
        fitted = fit(
            train,
            spec,
            self._recipe,
            seed=self._settings.trainer_seed,
            on_step=show,
            start=net,
            budget_s=max(1.0, left_s - reserve_s),
        )
        self._metrics["fit/seconds"] = round(time.monotonic() - began_s, 3)
        self._metrics["fit/crops"] = float(len(train.images))
        return fitted

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
        self._say("exporting")
        validation_logits = logits_of(net, validation, spec)
        temperature = round(fit_temperature(validation_logits, validation.labels), 4)
        session = export.session_of(graph)
        model.check_graph(spec, session.get_inputs(), session.get_outputs())
        both = _joined(validation, window)
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
                "precision": "bfloat16" if bfloat16_is_fast() else "float32",
                "torch": torch.__version__,
            },
        )
        spec = export.with_golden(session, spec, [crop.jpeg for crop in spec.golden])
        return export.as_bytes(graph, spec), session, spec

    def _judged(
        self,
        champion: Any,
        candidate: Any,
        frames: _Frames,
        in_window: NDArray[np.bool_],
        fresh: Sequence[bool],
        golden: Part,
        spec: ModelSpec,
    ) -> list[Judged]:
        self._say("judging")
        window = _taken(frames.part, in_window)
        labelled = [frame for frame, taken in zip(frames.labelled, in_window, strict=True) if taken]
        where = [DRIFTED if is_fresh else ELSEWHERE for is_fresh, taken in zip(fresh, in_window, strict=True) if taken]
        own = frames.logits[in_window].argmax(axis=1) == window.labels
        other = export.served_logits(candidate, window, spec).argmax(axis=1) == window.labels
        judged = [
            Judged(at, frame.camera, frame.label, bool(champion_right), bool(candidate_right))
            for at, frame, champion_right, candidate_right in zip(where, labelled, own, other, strict=True)
        ]
        if golden.images:
            own = export.served_logits(champion, golden, spec).argmax(axis=1) == golden.labels
            other = export.served_logits(candidate, golden, spec).argmax(axis=1) == golden.labels
            judged += [
                Judged(GOLDEN, "", spec.classes[label], bool(champion_right), bool(candidate_right))
                for label, champion_right, candidate_right in zip(golden.labels, own, other, strict=True)
            ]
        return judged

    def _ended(self, result: Result, table: str) -> Result:
        """Log the training, and give *result* with its numbers."""
        settings, decision = self._settings, self._job.decision
        uri = uri_of(settings)
        commit, dirty = tracking.code_version()
        parameters = {name: str(value) for name, value in asdict(self._recipe).items()}
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
            )
            self._say(f"logged to {uri} as {run_id}")
        except Unavailable as fault:
            # A model must not wait for the diary; what it rests on is in the manifest, the event and the file.
            self._say(f"not logged: {fault}")
        return Result(
            stage=result.stage,
            because=result.because,
            sha256=result.sha256,
            dataset_sha256=result.dataset_sha256,
            metrics=self._metrics,
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
    names = [model.LOGITS, model.FEATURES if model.FEATURES in there else model.LOGITS]
    rows = [
        session.run(names, {model.IMAGE: model.to_input([part.images[place] for place in some], spec)})
        for some in _batches(np.arange(len(part.images)))
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


def _batches(places: NDArray[np.int64], size: int = 64) -> list[NDArray[np.int64]]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _taken(part: Part, chosen: NDArray[np.bool_]) -> Part:
    return Part(tuple(image for image, taken in zip(part.images, chosen, strict=True) if taken), part.labels[chosen])


def _joined(one: Part, other: Part) -> Part:
    return Part(one.images + other.images, np.concatenate([one.labels, other.labels]))
