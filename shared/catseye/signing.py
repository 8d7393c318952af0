"""Signatures on model files: ed25519 over the 32 bytes of the file's sha256 (RFC 8032)."""

from pathlib import Path

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

from catseye.errors import BadModel, Misconfigured

PRIVATE = "model-signing.pem"
PUBLIC = "model-signing.pub.pem"


def make_keys(folder: Path) -> None:
    """Make a pair of keys in *folder* unless there is one; only the owner can read the private one."""
    private_path = folder / PRIVATE
    if private_path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    private = Ed25519PrivateKey.generate()
    (folder / PUBLIC).write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    unfinished = private_path.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    unfinished.replace(private_path)


def sign(sha256: str, folder: Path) -> bytes:
    """Signature of a file with hash *sha256* (64 hexadecimal digits), 64 bytes.

    Raises:
        Misconfigured: no private key in *folder*.
    """
    try:
        key = load_pem_private_key((folder / PRIVATE).read_bytes(), password=None)
    except FileNotFoundError as fault:
        raise Misconfigured(f"no signing key at {folder / PRIVATE}: `infra/stack up` makes one") from fault
    assert isinstance(key, Ed25519PrivateKey)
    return key.sign(bytes.fromhex(sha256))


def verify(sha256: str, signature: bytes, folder: Path) -> None:
    """Check a signature.

    Raises:
        BadModel: it is not of this file by our key.
        Misconfigured: no public key in *folder*.
    """
    try:
        key = load_pem_public_key((folder / PUBLIC).read_bytes())
    except FileNotFoundError as fault:
        raise Misconfigured(f"no public key at {folder / PUBLIC}: copy it from where models are signed") from fault
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify(signature, bytes.fromhex(sha256))
    except InvalidSignature as fault:
        raise BadModel(f"the signature of model file {sha256} is not by our key") from fault
