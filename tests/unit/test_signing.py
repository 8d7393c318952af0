"""`catseye.models.signing`: only the owner of the key can name a model."""

import re
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from catseye.contract.errors import BadModel, Misconfigured
from catseye.models.signing import PRIVATE, PUBLIC, make_keys, sign, verify

FILE = sha256(b"a model file").hexdigest()
OTHER = sha256(b"another").hexdigest()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a pair."""
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_a_signature_holds_for_its_file(keys: Path) -> None:
    """64 bytes, the same each time (RFC 8032 is deterministic)."""
    signature = sign(FILE, keys)
    verify(FILE, signature, keys)
    assert (len(signature), sign(FILE, keys)) == (64, signature)


@pytest.mark.parametrize("change", ["file", "signature", "length", "key"])
def test_a_signature_holds_for_nothing_else(keys: Path, tmp_path: Path, change: str) -> None:
    """Another file, a changed or cut signature, another key."""
    signature = sign(FILE, keys)
    if change == "key":
        make_keys(tmp_path / "others")
        signature = sign(FILE, tmp_path / "others")
    if change == "signature":
        signature = bytes([signature[0] ^ 1]) + signature[1:]
    if change == "length":
        signature = signature[:-1]
    with pytest.raises(BadModel, match="not by our key"):
        verify(OTHER if change == "file" else FILE, signature, keys)


def test_keys_are_made_once(keys: Path) -> None:
    """A second start keeps the pair: signatures from before still hold."""
    before = [(keys / name).read_bytes() for name in (PRIVATE, PUBLIC)]
    make_keys(keys)
    assert [(keys / name).read_bytes() for name in (PRIVATE, PUBLIC)] == before


def test_only_the_owner_reads_the_private_key(keys: Path) -> None:
    """Mode 600."""
    assert stat.S_IMODE((keys / PRIVATE).stat().st_mode) == 0o600


def test_half_a_pair_is_completed(keys: Path) -> None:
    """A start that was killed between the two: what was signed meanwhile holds."""
    signature, public = sign(FILE, keys), (keys / PUBLIC).read_bytes()
    (keys / PUBLIC).unlink()
    make_keys(keys)
    verify(FILE, signature, keys)
    assert (keys / PUBLIC).read_bytes() == public


def test_the_public_key_of_others_stays(keys: Path, tmp_path: Path) -> None:
    """Where models are signed elsewhere `make_keys` makes nothing: what they sign must go on being trusted."""
    here = tmp_path / "here"
    here.mkdir()
    (here / PUBLIC).write_bytes((keys / PUBLIC).read_bytes())
    make_keys(here)
    verify(FILE, sign(FILE, keys), here)
    with pytest.raises(Misconfigured, match=r"no signing key at .*, only a public one: models are signed elsewhere"):
        sign(FILE, here)


def test_a_missing_key_is_named_in_full_with_what_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data folder may be relative: where it was looked for depends on the working folder."""
    monkeypatch.chdir(tmp_path)
    keys = Path("here/keys")
    at = re.escape(str(tmp_path / keys))
    with pytest.raises(Misconfigured, match=rf"no signing key at {at}/model-signing\.pem: .*`catseye models keys`"):
        sign(FILE, keys)
    with pytest.raises(Misconfigured, match=rf"no public key at {at}/model-signing\.pub\.pem"):
        verify(FILE, bytes(64), keys)
    make_keys(keys)
    with pytest.raises(BadModel, match=rf"not by our key, {at}/model-signing\.pub\.pem"):
        verify(FILE, bytes(64), keys)
