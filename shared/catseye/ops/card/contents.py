"""What a card contains, unknowns included. Pure."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from catseye.contract.records import Alert
from catseye.intervals import wilson
from catseye.ops.card.figures import Figures, Mistake, Share, share
from catseye.ops.card.file import FileFacts
from catseye.ops.card.verdict import LABELS, verdict
from catseye.ops.lineage.history import History, Link

_WHERE = ("drifted", "elsewhere", "golden")
_NUMBERS = ("frames", "champion", "candidate", "won", "lost")
NOT_READ = FileFacts(missing="the file was not read")
FEW = 30
"""Labelled frames of a class or camera below which the card notes that they are few."""


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out frames on which the gate compared the version with the champion of that time.

    Attributes:
        where: drifted: cameras since their change; elsewhere: all other frames; golden: the frozen set.
        slice: ``all``, ``class NAME`` or ``camera NAME``.
        champion: What the champion had right.
        candidate: What the version had right.
        won: Pictures, near-identical frames being one, of which the version had more frames right.
        lost: Pictures of which the champion had more frames right.
        low: Lower end of the 95 % interval (Wilson) of won among those pictures on which the two differ.
        high: Upper end; 0 to 1 where they differ on none.
    """

    where: str
    slice: str
    champion: Share
    candidate: Share
    won: int
    lost: int
    low: float
    high: float


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake, with its frame as far as that is kept.

    Attributes:
        mistake: What was wrong.
        jpeg: A small picture; None where the frame is gone.
    """

    mistake: Mistake
    jpeg: bytes | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The whole card.

    Attributes:
        verdict: A few sentences for who reads nothing else.
        model: Name of the model.
        version: Version.
        stage: What it is now.
        file: What the model file says of itself.
        made_at_ms: When the card was made, Unix milliseconds.
        chain: The version, its base version and so on.
        served: When it was champion: from and until (None: still), Unix milliseconds.
        gate: What the gate compared; empty when no event has it.
        numbers: Other numbers of the event that has the gate's, or of the first that has any, by name.
        figures: What follows from the labels so far; no calibration of fewer than `LABELS`.
        pictures: Some of its surest mistakes.
        alerts: Alerts that name it as the one that served.
        limits: What is not known, and what the figures do not show; one sentence each.
    """

    verdict: str
    model: str
    version: str
    stage: str
    file: FileFacts
    made_at_ms: int
    chain: list[Link]
    served: list[tuple[int, int | None]]
    gate: list[GateRow]
    numbers: dict[str, float]
    figures: Figures
    pictures: list[Picture]
    alerts: list[Alert]
    limits: list[str]


def card_of(
    history: History,
    chain: list[Link],
    figures: Figures,
    unreadable: int,
    now_ms: int,
    *,
    facts: FileFacts = NOT_READ,
    pictures: Sequence[Picture] = (),
) -> Card:
    """Put a card together.

    Args:
        history: Everything recorded about models.
        chain: The version, its base version and so on.
        figures: What follows from the labels.
        unreadable: Records that could not be read.
        now_ms: Unix milliseconds.
        facts: What the model file says of itself.
        pictures: Some of its surest mistakes.
    """
    link = chain[0]
    if sum(own.of for own in figures.by_role.values()) < LABELS:
        figures = replace(figures, calibration_error=None, bins=[])
    compared = [gate_rows(event.metrics) for event in link.events if event.metrics]
    gate, numbers = next((rows for rows in compared if rows[0]), compared[0] if compared else ([], {}))
    served = history.served(link.model, link.version)
    alerts = history.alerts_of(link.model, link.version)
    stage = link.events[-1].stage
    return Card(
        verdict=verdict(stage, served, figures, facts, alerts),
        model=link.model,
        version=link.version,
        stage=stage,
        file=facts,
        made_at_ms=now_ms,
        chain=chain,
        served=served,
        gate=gate,
        numbers=numbers,
        figures=figures,
        pictures=list(pictures),
        alerts=alerts,
        limits=limits(chain, gate, served, figures, alerts, unreadable, facts),
    )


def gate_rows(metrics: Mapping[str, float]) -> tuple[list[GateRow], dict[str, float]]:
    """The gate's table in the numbers of a model event, and the numbers that are not of it.

    A name is ``WHERE/NUMBER`` or ``WHERE/class|camera/NAME/NUMBER``; a NAME may hold any sign.
    """
    slices: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        slice_name, _, number = name.rpartition("/")
        if slice_name.split("/", 1)[0] in _WHERE and number in _NUMBERS:
            slices.setdefault(slice_name, {})[number] = value
    whole = {name: found for name, found in slices.items() if found.keys() == set(_NUMBERS) and found["frames"] >= 1}
    rows = [_gate_row(name, found) for name, found in whole.items()]
    rows.sort(key=lambda row: (row.slice != "all", _WHERE.index(row.where), row.slice))
    return rows, {name: value for name, value in metrics.items() if name.rpartition("/")[0] not in whole}


def limits(
    chain: list[Link],
    gate: list[GateRow],
    served: list[tuple[int, int | None]],
    figures: Figures,
    alerts: list[Alert],
    unreadable: int,
    facts: FileFacts,
) -> list[str]:
    """What a reader has to know that the card does not know."""
    link, last = chain[0], chain[-1]
    found = [*_of_data(link)]
    if not gate:
        found.append("Unknown how it did against the champion before it served: no event has a gate's numbers.")
    if link.decision_id is None:
        found.append("No decision is named: a person registered it, or its trainer does not say why it was trained.")
    elif link.decision is None:
        found.append(f"Unknown why it was trained: the log has decision {link.decision_id} no more.")
    if any(cause.alert is None and cause.request is None for cause in link.causes):
        found.append("Some causes of the decision are unknown: the log keeps alerts for a month.")
    if last.dataset_sha256 is not None and last.base_version is None:
        found.append(f"Unknown what {last.version} went on from.")
    if not last.events:
        found.append(f"Unknown where base version {last.version} comes from: the register has no event of it.")
    found += _of_figures(figures)
    if facts.missing:
        found.append(f"Unknown what the model file says of itself: {facts.missing}.")
    elif not facts.attribution:
        found.append(
            "Unknown under which licence its training data is: the model file does not say; "
            "`catseye models describe --attribution` writes it."
        )
    if not served:
        found.append("It never served as champion, so nothing is known of its drift in service.")
    elif not alerts:
        found.append("No alert names it; the log keeps alerts for a month, so older ones would not be seen.")
    if unreadable:
        found.append(f"{unreadable} records could not be read and are left out.")
    classes = f" ({', '.join(link.manifest.classes)})" if link.manifest and link.manifest.classes else ""
    found.append(f"It knows only its classes{classes} and says one of them whatever it is shown.")
    return found


def _of_data(link: Link) -> list[str]:
    manifest = link.manifest
    if link.dataset_sha256 is None:
        return ["Unknown what it was trained on: no event of this version names a dataset."]
    if manifest is None:
        return [f"Unknown what dataset {link.dataset_sha256} holds: {link.manifest_missing}."]
    names = {
        "offset ranges": manifest.frames_ranges,
        "label cut-off": manifest.cut_off_ms,
        "sources of labels": manifest.sources,
        "propensities": manifest.propensities,
        "counts by class": manifest.by_class,
        "counts by camera": manifest.by_camera,
        "split": manifest.by_part,
    }
    unknown = [name for name, value in names.items() if value is None or value == {}]
    found = [f"Unknown of the dataset: {', '.join(unknown)}; the manifest does not say."] if unknown else []
    if manifest.unknown_labels:
        labels = ", ".join(f"{label} ({count})" for label, count in manifest.unknown_labels.items())
        found.append(f"Frames of classes that it does not have were left out of training: {labels}.")
    if manifest.gone:
        found.append(f"{manifest.gone} labelled frames were gone from the archive, or unreadable, when it was trained.")
    return found


def _of_figures(figures: Figures) -> list[str]:
    if not figures.by_role:
        return [
            "Unknown how accurate and how calibrated it is in service: no label of a frame that it saw has come; "
            "people label on the gateway's page /label or with `catseye label`."
        ]
    found = [
        "Frames that follow one another are alike, so they are fewer independent trials than the intervals take them "
        "for.",
        "Outcomes are kept for the label horizon and a margin; what is older counts no more.",
    ]
    if figures.propensity_below_1:
        found.append(
            f"{figures.propensity_below_1} labelled frames were chosen with a propensity below 1; accuracies here are "
            "those of the labelled frames, not weighted for the others."
        )
    for kind, shares in (("classes", figures.by_class), ("cameras", figures.by_camera)):
        few = [name for name, own in shares.items() if own.of < FEW]
        if few:
            more = f" and {len(few) - 20} more" if len(few) > 20 else ""
            found.append(f"Fewer than {FEW} labelled frames of these {kind}: {', '.join(few[:20])}{more}.")
    return found


def _gate_row(name: str, found: Mapping[str, float]) -> GateRow:
    where, _, rest = name.partition("/")
    by, _, own = rest.partition("/")
    frames = round(found["frames"])
    won, lost = round(found["won"]), round(found["lost"])
    low, high = wilson(won, won + lost)
    return GateRow(
        where=where,
        slice=f"{by} {own}" if rest else "all",
        champion=share(min(frames, round(found["champion"] * frames)), frames),
        candidate=share(min(frames, round(found["candidate"] * frames)), frames),
        won=won,
        lost=lost,
        low=low,
        high=high,
    )
