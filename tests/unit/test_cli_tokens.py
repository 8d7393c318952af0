"""`catseye tokens`: what a first and a last token change, and which token a name means."""

from pathlib import Path

import pytest

from catseye.rights.tokens import TokenFile
from tests.unit.test_cli import run


def tokens(capsys: pytest.CaptureFixture[str], path: Path, *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command on the file at *path*."""
    return run(capsys, "tokens", *argv, "--file", str(path))


def test_the_first_token_closes_the_gateway_and_the_last_one_opens_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both are told on standard error: standard output is the token alone. (That it is so: test_gateway_rights.)"""
    path = tmp_path / "tokens.json"
    status, out, err = tokens(capsys, path, "create", "ada", "--scope", "view")
    assert (status, out.startswith("catseye_"), out.count("\n")) == (0, True, 1)
    assert err.startswith("this is the first token: from now on every request to the gateway needs one")
    assert tokens(capsys, path, "create", "bob", "--scope", "view")[2] == ""
    assert tokens(capsys, path, "revoke", "bob") == (0, "the token of bob is revoked\n", "")
    status, out, err = tokens(capsys, path, "revoke", "ada")
    assert (status, out, err.startswith("no token is left")) == (0, "the token of ada is revoked\n", True)
    assert tokens(capsys, path, "first")[2].startswith("this is the first token")
    assert tokens(capsys, path, "first")[2] == ""


def test_a_token_is_revoked_by_its_id_or_by_a_name_that_no_other_has(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of a name that two have, their ids are named, and nothing is taken away."""
    path = tmp_path / "tokens.json"
    for name in ("ada", "ada", "bob"):
        tokens(capsys, path, "create", name, "--scope", "view")
    first, second, _ = [entry.token_id for entry in TokenFile(path).entries()]
    status, _, err = tokens(capsys, path, "revoke", "ada")
    assert (status, f"2 tokens have the name ada: give the id of one, {first}, {second}" in err) == (2, True)
    assert tokens(capsys, path, "revoke", first)[0] == 0
    assert tokens(capsys, path, "revoke", "ada")[0] == 0
    assert [entry.name for entry in TokenFile(path).entries()] == ["bob"]
    status, _, err = tokens(capsys, path, "revoke", "eve")
    assert (status, "there is no token eve" in err) == (2, True)
