#!/usr/bin/env bash
# mlflow-skinny: with nothing configured a run is refused, and what each refusal recommends is refused by the other.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "mlflow-skinny 3.17.0, start_run() in an empty folder" \
  "Its default store is a SQLite file, which this package cannot open: it names \"file\" among the schemes that it" \
  "can. The file store is refused as well, and recommends SQLite. MLFLOW_ALLOW_FILE_STORE=true leads out."
python_with mlflow-skinny==3.17.0
cat >"$WORK/run.py" <<'PY'
import sys

import mlflow
from mlflow.exceptions import MlflowException

if len(sys.argv) > 1:
    mlflow.set_tracking_uri(sys.argv[1])
try:
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.5)
except MlflowException as fault:
    print("refused:", str(fault).replace("\n", " "))
else:
    print("logged")
PY
attempt() { # FOLDER [STORE]
  mkdir -p "$WORK/$1"
  (cd "$WORK/$1" && "$PYTHON" "$WORK/run.py" "${@:2}" 2>/dev/null)
}
nothing=$(attempt nothing)
file=$(attempt file file:./runs)
allowed=$(MLFLOW_ALLOW_FILE_STORE=true attempt allowed file:./runs)
printf '%s\n' "nothing configured: ${nothing//$WORK/…}" "file:./runs: ${file:0:240}…" \
  "the same with MLFLOW_ALLOW_FILE_STORE=true: $allowed"
if [[ $nothing != refused:*sqlite*"'file'"* ]]; then
  echo "CHANGED: with nothing configured it is no longer refused in favour of 'file'."
  exit 1
fi
if [[ $file != refused:*sqlite* ]]; then
  echo "CHANGED: the file store is no longer refused in favour of SQLite."
  exit 1
fi
if [[ $allowed != logged ]]; then
  echo "CHANGED: MLFLOW_ALLOW_FILE_STORE no longer leads out."
  exit 1
fi
