"""The perceptual hash of crops that never went through ingest, so that they can be compared with frames that did.

A test holds it against ingest's own: services do not import each other.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 32
_WAVES = 8
_STEP = 4.0


def perceptual_hash(rgb: NDArray[np.uint8]) -> int:
    """64 bits as a signed number: which of the 8 x 8 lowest waves of the cosine transform are over the median.

    Args:
        rgb: uint8 [height, width, 3], at most 0.25 Mpx: larger frames are made smaller by ingest first.
    """
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(luma, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    waves = np.rint(np.asarray(cv2.dct(small.astype(np.float64)))[:_WAVES, :_WAVES].ravel() / _STEP)
    bits = np.packbits(waves > np.sort(waves)[_WAVES**2 // 2], bitorder="little")
    return int.from_bytes(bits.tobytes(), "little", signed=True)
