"""From a model file to a net that can be trained on, and back into the file.

The file that is served is the only copy of the weights: there is no checkpoint beside it that would need a hash, a
signature and a format of its own. What the exporter folded away is put back: each batch normalisation stands in the
file as the bias and the scale of the convolution before it. The way back writes other numbers into the same graph,
which takes no exporter; that both say the same is proved afterwards in any case.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from catseye.contract.errors import BadModel
from services.trainer.lite import Lite
from services.trainer.net import Net

Weights = dict[str, NDArray[np.float32]]

_PREFIX = "net."
"""What `services.trainer.net.Served` puts before each name."""
_ONLY_IN_LITE = f"{_PREFIX}body.13.body.6.weight"


def net_of(graph: onnx.ModelProto, class_count: int) -> Net:
    """The net whose export *graph* is, a `Lite` or a `Net`: it says the same, up to the order of sums.

    Raises:
        BadModel: It is the export of neither architecture.
    """
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    net: Net = (Lite if _ONLY_IN_LITE in found else Net)(class_count).eval()
    with torch.no_grad():
        for norm in _norms(net).values():
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)  # so that it changes nothing but for its bias
            norm.weight.fill_(1.0)
        for name, parameter in _written(net):
            parameter.copy_(torch.from_numpy(_of_shape(found, name, tuple(parameter.shape)).copy()))
    return net


def graph_with(graph: onnx.ModelProto, net: Net) -> onnx.ModelProto:
    """*graph*, the export of another net of its architecture, with the weights of *net*.

    Raises:
        BadModel: It holds numbers of which it is not known what they are.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    old = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    new = _folded(net)
    classifier = f"{_PREFIX}classifier.weight"
    for name, tensor in tensors.items():
        if name in new:
            values = new[name]
        elif old[name].size == old[classifier].size and np.array_equal(old[name].ravel(), old[classifier].ravel()):
            values = new[classifier].reshape(old[name].shape)  # activation maps are weighted by it once more
        elif old[name].dtype == np.float32 and old[name].size > 1:
            raise BadModel(f"the champion's graph holds {name}, which is no weight of the trainer's architecture")
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name))
    del changed.metadata_props[:]
    return changed


def wake(net: Net, batches: Iterable[NDArray[np.float32]]) -> None:
    """Give the batch normalisations of *net* the statistics of *batches* and what undoes them.

    The net says the same as before when it is asked, and trains as if it had never been folded: a batch is normalised
    by its own statistics, which are close to those here.

    Args:
        net: As `net_of` gives it.
        batches: Some hundred inputs as they will be trained on, float32 [N, 3, H, W] each.
    """
    sums: dict[nn.Module, list[torch.Tensor]] = {norm: [] for norm in _norms(net).values()}

    def note(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        maps = inputs[0]
        sums[norm].append(torch.stack([maps.mean((0, 2, 3)), maps.square().mean((0, 2, 3))]))

    hooks = [norm.register_forward_pre_hook(note) for norm in sums]
    net.eval()
    with torch.no_grad():
        for batch in batches:
            net(torch.from_numpy(batch))
        for hook in hooks:
            hook.remove()
        for norm, seen in sums.items():
            mean, square = torch.stack(seen).mean(0)
            spread = (square - mean.square()).clamp_min(0.0)  # rounding makes next to nothing negative
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(spread)
            norm.weight.copy_(torch.sqrt(spread + norm.eps))
            norm.bias.add_(mean)


def _of_shape(found: Mapping[str, NDArray[np.float32]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = found.get(name)
    if values is None or tuple(values.shape) != shape:
        what = "missing" if values is None else f"{tuple(values.shape)}"
        raise BadModel(f"the model cannot be trained on, its architecture is another: {name} is {what}, not {shape}")
    return values


def _written(net: Net) -> Iterator[tuple[str, torch.Tensor]]:
    """Each number array that the file holds, by its name there; a batch normalisation is a bias."""
    for name, module in net.named_modules():
        if not isinstance(module, nn.BatchNorm2d):
            for own, parameter in module.named_parameters(recurse=False):
                yield f"{_PREFIX}{name}.{own}", parameter
    for convolution, norm in _norms(net).items():
        yield f"{_PREFIX}{convolution}.weight_bias", norm.bias


def _folded(net: Net) -> Weights:
    """The arrays as the file holds them: batch normalisations as scale and bias of the convolution before."""
    weights = {name: parameter.detach().double() for name, parameter in _written(net)}
    for convolution, norm in _norms(net).items():
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weights[f"{_PREFIX}{convolution}.weight"] *= scale[:, None, None, None]
        weights[f"{_PREFIX}{convolution}.weight_bias"] -= norm.running_mean.double() * scale
    return {name: values.float().numpy() for name, values in weights.items()}


def _norms(net: Net) -> dict[str, nn.BatchNorm2d]:
    """Each batch normalisation, by the name of the convolution before it."""
    convolution = ""
    found: dict[str, nn.BatchNorm2d] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d):
            found[convolution] = module
    return found
