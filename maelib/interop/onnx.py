"""To ONNX: the whole way from pixels in [0, 1] to pixels in [0, 1] as one graph with any number of visible patches.

The graph needs no knowledge of the model outside: standardisation and normalised targets are inside. Inputs `images`
(B, C, H, W), `visible` (B, K) and `hidden` (B, M) int64; output `pixels` (B, C, H, W), every patch as predicted.
"""

import io
import json
import warnings
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..files import write_atomically
from ..masking import Masking
from ..model import MaskedAutoencoder

if TYPE_CHECKING:
    from onnx import ModelProto

PRECISIONS = ("fp32", "fp16", "int8")
OPSET = 17
SMALL = 1024  # tensors of fewer numbers stay float32: they weigh nothing


def export_onnx(model: MaskedAutoencoder, path: str | Path, precision: str = "fp32") -> Path:
    """Write a model as ONNX; its configuration stands in the metadata under `maelib`, as JSON.

    `precision` is how the weights are stored. `fp32`; `fp16`; `int8`: the matrices of all blocks in 8 bits with a scale
    for each output, the rest, which pixels depend on more directly, in fp16. All compute in float32, so that
    fp16 and int8 run wherever fp32 does.

    Raises
    ------
    ValueError
        Unknown precision.
    ImportError
        No onnx.
    """
    write_atomically(Path(path), onnx_bytes(model, precision))
    return Path(path)


def onnx_bytes(model: MaskedAutoencoder, precision: str = "fp32") -> bytes:
    """The content of such a file; see `export_onnx`."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError("this export needs onnx: pip install 'maelib[export]'") from error
    graph, c = onnx.load_model_from_string(_trace(model)), model.config
    sides = graph.graph.output[0].type.tensor_type.shape.dim[1:]
    for side, size in zip(sides, (c.channels, *c.hw), strict=True):  # the exporter does not see that they are fixed
        side.dim_value = size
    if precision != "fp32":
        _store(graph, precision)
    for key, value in (("maelib", json.dumps(asdict(c), sort_keys=True, allow_nan=False)), ("precision", precision)):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(graph)
    return graph.SerializeToString(deterministic=True)


class PixelsToPixels(nn.Module):
    """`model.reconstruct` with the indices as inputs; see the module's description."""

    def __init__(self, model: MaskedAutoencoder):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        return self.model.reconstruct(images, Masking(visible, hidden))[0]


def _trace(model: MaskedAutoencoder) -> bytes:
    """The float32 graph. B, K and M of the example are arbitrary: all stay free."""
    c, buffer = model.config, io.BytesIO()
    masking = Masking.random(2, c.grid[0] * c.grid[1], 0.5)
    example = (torch.rand(2, c.channels, *c.hw), masking.visible, masking.hidden)
    whole = PixelsToPixels(deepcopy(model)).cpu().float().eval()  # the caller's stays as it is
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of its own future
        torch.onnx.export(
            whole, example, buffer, dynamo=False, opset_version=OPSET,  # type: ignore[arg-type]  # a file is fine
            input_names=["images", "visible", "hidden"], output_names=["pixels"],
            dynamic_axes={"images": {0: "B"}, "visible": {0: "B", 1: "K"}, "hidden": {0: "B", 1: "M"}, "pixels": {0: "B"}},
        )  # fmt: skip
    return buffer.getvalue()


def _store(model: "ModelProto", precision: str) -> None:
    """Store the large tensors in fewer bits, each followed by the nodes that make it float32 again.

    The runtime folds these nodes when it loads the graph, so that every call computes as with float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    quantized = {  # matrices lose their names on the way, the nodes that use them do not
        node.input[1] for node in model.graph.node if node.op_type == "MatMul" and "/blocks" in node.name
    }
    nodes, tensors = [], []
    for tensor in model.graph.initializer:
        values: Any = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            tensors.append(tensor)
            continue
        name, stored = tensor.name, f"{tensor.name}.{precision}"
        if precision == "fp16" or name not in quantized:
            tensors.append(numpy_helper.from_array(values.astype(np.float16), stored))
            nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
            continue
        scale = np.maximum(np.abs(values).max(axis=0, keepdims=True), 1e-12) / 127  # matrices are (in, out) here
        tensors.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), stored))
        tensors.append(numpy_helper.from_array(scale.astype(np.float32), f"{stored}.scale"))
        nodes.append(helper.make_node("Cast", [stored], [f"{stored}.float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{stored}.float", f"{stored}.scale"], [name]))
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + rest)
