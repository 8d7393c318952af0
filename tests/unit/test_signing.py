"""`catseye.signing`: only the owner of the key can name a model."""

import stat
from hashlib import sha256
from pathlib import Path

import pytest

from catseye.errors import BadModel, Misconfigured
from catseye.signing import PRIVATE, PUBLIC, make_keys, sign, verify

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


def test_a_missing_key_is_named(keys: Path) -> None:
    """With what brings it."""
    (keys / PRIVATE).unlink()
    with pytest.raises(Misconfigured, match=r"no signing key at .*model-signing\.pem"):
        sign(FILE, keys)
    (keys / PUBLIC).unlink()
    with pytest.raises(Misconfigured, match=r"no public key at .*model-signing\.pub\.pem"):
        verify(FILE, bytes(64), keys)
