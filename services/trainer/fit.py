"""Fitting: many passes over changed crops, and the mean of the weights on the way as the result.

Nothing about a fit is chosen by looking at validation on the way: the number of passes is fixed, the learning rate
falls to zero with it, and the running mean of the weights (Izmailov et al., 2018, "Averaging Weights Leads to Wider
Optima"; Tarvainen and Valpola, 2017) is taken at the end. So validation stays clean for calibration; only a search
(`services.trainer.search`) compares whole fits by it.
"""

import copy
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from catseye.models.model_file import ModelSpec, to_input
from services.trainer.data import Part
from services.trainer.drawn import drawn
from services.trainer.net import Net
from services.trainer.recipe import Recipe

_PACED_EVERY = 16
"""Steps after which it is worked out anew how many fit into the budget."""
_COPIES_SHARE = 0.4
"""Of the budget, at most, for changed copies that are made beforehand; the first one is made in any case."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a person may want to see after each step: how many are done, of how many, and the last loss in nats."""

    done: int
    of: int
    loss: float


def fit(
    part: Part,
    spec: ModelSpec,
    recipe: Recipe,
    *,
    seed: int,
    on_step: Callable[[Step], None],
    on_pass: Callable[[Net], None] | None = None,
    start: Net | None = None,
    budget_s: float = math.inf,
    clock: Callable[[], float] | None = None,
) -> Net:
    """Fit a net on *part*.

    The same seed on the same machine with the same number of threads gives the same weights, unless time runs short.

    Args:
        part: Training crops.
        spec: Classes, input size and normalisation.
        recipe: How.
        seed: Of weights, order, changes and mixing.
        on_step: Called after each step.
        on_pass: Called with the mean net after each pass but the last; the fit ends with what it raises.
        start: Net to go on from, which stays as it is; None starts from nothing.
        budget_s: Most seconds by *clock*. Where the first steps show that they would not be enough, there are fewer
            steps, and the learning rate falls to zero with them.
        clock: Seconds of work; left out, `worked_s`.

    Returns:
        The mean net, with what it keeps of *start*, ready to be asked.
    """
    clock = clock or worked_s
    began_s = clock()
    torch.manual_seed(seed)
    chance = np.random.default_rng([seed, 0])
    net = (copy.deepcopy(start) if start else Net(len(spec.classes))).to(memory_format=torch.channels_last).train()
    after = recipe.frozen_modules if recipe.copies else 0
    net.body[:after].eval().requires_grad_(requires_grad=False)
    mean_net: Net = copy.deepcopy(net).eval()
    teacher = copy.deepcopy(net).eval() if start is not None and recipe.start_teaches else None
    optimiser = _optimiser(net, recipe)
    each = steps_per_epoch(len(part.images), recipe)
    steps = wanted = each * recipe.epochs

    def time_for_a_copy(made: int) -> bool:
        return (clock() - began_s) * (made + 1) / made <= _COPIES_SHARE * budget_s

    with closing(drawn(part, spec, recipe, net, np.random.default_rng([seed, 1]), time_for_a_copy)) as batches:
        copied_s = 0.0
        for step, (inputs, labels) in enumerate(batches):
            if not step and recipe.copies:
                copied_s = clock() - began_s
            if step and step % _PACED_EVERY == 0:
                steps = affordable(step, wanted, clock() - began_s - copied_s, budget_s - copied_s)
            if step >= steps:
                break
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * rate(step, steps, recipe)
            images = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
            targets = _targets(labels, len(spec.classes), recipe)
            if teacher is not None:
                targets = _taught(targets, teacher, images, after)
            images, targets = _mixed(images, targets, recipe, chance)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision_of(net) == "bfloat16"):
                logits = net(images, after)
            loss = -(functional.log_softmax(logits.float(), 1) * targets).sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            # Early on the mean reaches back over a few steps only: the first weights say nothing.
            _follow(mean_net, net, min(recipe.mean_decay, (1 + step) / (10 + step)))
            on_step(Step(step + 1, steps, loss.item()))
            if on_pass is not None and (step + 1) % each == 0 and step + 1 < steps:
                on_pass(_kept(mean_net, start, recipe))
    return _kept(mean_net, start, recipe)


def logits_of(net: Net, part: Part, spec: ModelSpec, *, batch_crops: int = 64) -> NDArray[np.float32]:
    """What *net* says of unchanged crops, float32 [N, C]."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(part.images), batch_crops):
            inputs = to_input(part.images[start : start + batch_crops], spec)
            rows.append(net(torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)).numpy())
    return np.concatenate(rows)


def steps_per_epoch(crop_count: int, recipe: Recipe) -> int:
    """Full batches in one pass, at least one."""
    return max(1, crop_count // recipe.batch_crops)


def affordable(done: int, wanted: int, spent_s: float, budget_s: float) -> int:
    """How many of *wanted* steps the budget allows in all, when *done* of them took *spent_s*; at least *done*."""
    if budget_s == math.inf or spent_s <= 0:
        return wanted
    return max(done, min(wanted, int(done * budget_s / spent_s)))


def worked_s() -> float:
    """Processor time that this process has had for each of its threads, seconds.

    By the clock a training on a busy machine would get fewer steps, and its candidate would be worse for no fault of
    the road's.
    """
    threads: int = torch.get_num_threads()
    return time.process_time() / threads


def rate(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the highest learning rate at *step*: a straight rise, then half a cosine down to zero."""
    warm_up = max(1.0, recipe.warm_up_epochs * steps / recipe.epochs)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def precision_of(net: Net) -> str:
    """What *net* is fitted in here: "bfloat16" where the processor has it in hardware and the net gains from it."""
    fast = net.FAST_IN_BFLOAT16 and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def _optimiser(net: Net, recipe: Recipe) -> torch.optim.Optimizer:
    """Of what learns; biases and scales are not pulled to zero."""
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in learning if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)


def _targets(labels: NDArray[np.int64], class_count: int, recipe: Recipe) -> torch.Tensor:
    """Labels as shares [N, C], smoothed (Szegedy et al., 2016, "Rethinking the Inception Architecture")."""
    shares = functional.one_hot(torch.from_numpy(labels), class_count).float()
    return shares * (1.0 - recipe.label_smoothing) + recipe.label_smoothing / class_count


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not there when types are checked
def _taught(targets: torch.Tensor, teacher: Net, images: torch.Tensor, after: int) -> torch.Tensor:
    """*targets* [N, C], and what *teacher* answers in their place wherever it is right: what is known stays as it is
    known (Li and Hoiem, 2016, "Learning without Forgetting"), and a label says more than a mistake."""
    answers = functional.softmax(teacher(images, after).float(), 1)
    is_right = answers.argmax(1) == targets.argmax(1)
    return torch.where(is_right[:, None], answers, targets)


def _mixed(
    images: torch.Tensor, targets: torch.Tensor, recipe: Recipe, chance: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each crop with another one in it, and both labels by their share; or nothing changed."""
    draw = chance.random()
    if draw >= recipe.mix_share:
        return images, targets
    partner = torch.from_numpy(chance.permutation(len(images)))
    if draw < recipe.mix_share / 2:
        # Beta(0.4, 0.4) keeps most pairs close to one of the two.
        own = chance.beta(0.4, 0.4)
        mixed = images * own + images[partner] * (1.0 - own)
    else:
        top, bottom, left, right = _rectangle(images.shape[2], images.shape[3], chance)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
        own = 1.0 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return mixed, targets * own + targets[partner] * (1.0 - own)


def _kept(learned: Net, start: Net | None, recipe: Recipe) -> Net:
    """*learned* with the share of *start* that it keeps: what was known before is lost first where crops are few
    (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").
    """
    if start is None or not recipe.start_share:
        return learned
    known, net = start.state_dict(), copy.deepcopy(learned)
    with torch.no_grad():
        for name, numbers in net.state_dict().items():
            if numbers.is_floating_point():
                numbers.lerp_(known[name], recipe.start_share)
    return net


def _rectangle(height: int, width: int, chance: np.random.Generator) -> tuple[int, int, int, int]:
    """A rectangle of any area, anywhere, cut off at the edges: top, bottom, left, right."""
    half = math.sqrt(chance.uniform()) / 2.0
    down, across = int(chance.integers(height)), int(chance.integers(width))
    top, bottom = max(0, down - round(half * height)), min(height, down + round(half * height))
    left, right = max(0, across - round(half * width)), min(width, across + round(half * width))
    return top, bottom, left, right


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not there when types are checked
def _follow(mean_net: Net, net: Net, decay: float) -> None:
    """Move the mean net, its batch statistics included, a little towards *net*."""
    for mean, now in zip(mean_net.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1.0 - decay)
        else:
            mean.copy_(now)
