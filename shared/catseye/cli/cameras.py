"""`catseye cameras`: each camera, what answers for it and what is wrong with it now."""

from pathlib import Path

import click
import msgspec

from catseye.cli.common import at, json_option, records_of, settings_with_broker, table, write_json
from catseye.cli.repeats import frames_repeated, labels_repeated
from catseye.contract.records import CameraReport

_FEWEST_LABELS = 1.0


@click.group()
def cameras() -> None:
    """List cameras."""


@cameras.command("list")
@json_option
def list_(json_file: Path | None) -> None:
    """List the cameras that drift has seen, by name, as it reported them last.

    Accuracy is that of the recent labels; in brackets, without labels, what confidence makes likely. REPEATED counts
    frames that came again and were dropped, and labels that said what was known already.
    """
    settings = settings_with_broker()
    newest = {report.camera: report for report in records_of(settings, "drift.reports")}
    frames = frames_repeated(records_of(settings, "frames.repeated"))
    labels = labels_repeated(records_of(settings, "labels.unmatched"))
    shown = [newest[name] for name in sorted(newest)]
    content = [
        {
            **{name: getattr(report, name) for name in ("camera", "at_ms", "model", "version", "learning_left")},
            "accuracy": accuracy(report),
            "estimated_accuracy": report.estimated_accuracy if report.estimate_valid else None,
            "alarms": [msgspec.to_builtins(alarm) for alarm in report.alarms],
            "frames_repeated": frames.get(report.camera, 0),
            "labels_repeated": labels[report.camera],
        }
        for report in shown
    ]
    if write_json(json_file, {"cameras": content}):
        return
    if not shown:
        click.echo("no camera was seen yet")
        return
    rows = (_row(report, f"{frames.get(report.camera, 0)}, {labels[report.camera]}") for report in shown)
    table([("CAMERA", "REPORTED", "MODEL", "ACCURACY", "REFERENCE", "REPEATED", "ALARMS"), *rows])


def accuracy(report: CameraReport) -> float | None:
    """Share of the recent labels that agree, 0 to 1; None without labels."""
    if report.recent_labels < _FEWEST_LABELS:
        return None
    return 1 - report.recent_errors / report.recent_labels


def _row(report: CameraReport, repeated: str) -> tuple[str, ...]:
    known = accuracy(report)
    by_confidence = report.estimated_accuracy if report.estimate_valid else None
    estimated = "-" if by_confidence is None else f"({by_confidence:.1%})"
    shown = estimated if known is None else f"{known:.1%}"
    learning = "learning" if report.learning_left else "whole"
    alarms = ", ".join(sorted(alarm.kind for alarm in report.alarms)) or "-"
    model = f"{report.model} {report.version}".strip() or "-"
    return report.camera, at(report.at_ms), model, shown, learning, repeated, alarms
