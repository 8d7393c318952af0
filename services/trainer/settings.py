"""What an operator can turn on the trainer."""

from pathlib import Path

from pydantic import Field

from catseye.settings import Settings
from services.trainer.checks import Limits


class TrainerSettings(Settings):
    """Budgets, data, checks, recipe and gate."""

    trainer_budget_s: float = Field(
        default=240,
        gt=0,
        description="Work of a training, from decision to candidate, in seconds of processor time of each thread: a "
        "busy machine takes longer for it, and the candidate is the same",
    )
    trainer_longest_s: float = Field(
        default=3_600, gt=0, description="After so long by the clock a training that has not ended is ended, seconds"
    )
    trainer_memory_mb: int = Field(default=6_000, ge=500, description="Most memory of a training, megabytes")
    trainer_threads: int = Field(default=1, ge=1, description="Processor cores that a training may use")
    trainer_niceness: int = Field(default=10, ge=0, le=19, description="How far a training steps back for others")
    trainer_tries: int = Field(
        default=2, ge=1, description="How often a training that ends without a word is tried at most"
    )

    trainer_outcomes_most: int = Field(default=200_000, ge=1, description="Newest outcomes that a training reads")
    trainer_frames_most: int = Field(default=4_000, ge=10, description="Most frames that a training looks at")
    trainer_fresh_share: float = Field(
        default=0.6, gt=0, lt=1, description="Share of them that may be of the changed cameras since their change"
    )
    trainer_examples_dir: Path | None = Field(
        default=None,
        description="Folder of labelled crops, one folder a class, that stand for the time before: their last ones by "
        "number are the golden set, the others are trained on beside the road's",
    )
    trainer_golden_dir: Path | None = Field(
        default=None, description="Folder of the golden set, one folder a class; left out, the last of the examples"
    )
    trainer_golden_share: float = Field(default=0.25, gt=0, lt=1, description="Share of the examples that is golden")
    trainer_window_share: float = Field(
        default=0.2, gt=0, lt=0.5, description="Share of each camera's frames, the newest ones, that the gate judges by"
    )
    trainer_validation_share: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of each camera's frames that the temperature is chosen by"
    )
    trainer_hash_bits: int = Field(
        default=6, ge=0, le=31, description="Frames whose perceptual hashes differ in so few bits are near-identical"
    )

    trainer_fresh_fewest: int = Field(
        default=100, ge=1, description="Labelled frames that must show the change for a training to start"
    )
    trainer_different_fewest: int = Field(default=30, ge=1, description="Different pictures among them")
    trainer_suspects_most: float = Field(
        default=0.15, ge=0, le=1, description="Share of labels that champion and similar frames may both contradict"
    )

    trainer_epochs: int = Field(default=6, ge=1, description="Most passes over the frames; time may allow fewer")
    trainer_learning_rate: float = Field(default=0.02, gt=0, description="Highest learning rate")
    trainer_seed: int = Field(default=1, ge=0, description="Of all chance")
    trainer_search_trials: int = Field(
        default=0,
        ge=0,
        description="Recipes that a training tries within its budget, its own first: other learning rates, weight "
        "decays, augmentations and shares of the examples; the best on validation is kept, 0 tries no others",
    )

    trainer_margin: float = Field(
        default=0.01, ge=0, lt=1, description="Accuracy that may be lost elsewhere even with evidence, 0 to 1"
    )
    trainer_error: float = Field(
        default=0.05, gt=0, lt=1, description="Chance with which an equal candidate is taken for better, or worse"
    )

    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="Where trainings are logged; empty is mlruns/ in the data folder",
    )

    def limits(self) -> Limits:
        """Where a data set is refused."""
        return Limits(self.trainer_fresh_fewest, self.trainer_different_fewest, self.trainer_suspects_most)
