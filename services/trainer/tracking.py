"""Logs a training to MLflow: a local folder by default, a server where MLFLOW_TRACKING_URI names one.

MLflow keeps its file store for those who ask for it by name, and counts its users unless told not to; both are
environment variables that it reads when it is imported, which is why it is imported here and late.
"""

import getpass
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catseye.contract.errors import Misconfigured, Unavailable
from services.trainer.recipe import Trial, as_parameters

_MOST_METRICS = 900
"""A server takes 1,000 a call."""


def code_version() -> tuple[str, bool]:
    """Commit of the checkout that runs and whether it has changes; empty and false outside of one."""
    root = Path(__file__).resolve().parents[2]
    try:
        commit, status = (
            subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True, timeout=10)
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    return commit.stdout.strip(), bool(status.stdout.strip())


def client_of(uri: str) -> Any:
    """MLflow's client; it connects when it is used.

    Raises:
        Misconfigured: there is no such store, or what it needs is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # Not at the top: five seconds, and the variables above come first.
    from mlflow import MlflowClient  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    try:
        return MlflowClient(uri)
    except (MlflowException, ImportError) as fault:
        raise Misconfigured(f"MLFLOW_TRACKING_URI: nothing can be logged to {uri}: {fault}") from fault


def log_training(
    uri: str,
    experiment: str,
    *,
    name: str,
    parameters: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    texts: Mapping[str, str],
    trials: Sequence[Trial] = (),
) -> str:
    """Log one finished training. Returns the id of its run.

    Args:
        uri: Of a server, or ``file:`` and a folder.
        experiment: Name of the model.
        name: Of the run.
        parameters: How it was done.
        metrics: What came out; one number each.
        tags: Whose code, whose data, whose wish.
        texts: File name to content.
        trials: Recipes that were searched through; each becomes a run under this one.

    Raises:
        Unavailable: the server does not answer, or refuses.
    """
    client = client_of(uri)
    # Not at the top: see client_of.
    from mlflow.entities import Metric, Param, RunTag  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    try:
        known = client.get_experiment_by_name(experiment)
        experiment_id = known.experiment_id if known else client.create_experiment(experiment)
        run_id: str = client.create_run(experiment_id, run_name=name).info.run_id
        now_ms = time.time_ns() // 1_000_000
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, now_ms, 0) for key, value in sorted(metrics.items())[:_MOST_METRICS]],
            params=[Param(key, value[:6_000]) for key, value in sorted(parameters.items())],
            tags=[RunTag(key, value[:5_000]) for key, value in sorted({"mlflow.user": _who(), **tags}.items())],
        )
        for file, text in texts.items():
            client.log_text(run_id, text, file)
        for number, trial in enumerate(trials):
            under = {"mlflow.parentRunId": run_id, "mlflow.user": _who(), "catseye.pruned": str(trial.pruned).lower()}
            trial_id = client.create_run(experiment_id, run_name=f"{name} trial {number}", tags=under).info.run_id
            losses = [Metric("validation_loss", loss, now_ms, place) for place, loss in enumerate(trial.losses, 1)]
            client.log_batch(
                trial_id,
                metrics=[*losses[:_MOST_METRICS], Metric("seconds", trial.seconds, now_ms, 0)],
                params=[Param(key, value[:6_000]) for key, value in sorted(as_parameters(trial.recipe).items())],
            )
            client.set_terminated(trial_id, "KILLED" if trial.pruned else "FINISHED")
        client.set_terminated(run_id)
    except (MlflowException, OSError) as fault:
        raise Unavailable(f"MLflow at {uri} did not take the training: {fault}") from fault
    return run_id


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
