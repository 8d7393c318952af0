"""The net: a small residual network, made for one processor core.

He et al., 2016, "Identity Mappings in Deep Residual Networks" and "Deep Residual Learning": plain 3 x 3
convolutions, because onnxruntime runs about 50 million of their multiplications a millisecond on one core and
depthwise ones no faster. The last maps are averaged over all places and only then weighted by class, so that
the same weights say which place spoke for which class.
"""

from typing import Any

import torch
from torch import nn

STEM_CHANNELS = (16, 32)
"""Each halves the sides: from 100 x 100 pixels to maps of 25 x 25."""
STAGES = ((48, 1), (96, 2), (160, 1))
"""Channels and blocks; each stage halves the sides once more."""


class ChannelGate(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """Weighs each channel by what is seen in the whole crop, for next to no cost on maps this small.

    Hu et al., 2018, "Squeeze-and-Excitation Networks".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """[N, channels, h, w], unchanged in shape."""
        whole = maps.mean((2, 3), keepdim=True)
        return maps * torch.sigmoid(self.excite(torch.relu(self.squeeze(whole))))


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3 x 3 convolutions and a gate beside a short cut; the first may halve the sides."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels_in, channels, 3, stride),
            nn.ReLU(inplace=True),
            *convolution(channels, channels, 3),
            ChannelGate(channels),
        )
        # Averaging before the 1 x 1 convolution uses all pixels where a stride would drop three of four
        # (He, T. et al., 2019, "Bag of Tricks for Image Classification", ResNet-D).
        shrink = [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []
        same = stride == 1 and channels_in == channels
        self.short_cut = nn.Identity() if same else nn.Sequential(*shrink, *convolution(channels_in, channels, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """[N, channels_in, h, w] to [N, channels, h / stride, w / stride]."""
        return torch.relu(self.body(maps) + self.short_cut(maps))


class Net(nn.Module):  # type: ignore[misc]
    """Crops to logits, the features that the last layer saw, and each place's part in each logit."""

    DROPOUT = 0.1
    FAST_IN_BFLOAT16 = True
    """Whether fitting gains from it on a processor that multiplies it in hardware."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        layers, channels = self._layers()
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(self.DROPOUT)
        self.classifier = nn.Linear(channels, class_count)

    @staticmethod
    def _layers() -> tuple[list[nn.Module], int]:
        """Modules of the body, and how many channels the last one gives."""
        layers: list[nn.Module] = []
        channels = 3
        for wider in STEM_CHANNELS:
            layers += [*convolution(channels, wider, 3, 2), nn.ReLU(inplace=True)]
            channels = wider
        for wider, blocks in STAGES:
            for block in range(blocks):
                layers.append(Residual(channels, wider, 2 if block == 0 else 1))
                channels = wider
        return layers, channels

    def forward(self, image: torch.Tensor, after: int = 0) -> torch.Tensor:
        """[N, 3, H, W] to logits [N, C]; or from the maps that the first *after* modules of the body make of it."""
        maps = self.body[after:](image) if after else self.body(image)
        return self.classifier(self.dropout(maps.mean((2, 3))))


class Served(nn.Module):  # type: ignore[misc]
    """The same net with the three outputs of `catseye.models.model_file`."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[N, 3, H, W] to logits [N, C], features [N, D], activation maps [N, C, h, w]."""
        maps = self.net.body(image)
        features = maps.mean((2, 3))
        weights = self.net.classifier.weight[:, :, None, None]
        return self.net.classifier(features), features, nn.functional.conv2d(maps, weights)


def parameter_count(net: Net) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in net.parameters())


def convolution(channels_in: int, channels: int, side: int, stride: int = 1) -> list[Any]:
    """A convolution without a bias, which is that of the batch normalisation after it."""
    return [nn.Conv2d(channels_in, channels, side, stride, side // 2, bias=False), nn.BatchNorm2d(channels)]
