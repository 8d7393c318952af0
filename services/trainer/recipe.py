"""How a net is fitted, what a search may change about it, and how a trial of it went."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal

from services.trainer.augment import Augmentation

GRID: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.5, 1.0, 2.0),
    "weight_decay": (1.0, 4.0),
    "augmentation": (0.5, 1.0),
    "replay_share": (0.5, 1.0),
}
"""What a search tries, as factors on the recipe that it begins with: 24 recipes, and 1 everywhere is that one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is fitted.

    Args:
        epochs: Passes over the training crops.
        batch_crops: Crops a step.
        learning_rate: The highest one, after warming up; from there it falls to zero along half a cosine.
        warm_up_epochs: Passes until the highest learning rate.
        optimiser: "sgd", with Nesterov's momentum, or "adamw" (Loshchilov and Hutter, 2019, "Decoupled Weight Decay
            Regularization").
        momentum: Of "sgd", 0 to 1.
        weight_decay: Pull of convolution and classifier weights to zero.
        label_smoothing: Share of each label that is spread over all classes, 0 to 1.
        mix_share: Share of steps in which crops are mixed in pairs: half by blending (Zhang et al., 2018,
            "mixup"), half by pasting a rectangle (Yun et al., 2019, "CutMix").
        mean_decay: How much of the running mean of the weights is kept at each step, 0 to 1.
        augmentation: How far crops are changed.
        replay_share: Share of the example crops that stand beside the road's, 0 to 1; says nothing without them.
        balance: How far rare views of a class are drawn more often, 0 to 1: 0 draws each crop as often as any other,
            1 each view (`catseye.models.views`) as often as any other of its class.
        copies: How many changed copies of each crop are made beforehand, for passes to draw from; fewer where a budget
            of time would not be enough. 0 changes each crop anew in each pass.
        frozen_modules: First modules of the net's body that stay as they are; only with copies, which are then seen
            through them once.
        start_share: How much of each number of the net that a fit goes on from is in the result, 0 to under 1; says
            nothing where it goes on from none.
        start_teaches: Whether the answers of that net, wherever they are right, are learned in the place of labels.
    """

    epochs: int = 80
    batch_crops: int = 32
    learning_rate: float = 0.05
    warm_up_epochs: float = 2.0
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    mix_share: float = 0.5
    mean_decay: float = 0.999
    augmentation: Augmentation = field(default_factory=Augmentation)
    replay_share: float = 1.0
    balance: float = 0.0
    copies: int = 0
    frozen_modules: int = 0
    start_share: float = 0.0
    start_teaches: bool = False


PRETRAINED: Final = Recipe(
    epochs=18,
    batch_crops=64,
    learning_rate=0.002,
    warm_up_epochs=0.9,
    optimiser="adamw",
    weight_decay=0.02,
    mix_share=0.3,
    mean_decay=0.998,
    augmentation=Augmentation(erase_share=0.2, swap_share=0.45),
    balance=0.5,
    copies=8,
    frozen_modules=8,
)
"""How a `services.trainer.lite.Lite` is fitted that begins with ImageNet's weights: half of the crops stand before the
background of others. Its stem and first five blocks stay: they see the most pixels, cost the most to fit, and find on a
road what they find anywhere (infra/decisions/0021)."""


_BUT_THE_LAST: Final = 13
"""Modules of a `Lite` before its last block: three of the stem, and ten blocks."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe that a search tried.

    Args:
        recipe: Which.
        losses: Cross entropy on validation after each pass, in nats.
        seconds: How long it took.
        pruned: Whether it was pruned.
    """

    recipe: Recipe
    losses: tuple[float, ...]
    seconds: float
    pruned: bool

    @property
    def loss(self) -> float:
        """The last one."""
        return self.losses[-1]


def over_frozen(recipe: Recipe) -> Recipe:
    """*recipe* for a `Lite`, of which the last block and the classifier learn: what is before them sees few copies
    once, so that a pass costs what learns. With more of it, what was known of other views goes (infra/decisions/0021).

    Adam's steps do not grow with a gradient: a twentieth of the learning rate of "sgd" goes as far.
    """
    return replace(
        recipe,
        optimiser="adamw",
        learning_rate=recipe.learning_rate / 20.0,
        weight_decay=PRETRAINED.weight_decay,
        copies=3,
        frozen_modules=_BUT_THE_LAST,
    )


def varied(recipe: Recipe, factors: Mapping[str, float]) -> Recipe:
    """*recipe* times *factors*, by the names of `GRID`; what is not named stays."""
    return replace(
        recipe,
        learning_rate=recipe.learning_rate * factors.get("learning_rate", 1.0),
        weight_decay=recipe.weight_decay * factors.get("weight_decay", 1.0),
        augmentation=recipe.augmentation.scaled(factors.get("augmentation", 1.0)),
        replay_share=recipe.replay_share * factors.get("replay_share", 1.0),
    )


def as_parameters(recipe: Recipe) -> dict[str, str]:
    """Each setting of *recipe* by name, as text."""
    return {name: str(value) for name, value in asdict(recipe).items()}
