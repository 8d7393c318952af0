"""The list of pure code, every branch of which is tested, in infra/test."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_listed_as_pure_is_there() -> None:
    """A module that was renamed leaves no name behind under which nothing is counted."""
    script = re.search(r"^PURE='.*?(?=^TWO=)", (ROOT / "infra" / "test").read_text(), re.MULTILINE | re.DOTALL)
    assert script is not None
    listed = subprocess.run(
        ["bash", "-c", script[0] + 'printf %s "$PURE"'], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split(",")
    assert [pattern for pattern in listed if not list(ROOT.glob(pattern))] == []
