"""Fine-tuning: the champion's net goes on learning, by the recipe it is given or by the best that a search finds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catseye.models import model_file
from catseye.models.model_file import ModelSpec
from services.trainer.calibrate import cross_entropy, fit_temperature
from services.trainer.champion import wake
from services.trainer.data import Part, batches, joined, taken
from services.trainer.fit import Step, fit, logits_of, steps_per_epoch, worked_s
from services.trainer.net import Net
from services.trainer.recipe import Recipe, Trial

OnProgress = Callable[..., None]

_WAKING_CROPS = 512


@dataclass(frozen=True)
class Parts:
    """What a net learns from, and what a search chooses by.

    Args:
        road: Training crops of the road.
        examples: Crops that are replayed beside them, as many as the recipe says.
        validation: Crops that nothing is trained on.
    """

    road: Part
    examples: Part
    validation: Part


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Args:
        net: The mean net, ready to be asked.
        recipe: How it was fitted.
        trials: What a search tried, in order; empty without one.
    """

    net: Net
    recipe: Recipe
    trials: tuple[Trial, ...] = ()


def fine_tune(
    net: Net,
    parts: Parts,
    spec: ModelSpec,
    recipe: Recipe,
    *,
    seed: int,
    until_s: float,
    trials: int,
    search_seed: int,
    report: OnProgress,
) -> Tuned:
    """Let *net* learn.

    Args:
        net: As `services.trainer.champion.net_of` gives it.
        parts: Crops.
        spec: Classes, input size and normalisation.
        recipe: How; the first of a search.
        seed: Of all chance but the search's.
        until_s: When it must have ended, searching included, by `services.trainer.fit.worked_s`.
        trials: How many recipes a search may try; 0 searches for none.
        search_seed: Of the order in which they are tried.
        report: Gets a phase and numbers by name.
    """
    chance = np.random.default_rng(seed)
    train = joined(parts.road, parts.examples)
    sample = chance.permutation(len(train.images))[:_WAKING_CROPS]
    wake(net, (model_file.to_input([train.images[place] for place in some], spec) for some in batches(sample)))
    order = chance.permutation(len(parts.examples.images))

    def fitted(by: Recipe, on_pass: Callable[[Net], None] | None = None) -> Net:
        replayed = np.isin(np.arange(len(order)), order[: round(by.replay_share * len(order))])
        part = joined(parts.road, taken(parts.examples, replayed))
        each = steps_per_epoch(len(part.images), by)

        def show(step: Step) -> None:
            if step.done % max(1, each // 4) == 0 or step.done == step.of:
                report("fitting", step=step.done, of=step.of, epoch=step.done / each, loss=step.loss)

        budget_s = max(1.0, until_s - worked_s())
        return fit(part, spec, by, seed=seed, on_step=show, on_pass=on_pass, start=net, budget_s=budget_s)

    def loss_of(one: Net) -> float:
        logits = logits_of(one, parts.validation, spec)
        return cross_entropy(logits, parts.validation.labels, fit_temperature(logits, parts.validation.labels))

    def tried(trial: Trial) -> None:
        report("tried", loss=trial.loss, passes=len(trial.losses), seconds=trial.seconds, pruned=float(trial.pruned))

    if not trials:
        return Tuned(fitted(recipe), recipe)
    # Not at the top: optuna costs memory, and a second at the start, that a training without a search does not owe.
    from services.trainer.search import search  # noqa: PLC0415

    found = search(
        recipe, fitted, loss_of, trials=trials, seed=search_seed, until_s=until_s, on_trial=tried, clock=worked_s
    )
    return Tuned(found.net, found.best.recipe, found.trials)
