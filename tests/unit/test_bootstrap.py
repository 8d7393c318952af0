"""Set-up that is stopped at any moment is complete after the next call. Python, uv, Maven and Java are stand-ins."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What each leaves half done it takes for done the next time, as real ones do with a folder that is there.
STAND_IN = r"""#!/bin/bash
moment() {
  local count=$(($(cat "$MOMENTS") + 1))
  echo "$count" >"$MOMENTS"
  if [[ $count == "$STOP_AT" ]]; then
    kill "-$STOP_BY" 0 # all of the foreground, as Ctrl-C in a terminal does
    sleep 60
  fi
}
halves() { # two files that belong together
  [[ ! -d $1 ]] || return 0
  moment && mkdir "$1" && touch "$1/one" && moment && touch "$1/two" && moment
}
venv=$(dirname "$(dirname "$0")")
case "$(basename "$0") $*" in
  *" -m venv "*)
    moment && mkdir -p "${*: -1}/bin" && cp "$0" "${*: -1}/bin/python" && moment && touch "${*: -1}/pip" && moment
    ;;
  *" -m uv --version") [[ -d $venv/uv ]] && echo "uv $UV" ;;
  *" -m pip install -q uv=="*) [[ -f $venv/pip ]] || { echo "No module named pip" >&2; exit 1; }; halves "$venv/uv" ;;
  *" -m uv pip install "*) halves "$venv/package" ;;
  *" -m pip install "*) exit 1 ;;
  "mvn "*) folder=${*: -1}; mkdir -p "${folder#*=}"; halves "${folder#*=}/jars" ;;
  "java "*) echo 'openjdk version "17.0.15"' >&2 ;;
esac
"""
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")
COMPLETE = ("venv/pip", "venv/uv/two", "venv/package/two", "kafka/libs/jars/two")


class Clone:
    """A checkout with nothing but what set-up reads, and the stand-ins on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("infra/requirements/runtime.txt", "infra/kafka/pom.xml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        script = shutil.copy(ROOT / "infra" / "bootstrap.sh", folder / "infra")
        self._uv = next(
            line.partition("=")[2] for line in Path(script).read_text().splitlines() if line.startswith("UV_VERSION=")
        )
        (folder / "bin").mkdir()
        for name in (*PYTHONS, "mvn", "java"):
            (folder / "bin" / name).write_text(STAND_IN)
            (folder / "bin" / name).chmod(0o755)

    def set_up(self, stop_at: int, stop_by: str = "INT") -> "subprocess.CompletedProcess[str]":
        """Call for Python and Kafka, and stop it at a moment; 0 for never."""
        moments = self.folder / "moments"
        moments.write_text("0")
        return subprocess.run(
            [
                "/usr/bin/env",
                "--default-signal=INT",
                "/bin/bash",
                "-c",
                "set -euo pipefail; source infra/bootstrap.sh; need_python runtime; need_kafka",
            ],
            cwd=self.folder,
            env={
                "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
                "MOMENTS": str(moments),
                "STOP_AT": str(stop_at),
                "STOP_BY": stop_by,
                "UV": self._uv,
            },
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def missing(self) -> list[str]:
        return [name for name in COMPLETE if not (self.folder / ".catseye" / name).exists()]


MOMENTS = 12


@pytest.mark.parametrize("stop_at", range(1, MOMENTS + 1))
def test_ctrl_c_at_any_moment_says_how_it_goes_on_and_it_does(tmp_path: Path, stop_at: int) -> None:
    """One sentence, exit status 130; the next call completes everything, and the one after that does nothing."""
    clone = Clone(tmp_path)
    stopped = clone.set_up(stop_at)
    assert stopped.returncode == 128 + signal.SIGINT, stopped.stderr
    assert stopped.stderr.count("call the same command again") == 1
    again = clone.set_up(0)
    assert again.returncode == 0, again.stderr
    assert clone.missing == []
    assert clone.set_up(1).returncode == 0


def test_those_are_all_moments(tmp_path: Path) -> None:
    """The control: there is no later one, and a set-up that nobody stops is complete."""
    clone = Clone(tmp_path)
    done = clone.set_up(MOMENTS + 1)
    assert (done.returncode, clone.missing) == (0, [])
    assert (tmp_path / "moments").read_text() == f"{MOMENTS}\n"


@pytest.mark.parametrize("stop_at", [2, 5, 8, 11])
def test_kill_9_is_recovered_from_too(tmp_path: Path, stop_at: int) -> None:
    """Without a word, of course."""
    clone = Clone(tmp_path)
    assert clone.set_up(stop_at, "KILL").returncode == -signal.SIGKILL
    assert clone.set_up(0).returncode == 0
    assert clone.missing == []


def test_an_environment_that_an_older_set_up_left_half_done_is_made_anew(tmp_path: Path) -> None:
    """There was no mark of what is unfinished: one that nothing was ever installed into to the end is."""
    clone = Clone(tmp_path)
    half = tmp_path / ".catseye" / "venv" / "bin"
    half.mkdir(parents=True)
    shutil.copy(tmp_path / "bin" / "python3", half / "python")
    assert clone.set_up(0).returncode == 0
    assert clone.missing == []


def test_a_changed_list_of_packages_keeps_the_environment(tmp_path: Path) -> None:
    """Installed into, since nothing is half done; stopped there, it is made anew."""
    clone = Clone(tmp_path)
    assert clone.set_up(0).returncode == 0
    kept = tmp_path / ".catseye" / "venv" / "kept"
    kept.touch()
    requirements = tmp_path / "infra" / "requirements" / "runtime.txt"
    requirements.write_text("# another\n")
    assert clone.set_up(0).returncode == 0
    assert kept.exists()
    requirements.write_text("# a third\n")
    shutil.rmtree(tmp_path / ".catseye" / "venv" / "package")
    assert clone.set_up(2).returncode == 128 + signal.SIGINT
    assert clone.set_up(0).returncode == 0
    assert (kept.exists(), clone.missing) == (False, [])
    assert not os.path.exists(tmp_path / ".catseye" / "venv.gone")
