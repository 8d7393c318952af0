"""Whether a net says the same of a crop whatever else is in its batch. Pure.

A graph may say that any number of crops is welcome and still answer for the first row only, take a mean over all rows,
or fail for some numbers: exporters write the batch of their example into the middle of it. Then predictions depend on
what happened to come together, and nobody can repeat one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel

BATCHES: Final = (2, 3)
"""Numbers of crops that are tried besides one and what a service takes at most."""
TOLERANCE: Final = 1e-3
"""Largest difference between a crop alone and in company, for its largest number: a sum in another order moves the
last bits of a float32, about 1e-6 of it; half floats and integers inside of a net move 1e-4."""
_MADE: Final = 4


def check_batches(
    run: Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]],
    names: Sequence[str],
    golden: NDArray[np.float32],
    most: int,
) -> None:
    """Run golden inputs, and some made of them, alone and together in several numbers and orders.

    Args:
        run: Gives the outputs of a batch, float32 [N, 3, H, W], each [N, …] as `check_rows` wants them.
        names: Of the outputs.
        golden: Inputs of the golden crops, float32 [G, 3, H, W].
        most: Most crops of one run of a service, 1 or more.

    Raises:
        BadModel: an output of a crop has another shape in company, or differs by more than `TOLERANCE`.
    """
    crops = _inputs(golden)
    alone = [run(crops[place : place + 1]) for place in range(len(crops))]
    for size in sorted({1, *BATCHES, most}):
        for order in (np.arange(size), np.arange(size)[::-1] * 3 + 1):
            places = order % len(crops)
            together = run(crops[places])
            for name, output, *singles in zip(names, together, *alone, strict=True):
                _compare(name, output, [singles[place] for place in places])


def check_rows(names: Sequence[str], outputs: Sequence[NDArray[Any]], crops: int) -> None:
    """Raise `BadModel` where an output has not one row a crop."""
    for name, output in zip(names, outputs, strict=True):
        if output.shape[:1] != (crops,):
            raise BadModel(
                f"{name} has the shape {list(output.shape)} for {crops} crops: somewhere in the graph their number is "
                "fixed. Export it with the first axis free in every layer"
            )


def _inputs(golden: NDArray[np.float32]) -> NDArray[np.float32]:
    """Different inputs, of the same range: golden ones, and one of them turned, negated and darkened."""
    first = golden[:1]
    made = np.concatenate([first[..., ::-1], first[..., ::-1, :], -first, first / 2])
    return np.ascontiguousarray(np.concatenate([golden[:_MADE], made]))


def _compare(name: str, output: NDArray[Any], singles: Sequence[NDArray[Any]]) -> None:
    size = len(singles)
    for place, single in enumerate(singles):
        if output[place].shape != single[0].shape:
            raise BadModel(
                f"{name} of a crop has the shape {output[place].shape} among {size}, {single[0].shape} alone."
            )
        off = _difference(output[place], single[0])
        allowed = TOLERANCE * max(1.0, float(np.abs(single[0]).max(initial=0.0, where=np.isfinite(single[0]))))
        if off > allowed:
            raise BadModel(
                f"{name} of a crop differs by {off:.3g} between a batch of {size} and the crop alone (allowed: "
                f"{allowed:.3g}): the net mixes the crops of a batch. Is it exported in evaluation mode (torch: "
                "net.eval()), and does no layer reduce over the first axis?"
            )


def _difference(among: NDArray[Any], alone: NDArray[Any]) -> float:
    """The largest difference of two rows; infinite where one has a number and the other has none."""
    other = ~((among == alone) | (np.isnan(among) & np.isnan(alone)))
    off = np.abs(among[other] - alone[other])
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0.0))
