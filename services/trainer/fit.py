"""Fitting: many passes over changed crops, and the mean of the weights on the way as the result.

Nothing is chosen by looking at validation while fitting: the number of passes is fixed, the learning rate falls
to zero with it, and the running mean of the weights (Izmailov et al., 2018, "Averaging Weights Leads to Wider
Optima"; Tarvainen and Valpola, 2017) is taken at the end. So validation stays clean for calibration.
"""

import copy
import math
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from catseye.model import ModelSpec, to_input
from services.trainer.augment import Augmentation, augment
from services.trainer.data import Part
from services.trainer.net import Net

_BATCHES_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is fitted.

    Args:
        epochs: Passes over the training crops.
        batch_crops: Crops a step.
        learning_rate: The highest one, after warming up; from there it falls to zero along half a cosine.
        warm_up_epochs: Passes until the highest learning rate.
        momentum: Of stochastic gradient descent after Nesterov, 0 to 1.
        weight_decay: Pull of convolution and classifier weights to zero.
        label_smoothing: Share of each label that is spread over all classes, 0 to 1.
        mix_share: Share of steps in which crops are mixed in pairs: half by blending (Zhang et al., 2018,
            "mixup"), half by pasting a rectangle (Yun et al., 2019, "CutMix").
        mean_decay: How much of the running mean of the weights is kept at each step, 0 to 1.
        augmentation: How far crops are changed.
    """

    epochs: int = 80
    batch_crops: int = 64
    learning_rate: float = 0.1
    warm_up_epochs: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    mix_share: float = 0.5
    mean_decay: float = 0.998
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a person may want to see after each step."""

    step: int
    steps: int
    loss: float


def fit(part: Part, spec: ModelSpec, recipe: Recipe, *, seed: int, on_step: Callable[[Progress], None]) -> Net:
    """Fit a net on *part*.

    The same seed on the same machine with the same number of threads gives the same weights.

    Args:
        part: Training crops.
        spec: Classes, input size and normalisation.
        recipe: How.
        seed: Of weights, order, changes and mixing.
        on_step: Called after each step.

    Returns:
        The mean net, ready to be asked.
    """
    torch.manual_seed(seed)
    chance = np.random.default_rng([seed, 0])
    net = Net(len(spec.classes)).to(memory_format=torch.channels_last).train()
    mean_net = copy.deepcopy(net).eval()
    decayed = [weight for weight in net.parameters() if weight.ndim > 1]
    free = [weight for weight in net.parameters() if weight.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
    )
    steps = steps_per_epoch(len(part.images), recipe) * recipe.epochs
    batches = _ahead(_batches(part, spec, recipe, np.random.default_rng([seed, 1])))
    for step, (inputs, labels) in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate(step, steps, recipe)
        images = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
        targets = _targets(labels, len(spec.classes), recipe)
        images, targets = _mixed(images, targets, recipe, chance)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
            logits = net(images)
        loss = -(functional.log_softmax(logits.float(), 1) * targets).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        # Early on the mean reaches back over a few steps only: the first weights say nothing.
        _follow(mean_net, net, min(recipe.mean_decay, (1 + step) / (10 + step)))
        on_step(Progress(step + 1, steps, float(loss)))
    return mean_net


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


def rate(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the highest learning rate at *step*: a straight rise, then half a cosine down to zero."""
    warm_up = max(1.0, recipe.warm_up_epochs * steps / recipe.epochs)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 in hardware: then fitting takes half the time."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _batches(
    part: Part, spec: ModelSpec, recipe: Recipe, chance: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    size = min(recipe.batch_crops, len(part.images))
    for _ in range(recipe.epochs):
        order = chance.permutation(len(part.images))
        for batch in range(steps_per_epoch(len(part.images), recipe)):
            places = order[batch * size : (batch + 1) * size]
            changed = [augment(part.images[place], recipe.augmentation, chance) for place in places]
            yield to_input(changed, spec), part.labels[places]


def _ahead(
    batches: Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]],
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """The same batches, made on a thread of their own while the net is at work."""
    ready: queue.Queue[tuple[NDArray[np.float32], NDArray[np.int64]] | BaseException | None] = queue.Queue(
        _BATCHES_AHEAD
    )
    given_up = threading.Event()

    def put(item: tuple[NDArray[np.float32], NDArray[np.int64]] | BaseException | None) -> None:
        while not given_up.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for batch in batches:
                put(batch)
                if given_up.is_set():
                    return
            put(None)
        except BaseException as fault:  # noqa: BLE001 - raised again where the batches are read
            put(fault)

    worker = threading.Thread(target=make, name="batches", daemon=True)
    worker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        given_up.set()
        worker.join()
