"""The example's net: the first two thirds of EfficientNet-lite0, whose weights were learnt from pictures of anything.

Tan and Le, 2019, "EfficientNet"; lite0 is its edition without channel gates, with ReLU6. Crops of one road are few and
show each class from few angles; what edges, wheels and windows look like is known from elsewhere (`imagenet`). The last
five blocks and the head are left out: most of the numbers are there, for a third of the cost.
"""

from typing import Any, Final

import torch
from torch import nn

from services.trainer.net import Net

STEM_CHANNELS: Final = 32
STAGES: Final = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))
"""Kernel, stride, expansion, channels and blocks; from 80 x 80 pixels to maps of 5 x 5."""
_NORM_EPS: Final = 1e-3
"""As the weights were learnt with."""


class Block(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """An inverted residual (Sandler et al., 2018, "MobileNetV2"): wider, filtered channel by channel, narrow again."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        widening = [*_convolution(channels_in, wide, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widening,
            *_convolution(wide, wide, side, stride, groups=wide),
            nn.ReLU6(inplace=True),
            *_convolution(wide, channels, 1),
        )
        self.has_short_cut = stride == 1 and channels_in == channels

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """[N, channels_in, h, w] to [N, channels, h / stride, w / stride]."""
        found = self.body(maps)
        return maps + found if self.has_short_cut else found


class Lite(Net):
    """As `services.trainer.net.Net`, with another body."""

    DROPOUT = 0.2
    FAST_IN_BFLOAT16 = False
    """Filtering channel by channel takes twice as long in it."""

    @staticmethod
    def _layers() -> tuple[list[nn.Module], int]:
        channels = STEM_CHANNELS
        layers: list[nn.Module] = [*_convolution(3, channels, 3, 2), nn.ReLU6(inplace=True)]
        for side, stride, expansion, wider, blocks in STAGES:
            for block in range(blocks):
                layers.append(Block(channels, wider, side, stride if block == 0 else 1, expansion))
                channels = wider
        return layers, channels


def _convolution(channels_in: int, channels: int, side: int, stride: int = 1, groups: int = 1) -> list[Any]:
    return [
        nn.Conv2d(channels_in, channels, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels, eps=_NORM_EPS),
    ]
