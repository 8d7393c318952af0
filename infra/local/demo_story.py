"""What a demo has to tell when its road has ended: what happened when, and what it did to accuracy. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catseye.contract.alert_kinds import KINDS
from infra.local.demo_figures import ACCURACY_MS, RECENT_MS

MINUTE_S: Final = ACCURACY_MS / 1_000
BIN_S: Final = RECENT_MS / 1_000
STRETCH_S: Final = 30.0
"""Accuracy at its lowest is that of so long a stretch: of a shorter one chance alone would find a low one."""
FEWEST: Final = 20
"""With fewer labels a stretch has no accuracy worth a sentence."""
WELL: Final = 0.05
"""A road is well again where accuracy is lower by no more than this than it was before the change."""
ENDED: Final = ("resolved", "suppressed")
FATES: Final = {
    "champion": "took over",
    "rejected": "rejected",
    "retired": "retired",
    "shadow": "still compared with the champion when the road ended",
    "candidate": "not yet compared when the road ended",
}


@dataclass(frozen=True)
class Change:
    """What happened on the road.

    Attributes:
        at_s: When, seconds since publishing began; None where nothing happened.
        cameras: To which.
        sentence: What, in one sentence; empty where nothing happened.
    """

    at_s: float | None = None
    cameras: tuple[str, ...] = ()
    sentence: str = ""


def story(figures: Mapping[str, Any], change: Change, behind_s: float) -> dict[str, Any]:
    """The object "story" of `infra/demo --json`.

    Args:
        figures: The rest of that object: accuracy, alerts, decisions and models.
        change: What happened.
        behind_s: So long this machine did not keep up, seconds.
    """
    timeline = figures["accuracy_timeline"]
    changed = set(change.cameras)
    others = {slot["camera"] for slot in timeline} - changed
    accuracy = {
        "changed": _accuracy(timeline, changed, change.at_s),
        "others": _accuracy(timeline, others, change.at_s),
    }
    opened = [alert for alert in figures["alerts"] if _is_of(alert, change)]
    told = {
        "sentence": change.sentence,
        "change_at_s": change.at_s,
        "changed_cameras": list(change.cameras),
        "accuracy": accuracy,
        "alert_after_s": round(opened[0]["opened_at_s"] - (change.at_s or 0.0), 3) if opened else None,
        "alerts_open": sum(alert["state"] not in ENDED for alert in figures["alerts"]),
        "candidates": candidates(figures["models"]),
        "training_open_since_s": _training_open_since_s(figures),
        "behind_s": round(behind_s, 1),
    }
    return told | {"well_again": None if change.at_s is None else not _ills(told, figures["alerts"])}


def candidates(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What became of each version but the one that served first, in order of time: its last stage, when, and why."""
    first = next((model["version"] for model in models if model["stage"] == "champion"), None)
    last = {model["version"]: dict(model) for model in models if model["version"] != first}
    return sorted(last.values(), key=lambda model: model["at_s"])


def _training_open_since_s(figures: Mapping[str, Any]) -> float | None:
    """When the training was decided that had made no candidate when the road ended; None if there is none."""
    decided_s: float = max((each["at_s"] for each in figures["decisions"] if each["accepted"]), default=math.inf)
    made_s = max((made["at_s"] for made in candidates(figures["models"])), default=-math.inf)
    return decided_s if made_s < decided_s < math.inf else None


def events(figures: Mapping[str, Any], told: Mapping[str, Any]) -> list[tuple[float, str]]:
    """What happened, in order: seconds since publishing began, and a sentence."""
    found: list[tuple[float, str]] = []
    change_at_s: float | None = told["change_at_s"]
    if change_at_s is not None:
        found.append((change_at_s, f"{told['sentence']} ({_listed(told['changed_cameras'])})"))
    for kind in dict.fromkeys(alert["kind"] for alert in figures["alerts"]):
        found += _of_kind(kind, [alert for alert in figures["alerts"] if alert["kind"] == kind], change_at_s)
    accepted = [decision for decision in figures["decisions"] if decision["accepted"]]
    found += [
        (each["at_s"], f"training starts: {each['because']}: {each.get('detail', '')}".rstrip(": "))
        for each in accepted
    ]
    if not accepted:
        found += [
            (each["at_s"], f"no training: {each['because']}: {each.get('detail', '')}".rstrip(": "))
            for each in _newest_of_each(figures["decisions"], "because")
        ]
    found += [
        (model["at_s"], f"model {model['version']} {_step(model['stage'])}: {model['because']}")
        for model in figures["models"]
        if model["at_s"] >= 0
    ]
    return sorted(found, key=lambda event: event[0])


def fates(told: Mapping[str, Any]) -> list[str]:
    """What became of each candidate, and of the training that has made none yet, a sentence each."""
    open_since_s = told["training_open_since_s"]
    open_ = (
        []
        if open_since_s is None
        else [
            f"the training of {open_since_s:.0f} s had made no candidate when the road ended: on a busy machine it "
            "takes minutes, and a longer --duration waits for it"
        ]
    )
    return [
        f"candidate {model['version']}: {FATES.get(model['stage'], model['stage'])}, {model['at_s']:.0f} s: "
        f"{model['because']}"
        for model in told["candidates"]
    ] + open_


def verdict(figures: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """Whether the road is well, with the numbers it rests on."""
    alerts = figures["alerts"]
    if told["change_at_s"] is None:
        if not alerts:
            return "Nothing happened on this road, and no alert was raised."
        return f"Nothing happened on this road, yet {_counted(len(alerts), 'alert')} opened: {_kinds(alerts)}."
    changed, others = told["accuracy"]["changed"], told["accuracy"]["others"]
    numbers = f"the changed cameras are right on {_percent(changed['end'])} of the last minute's labelled frames"
    numbers += f" ({_percent(changed['before'])} before the change)"
    if not math.isnan(others["end"]):
        numbers += f", the others on {_percent(others['end'])} ({_percent(others['before'])})"
    if told["well_again"]:
        return f"The road is well: {numbers}, and no alert is open."
    return f"The road is not well: {'; '.join(_ills(told, alerts))}. Now {numbers}."


def meaning(kind: str) -> str:
    """What follows the name of an alert's kind, for who meets it the first time."""
    return f": it {KINDS[kind].meaning}" if kind in KINDS else ""


def next_steps(told: Mapping[str, Any], fps: float) -> list[tuple[str, str]]:
    """What to try next: a command, and what it shows.

    Args:
        told: See `story`.
        fps: Frames per second of a camera, as they were asked for.
    """
    steps = []
    if told["behind_s"] >= BIN_S:
        steps.append((f"infra/demo --fps {fps / 2:g}", "the same road at half the load, which this machine may carry"))
    if told["change_at_s"] is None:
        steps.append(("infra/demo --scenario fog", "a road that changes: alerts, a training, a new model; 7 minutes"))
    else:
        steps.append(("infra/demo --help", "lists the other scenarios, and --after DIR for pictures of your own"))
    return [
        *steps,
        ("infra/stack up", "the services without the simulator; README: Publish and subscribe, with pictures of yours"),
        (
            "infra/catseye models describe --help",
            "make an ONNX classifier of your own ready; then infra/demo --model FILE",
        ),
    ]


def _is_of(alert: Mapping[str, Any], change: Change) -> bool:
    """Whether an alert may come of the change: on a changed camera or the fleet, after it."""
    where = alert["camera"] is None or alert["camera"] in change.cameras
    return where and change.at_s is not None and bool(alert["opened_at_s"] >= change.at_s)


def _of_kind(kind: str, alerts: Sequence[Mapping[str, Any]], change_at_s: float | None) -> list[tuple[float, str]]:
    """The first alert of a kind, how many more opened until when, and when the last of them was over."""
    first, *more = alerts
    at_s = first["opened_at_s"]
    after = f", {at_s - change_at_s:.0f} s after the change" if change_at_s is not None and at_s >= change_at_s else ""
    found = [(at_s, f"alert: {kind} on {first['camera'] or 'the fleet'}{after}{meaning(kind)}")]
    if more:
        where = _listed([alert["camera"] or "the fleet" for alert in more])
        found.append((more[-1]["opened_at_s"], f"by now also alerts {kind} on {where}"))
    open_ = sum(alert["state"] not in ENDED for alert in alerts)
    over_s = [alert["resolved_at_s"] for alert in alerts if alert["resolved_at_s"] is not None]
    if over_s and not open_:
        found.append((max(over_s), f"over: {'the last alert' if more else 'the alert'} {kind}"))
    return found


def _ills(told: Mapping[str, Any], alerts: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is not well yet, a clause each."""
    ills = []
    for whose, name in (("the changed cameras", "changed"), ("the other cameras", "others")):
        accuracy = told["accuracy"][name]
        if math.isnan(accuracy["before"]):
            continue
        if math.isnan(accuracy["end"]):
            ills.append(f"{whose} have too few labels in the last minute to know their accuracy")
        elif accuracy["end"] < accuracy["before"] - WELL:
            lost = 100 * (accuracy["before"] - accuracy["end"])
            ills.append(f"{whose} are right less often than before, by {lost:.1f} points")
    open_ = [alert for alert in alerts if alert["state"] not in ENDED]
    for kind, count in Counter(alert["kind"] for alert in open_).items():
        ills.append(f"{_counted(count, 'alert')} {kind} still open: {KINDS[kind].action}" if kind in KINDS else kind)
    return ills


def _accuracy(timeline: Sequence[Mapping[str, Any]], cameras: set[str], change_at_s: float | None) -> dict[str, Any]:
    """Accuracy of *cameras* before the change, at its lowest after it, in the last minute; NaN of too few labels."""
    slots = [slot for slot in timeline if slot["camera"] in cameras]
    end_s = max((slot["at_s"] for slot in timeline), default=0.0) + BIN_S
    change_s = end_s if change_at_s is None else change_at_s
    last = _share(slots, max(end_s - MINUTE_S, 0.0 if change_at_s is None else change_s), end_s)
    before = _share(slots, change_s - MINUTE_S, change_s)
    starts = sorted({slot["at_s"] for slot in slots if change_s <= slot["at_s"] <= end_s - STRETCH_S})
    stretches = [(_share(slots, start_s, start_s + STRETCH_S), start_s) for start_s in starts]
    lowest, at_s = min((found for found in stretches if not math.isnan(found[0])), default=(math.nan, None))
    return {"before": before, "lowest": lowest, "lowest_at_s": at_s, "end": last}


def _share(slots: Iterable[Mapping[str, Any]], from_s: float, to_s: float) -> float:
    chosen = [slot for slot in slots if from_s <= slot["at_s"] < to_s]
    count = sum(slot["n"] for slot in chosen)
    right: float = sum(slot["n"] * slot["accuracy"] for slot in chosen)
    return round(right / count, 5) if count >= FEWEST else math.nan


def _newest_of_each(entries: Iterable[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    return list({entry[key]: entry for entry in entries}.values())


def _step(stage: str) -> str:
    return {"champion": "is champion now", "shadow": "is shadow", "candidate": "is handed in"}.get(stage, f"is {stage}")


def _kinds(alerts: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(alert["kind"] for alert in alerts).most_common())


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _percent(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{share:.1%}"
