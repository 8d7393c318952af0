"""Searching: some recipes of a grid are tried one after another, and the net that is best on validation is taken.

The recipe that would be used without a search comes first, so that a search that time cuts short is no worse than none.
A trial that is over the median of those before it after the same pass is pruned (Akiba et al., 2019, "Optuna: A
Next-generation Hyperparameter Optimization Framework"). Nothing is kept on the way: a training that a crash cut short
begins again, and tries the same in the same order, as far as its time goes.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna

from services.trainer.net import Net
from services.trainer.recipe import GRID, Recipe, Trial, varied

WORST = 1e6
"""Loss of a net whose weights have run away, in nats: no number that a comparison takes is larger."""


@dataclass(frozen=True)
class Found:
    """What a search ended with.

    Args:
        net: The best one.
        best: Its trial.
        trials: All, in their order.
    """

    net: Net
    best: Trial
    trials: tuple[Trial, ...]


def search(
    recipe: Recipe,
    fit: Callable[[Recipe, Callable[[Net], None]], Net],
    loss_of: Callable[[Net], float],
    *,
    trials: int,
    seed: int,
    until_s: float,
    on_trial: Callable[[Trial], None],
    grid: Mapping[str, Sequence[float]] = GRID,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Try *recipe* and others of *grid*.

    Args:
        recipe: The first, which all others are factors on.
        fit: Fits a net by a recipe and calls the function after each pass but the last; keeps to the time that is left
            by itself.
        loss_of: Cross entropy of a net on validation, in nats; never on what the gate judges by.
        trials: How many at most, at least 1.
        seed: Of the order.
        until_s: When all must have ended, by *clock*. After the first, no trial starts that would take longer than the
            longest so far and not be done by then.
        on_trial: Called after each.
        grid: Factors by name, see `services.trainer.recipe.GRID`; 1 is among them.
        clock: Seconds, from anywhere.
    """
    done: dict[Recipe, Trial] = {}
    best: tuple[Net, Trial] | None = None

    def objective(asked: optuna.Trial) -> float:
        nonlocal best
        own = varied(recipe, {name: asked.suggest_categorical(name, factors) for name, factors in grid.items()})
        if own in done:
            return done[own].loss  # the first is in the grid too; hence one more is asked for, below
        losses: list[float] = []
        began_s = clock()

        def evaluate(net: Net) -> None:
            loss = loss_of(net)
            losses.append(loss if math.isfinite(loss) else WORST)

        def evaluate_on_the_way(net: Net) -> None:
            evaluate(net)
            asked.report(losses[-1], len(losses))
            if asked.should_prune():
                ended(pruned=True)
                raise optuna.TrialPruned

        def ended(*, pruned: bool) -> Trial:
            trial = done[own] = Trial(own, tuple(losses), round(clock() - began_s, 3), pruned)
            on_trial(trial)
            return trial

        net = fit(own, evaluate_on_the_way)
        evaluate(net)
        trial = ended(pruned=False)
        if best is None or trial.loss < best[1].loss:
            best = net, trial
        return trial.loss

    def end_in_time(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if len(done) == trials or clock() + max(trial.seconds for trial in done.values()) > until_s:
            study.stop()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler(grid, seed),
        # While the learning rate is high, a loss says little: nothing is pruned in the first third.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=recipe.epochs // 3 + 1),
    )
    study.enqueue_trial(dict.fromkeys(grid, 1.0))
    study.optimize(objective, n_trials=trials + 1, callbacks=[end_in_time])
    assert best is not None  # the first is never pruned
    return Found(*best, tuple(done.values()))
