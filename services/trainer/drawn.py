"""What the steps of a fit are made of: which crops, changed how.

Changes are made anew for each pass, on a thread of their own; or some copies of each crop beforehand, which are then
seen once through the part of the net that stays as it is, so that a pass costs only what learns.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from catseye.models.model_file import ModelSpec, to_input
from services.trainer.augment import augment
from services.trainer.balance import shares_of
from services.trainer.cutout import Cutout, cut_out
from services.trainer.data import Part, batches
from services.trainer.net import Net
from services.trainer.recipe import Recipe

Drawn = tuple[NDArray[np.float32], NDArray[np.int64]]

_BATCHES_AHEAD = 4


class Changing:
    """Crops of *part*, each changed anew whenever it is asked for."""

    def __init__(self, part: Part, spec: ModelSpec, recipe: Recipe, chance: np.random.Generator) -> None:
        self._part, self._spec, self._augmentation, self._chance = part, spec, recipe.augmentation, chance
        swaps = self._augmentation.swap_share > 0
        self._cutouts: list[Cutout] = [cut_out(image) for image in part.images] if swaps else []
        self._left = [cutout.place for cutout in self._cutouts if cutout.place is not None]

    def __call__(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The net's input, float32 [N, 3, H, W], of the crops at *places*."""
        return to_input([self._one(place) for place in places], self._spec)

    def _one(self, place: int) -> NDArray[np.uint8]:
        another = self._left[self._chance.integers(len(self._left))] if self._left else None
        mask = self._cutouts[place].mask if self._cutouts else None
        return augment(self._part.images[place], self._augmentation, self._chance, mask=mask, place=another)


def drawn(
    part: Part,
    spec: ModelSpec,
    recipe: Recipe,
    net: Net,
    chance: np.random.Generator,
    time_for_a_copy: Callable[[int], bool] = lambda _: True,
) -> Generator[Drawn, None, None]:
    """Inputs and labels of each step, for what comes after the frozen modules of *net*.

    Args:
        part: Crops.
        spec: Input size and normalisation.
        recipe: How they are changed, in what order, and how many copies are made at most.
        net: What is fitted.
        chance: Of changes and order.
        time_for_a_copy: Whether another copy of all crops may be made after so many.
    """
    changing = Changing(part, spec, recipe, chance)
    made = _copies(changing, part, recipe, net, chance, time_for_a_copy) if recipe.copies else changing
    waiting: deque[tuple[Future[NDArray[np.float32]], NDArray[np.int64]]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        for places in _orders(part, recipe, chance):
            waiting.append((pool.submit(made, places), part.labels[places]))
            if len(waiting) > _BATCHES_AHEAD:
                inputs, labels = waiting.popleft()
                yield inputs.result(), labels
        for inputs, labels in waiting:
            yield inputs.result(), labels


def _copies(
    changing: Changing,
    part: Part,
    recipe: Recipe,
    net: Net,
    chance: np.random.Generator,
    time_for_a_copy: Callable[[int], bool],
) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
    every = np.arange(len(part.images))
    frozen = net.body[: recipe.frozen_modules].eval()
    with torch.inference_mode():
        copies: list[NDArray[np.float16]] = []
        while not copies or (len(copies) < recipe.copies and time_for_a_copy(len(copies))):
            copies.append(np.concatenate([_seen(frozen, changing(some)) for some in batches(every, 32)]))
    which = np.random.default_rng(chance.integers(2**63))

    def one_of(places: NDArray[np.int64]) -> NDArray[np.float32]:
        chosen = which.integers(len(copies), size=len(places))
        found = [copies[copy][place] for copy, place in zip(chosen.tolist(), places.tolist(), strict=True)]
        return np.stack(found).astype(np.float32)

    return one_of


def _seen(frozen: torch.nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float16]:
    images = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
    return np.asarray(frozen(images).contiguous().numpy().astype(np.float16))


def _orders(part: Part, recipe: Recipe, chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Places of the crops of each step; each pass has its own order and leaves out what fills no batch."""
    # The order has a generator of its own: that of the changes is used on the other thread.
    order_chance = np.random.default_rng(chance.integers(2**63))
    crop_count = len(part.images)
    shares = shares_of(part, recipe.balance) if recipe.balance else None
    size = min(recipe.batch_crops, crop_count)
    for _ in range(recipe.epochs):
        even = shares is None
        order = order_chance.permutation(crop_count) if even else order_chance.choice(crop_count, crop_count, p=shares)
        for start in range(0, crop_count - size + 1, size):
            yield order[start : start + size]
