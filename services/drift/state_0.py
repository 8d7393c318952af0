"""Layout of drift's rows in format 0 (commit 8d74d52), whose values name none. Never changed."""

from typing import Final

PIECES: Final = {
    "r": (
        "began_s u4[phase], frames u4[phase], closed u1[phase], telemetry S16[4], bits u2[64], bits_of u2, "
        "class_frames u2[phase][class], features f2[phase][class][16], features_m2 f4[phase][16], counts "
        "u2[phase][ranked][class], means f4[phase][ranked][class], m2 f4[phase][ranked], histogram "
        "u2[phase][ranked][20], said_mean f4[phase][said], said_m2 f4[phase][said], pace u2[correlated], "
        "inflation f2[correlated], examples i8[4], labels_began_s u4[phase], labels_closed u1[phase], "
        "label_weights f4[phase][label], label_squares f4[phase][label], label_losses f4[phase][label], "
        "confidence f4, confidences u2[16]"
    ),
    "e": (
        "evidence f4[stream][8], excess f4[stream], family f4[family], cusum f4[family], since_ms i8[family], "
        "run u4[family], window u4[family], span u4[family], raised u1[alarm], raised_since_ms i8[alarm], "
        "raised_at_ms i8[alarm], cause V16[alarm], alarmed (evidence f4, threshold f4, stream u1, estimate "
        "f4, reference f4, moved ?, detector u1)[family]"
    ),
    "w": (
        "phase u1, light f4, tested u4, labelled u4, seen_ms i8, label_seen_ms i8, gap_ms f4, gap_max_ms f4, "
        "every_ms f8, label_gap_max_ms f4, label_every_ms f8, propensity f4, frames u4, labels u4, content "
        "i8, contrast f4, focus f4, blur_run u1, skew_ms f8, skew_run_ms f8, sampled_ms i8, told_ms i8, "
        "passed u1, latency_ms f4, fault_run u1[fault], fault_clear u1[fault], fault_from_ms i8[fault], "
        "blind_from_s u4[4], blind_until_s u4[4], dead f4, dead_at_ms i8, offsets i8[4], values f4[value], "
        "recent_labels f4, recent_errors f4, recent_confidence f4, recent_histogram f4[16], recent_variance "
        "f4, version u8, version_since_ms i8, last_cause V16"
    ),
    "l": (
        "count u2[correlated], mean f4[correlated], m2 f4[correlated], last f4[correlated][3], products "
        "f4[correlated][3], block f4[correlated][3], squares f4[correlated][3]"
    ),
}
_RANKED: Final = (
    "brightness",
    "contrast",
    "sharpness",
    "focus",
    "dark_share",
    "bright_share",
    "composition",
    "embedding",
    "telemetry 0",
    "telemetry 1",
    "telemetry 2",
    "telemetry 3",
)
_CLASSES: Final = ("0", "1", "2", "3", "4", "5", "6", "7")
_OUTPUTS: Final = (
    "class_share 0",
    "class_share 1",
    "class_share 2",
    "class_share 3",
    "class_share 4",
    "class_share 5",
    "class_share 6",
    "class_share 7",
    "entropy",
    "margin",
)
_FAMILIES: Final = ("input", "telemetry", "predictions", "accuracy", "accuracy_floor")
_FAULTS: Final = (
    "camera_frozen",
    "camera_black",
    "camera_white",
    "camera_covered",
    "camera_blurred",
    "camera_clock",
    "service_slow",
)
_WAYS: Final = ("up", "down", "far")
_STREAMS: Final = (
    *(f"{name} {way}" for name in _RANKED for way in _WAYS),
    *(f"{name} {way}" for way in ("up", "down") for name in _OUTPUTS),
    *(f"{name} up" for name in ("loss", *(f"loss {name}" for name in _CLASSES), "loss night", "loss day", "accuracy")),
)
AXES: Final[dict[str, tuple[str, ...]]] = {
    "phase": ("night", "day"),
    "class": _CLASSES,
    "ranked": _RANKED,
    "said": _OUTPUTS,
    "correlated": (*_RANKED, "entropy", "margin", "class_share", "loss"),
    "label": ("all", *_CLASSES),
    "stream": _STREAMS,
    "family": _FAMILIES,
    "alarm": (*_FAMILIES, *_FAULTS, "camera_silent", "labels_missing", "camera_dead_letters"),
    "fault": _FAULTS,
    "value": (*_RANKED, *_OUTPUTS),
}
DETECTORS: Final = ("esr", "adwin", "kswin", "page_hinkley", "hddm_a", "hddm_w", "ddm")
