#!/usr/bin/env bash
# OpenCV 5: warpAffine gives other pixels than OpenCV 4; resize, blur and JPEG give the same.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "OpenCV 5.0.0.93 and 4.12.0.88 (opencv-python-headless) on the same picture" \
  "Turned by warpAffine or warpPerspective, six in ten pixels differ, by up to three levels, and by whole neighbours" \
  "with INTER_NEAREST. What resize, GaussianBlur and imencode give is equal to the bit, so a test of those sees no" \
  "change: golden pictures, and augmentation of a training, do change."
cat >"$WORK/turn.py" <<'PY'
import sys

import cv2
import numpy as np

noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
picture = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_LINEAR)
turn = cv2.getRotationMatrix2D((160, 120), 7.0, 1.1)
size, edge = (320, 240), {"borderMode": cv2.BORDER_REFLECT_101}
np.savez(
    sys.argv[1],
    warpAffine_linear=cv2.warpAffine(picture, turn, size, flags=cv2.INTER_LINEAR, **edge),
    warpAffine_cubic=cv2.warpAffine(picture, turn, size, flags=cv2.INTER_CUBIC, **edge),
    warpAffine_nearest=cv2.warpAffine(picture, turn, size, flags=cv2.INTER_NEAREST, **edge),
    warpPerspective=cv2.warpPerspective(picture, np.vstack([turn, [0, 0, 1]]), size, **edge),
    resize=cv2.resize(picture, (224, 224)),
    GaussianBlur=cv2.GaussianBlur(picture, (0, 0), 1.5),
    imencode=cv2.imencode(".jpg", picture)[1],
)
PY
for version in 4.12.0.88 5.0.0.93; do
  python_with "opencv-python-headless==$version"
  "$PYTHON" "$WORK/turn.py" "$WORK/$version.npz"
done
"$PYTHON" - "$WORK/4.12.0.88.npz" "$WORK/5.0.0.93.npz" <<'PY'
import sys

import numpy as np

old, new = (np.load(path) for path in sys.argv[1:])
share = {}
for name in old:
    if old[name].shape != new[name].shape:
        sys.exit(f"CHANGED: {name} gives another size.")
    apart = np.abs(old[name].astype(int) - new[name])
    pixels = apart.reshape(-1, apart.shape[-1]).max(axis=1) if apart.ndim == 3 else apart
    share[name] = float((pixels > 0).mean())
    print(f"{name:19} pixels that differ: {100 * share[name]:4.1f} %, by up to {pixels.max()} of 255")
turned = {name for name in share if name.startswith("warp")}
if any(share[name] for name in share.keys() - turned):
    sys.exit("CHANGED: more than turned pictures differ.")
if share["warpAffine_linear"] < 0.1:
    sys.exit("CHANGED: turned pictures are nearly the same.")
PY
