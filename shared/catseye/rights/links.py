"""Links that acknowledge an incident: whoever was sent one may do so, and nothing else, for a while.

A link is signed (HMAC-SHA256) with a key that the notifier and the gateway share, beside the tokens. It names who was
told, so that the command says so. It is worth as much as the message that it came in.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from catseye.contract.errors import Misconfigured

PATH: Final = "/acknowledge/"
_KEY_BYTES: Final = 32
_MAC_BYTES: Final = 16
_LINK_MOST: Final = 1_000


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What a link says.

    Attributes:
        incident_id: The incident.
        route: On which it was sent.
        expires_at_ms: From then on it is worth nothing, Unix milliseconds.
    """

    incident_id: str
    route: str
    expires_at_ms: int


class Links:
    """Makes links and reads them.

    Args:
        key_path: File of the key; made where it is missing.
        lifetime_ms: How long a link is worth something.
    """

    def __init__(self, key_path: Path, lifetime_ms: int) -> None:
        self._key_path = key_path
        self._lifetime_ms = lifetime_ms

    def path(self, incident_id: str, route: str, at_ms: int) -> str:
        """Path of the link in a message that was written at *at_ms*."""
        body = msgspec.json.encode(Link(incident_id, route, at_ms + self._lifetime_ms))
        return PATH + base64.urlsafe_b64encode(self._mac(body) + body).decode().rstrip("=")

    def read(self, text: str, now_ms: int) -> Link | None:
        """What the last part of the path says; None where we did not write it, or it has expired."""
        if len(text) > _LINK_MOST:
            return None
        try:
            signed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, body = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        link = msgspec.json.decode(body, type=Link)
        return link if now_ms < link.expires_at_ms else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(_key(self._key_path), b"acknowledge\0" + body, hashlib.sha256)[:_MAC_BYTES]


def _key(path: Path) -> bytes:
    """The key; the first who asks makes it. Raises `Misconfigured` where it cannot be read or is none."""
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as fault:
        raise Misconfigured(f"the key of links in {path} cannot be read: {fault}") from fault
    if len(key) != _KEY_BYTES:
        raise Misconfigured(f"{path} is no key of links: it has {len(key)} bytes; delete it, and another one is made")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, for the owner alone; of two who make it at once, one key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".links-")
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        Path(beside).unlink()
