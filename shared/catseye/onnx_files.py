"""An ONNX file of somebody else's, run by onnxruntime on the processor: the one way in which a file is loaded here."""

from typing import Final

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from catseye.contract.errors import BadModel

FAULTS: Final = (
    ort_state.EPFail,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
)
"""What a session raises for a file that it cannot load, and for an input that it fails over."""

_NOWHERE: Final = "/dev/null/weights"  # the folder of weights outside of the file: a path that cannot exist
# In what it says then: of weights that it would read, and of shapes that it needs before.
_WEIGHTS_ELSEWHERE: Final = ("External data path", "data from external tensors")


def session_of(onnx: bytes, threads: int = 1) -> ort.InferenceSession:
    """What runs an ONNX file, whatever the file says of itself.

    Args:
        onnx: The file.
        threads: Threads of one run, 1 or more.

    Raises:
        BadModel: it cannot be loaded, or its weights lie in another file.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is in the exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else weights outside of the file are looked for in the working folder, under no signature.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    try:
        return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except FAULTS as fault:
        if any(each in str(fault) for each in _WEIGHTS_ELSEWHERE):
            raise BadModel(
                "its weights lie in another file, and a model is one file. With the package onnx: "
                "onnx.save(onnx.load(FILE), OUT) puts them into it"
            ) from fault
        raise BadModel(f"onnxruntime cannot load the file: {' '.join(str(fault).split())[:300]}") from fault
