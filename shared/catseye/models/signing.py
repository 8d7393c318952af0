"""Signatures on model files: ed25519 over the 32 bytes of the file's sha256 (RFC 8032)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from catseye.contract.errors import BadModel, Misconfigured

if TYPE_CHECKING:
    from catseye.settings import Settings

PRIVATE = "model-signing.pem"
PUBLIC = "model-signing.pub.pem"


def key_folder(settings: Settings) -> Path:
    return settings.data_dir / "keys"


def make_keys(folder: Path) -> None:
    """Make a pair of keys in *folder* unless there is one; only the owner can read the private one.

    A public key by itself stays so: models are signed elsewhere, and it was copied here to trust them.
    """
    if (folder / PUBLIC).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The private one first: where the process ends between the two, the public one is made of it later.
    if not (folder / PRIVATE).exists():
        made = Ed25519PrivateKey.generate()
        _write(folder / PRIVATE, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    public = private_key(folder).public_key()
    _write(folder / PUBLIC, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)


def private_key(folder: Path) -> Ed25519PrivateKey:
    """The key in *folder* that signs. Raises `Misconfigured` if there is none."""
    path = (folder / PRIVATE).resolve()
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as fault:
        if (folder / PUBLIC).exists():
            raise Misconfigured(
                f"no signing key at {path}, only a public one: models are signed elsewhere, register this one there"
            ) from fault
        raise Misconfigured(
            f"no signing key at {path}: is CATSEYE_DATA_DIR the folder that the services use? "
            "For a new fleet `catseye models keys` makes a pair"
        ) from fault
    assert isinstance(key, Ed25519PrivateKey)
    return key


def sign(sha256: str, folder: Path) -> bytes:
    """Signature of a file with hash *sha256* (64 hexadecimal digits), 64 bytes.

    Raises:
        Misconfigured: no private key in *folder*.
    """
    return private_key(folder).sign(bytes.fromhex(sha256))


def verify(sha256: str, signature: bytes, folder: Path) -> None:
    """Check a signature.

    Raises:
        BadModel: it is not of this file by our key.
        Misconfigured: no public key in *folder*.
    """
    path = (folder / PUBLIC).resolve()
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError as fault:
        raise Misconfigured(f"no public key at {path}: copy it from where models are signed") from fault
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify(signature, bytes.fromhex(sha256))
    except InvalidSignature as fault:
        raise BadModel(f"the signature of model file {sha256} is not by our key, {path}") from fault


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Nobody sees half of it."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.touch(mode=mode)
    unfinished.write_bytes(content)
    unfinished.replace(path)
