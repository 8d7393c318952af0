"""Tokens: made once, shown once, kept as hashes in one file that gateways read again when it changes.

A token is ``catseye_ID_SECRET``: the id finds the entry, and only the secret's hash (scrypt, RFC 7914) is kept. A
secret has 160 random bits, so the hash need not be slow for its own sake; it makes a file that leaks worthless.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.names import check_text
from catseye.rights.scopes import Principal, Scope

_PREFIX = "catseye"
_COST = {"n": 2**12, "r": 8, "p": 1}


class Entry(msgspec.Struct, frozen=True):
    """One token as it is kept.

    Attributes:
        token_id: 12 hexadecimal digits; part of the token.
        name: Whose it is; stands on every command.
        scopes: What it may do.
        cameras: Patterns of cameras that it is limited to; none: all.
        salt: Of the hash, hexadecimal.
        hash: Of the secret, hexadecimal.
        created_at_ms: Unix milliseconds.
        expires_at_ms: From then on it is refused; None: never.
    """

    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    cameras: tuple[str, ...]
    salt: str
    hash: str
    created_at_ms: int
    expires_at_ms: int | None = None

    @property
    def principal(self) -> Principal:
        """Who comes in with it."""
        return Principal(self.name, frozenset(self.scopes), self.cameras)


class TokenFile:
    """The file.

    Args:
        path: Where it is; need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[Entry]:
        """All that are kept, oldest first. Raises `Misconfigured` where the file is none of ours."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Entry])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as fault:
            raise Misconfigured(f"the tokens in {self._path} cannot be read: {fault}") from fault

    def create(
        self, name: str, scopes: Sequence[Scope], cameras: Sequence[str], now_ms: int, expires_at_ms: int | None
    ) -> str:
        """Make a token. Returns it; it can be shown this once only.

        Raises:
            BadRecord: *name* is no name.
        """
        check_text("name", name)
        if not name:
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "a token needs the name of a person or a program")
        token_id, secret, salt = secrets.token_hex(6), secrets.token_hex(20), secrets.token_hex(16)
        entry = Entry(
            token_id=token_id,
            name=name,
            scopes=tuple(scopes),
            cameras=tuple(cameras),
            salt=salt,
            hash=_hash(secret, salt),
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        self._write([*self.entries(), entry])
        return f"{_PREFIX}_{token_id}_{secret}"

    def revoke(self, token_id: str) -> Entry | None:
        """Take a token away; None where there is none of that id."""
        entries = self.entries()
        found = next((entry for entry in entries if entry.token_id == token_id), None)
        if found is not None:
            self._write([entry for entry in entries if entry is not found])
        return found

    def _write(self, entries: list[Entry]) -> None:
        """Whole or not at all, for the owner alone."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=self._path.parent, prefix=".tokens-")
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(entries)))
        Path(beside).replace(self._path)


class Tokens:
    """What a gateway asks: whose a token is. The file is read again when it changes; what was found is remembered.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = TokenFile(path)
        self._seen: tuple[int, int] | None = None
        self._entries: dict[str, Entry] = {}
        self._verified: dict[str, str] = {}

    @property
    def any(self) -> bool:
        """Whether there is a token at all."""
        self._reload()
        return bool(self._entries)

    def principal(self, token: str, now_ms: int) -> Principal | None:
        """Who comes in with *token*; None for nobody: it is unknown, revoked or expired."""
        self._reload()
        prefix, _, rest = token.partition("_")
        token_id, _, secret = rest.partition("_")
        entry = self._entries.get(token_id)
        if prefix != _PREFIX or entry is None or (entry.expires_at_ms is not None and now_ms >= entry.expires_at_ms):
            return None
        digest = hashlib.sha256(secret.encode()).hexdigest()
        if self._verified.get(token_id) != digest:  # scrypt takes 10 ms: once a token, not once a request
            if not hmac.compare_digest(_hash(secret, entry.salt), entry.hash):
                return None
            self._verified[token_id] = digest
        return entry.principal

    def _reload(self) -> None:
        try:
            found = self._path.stat()
            seen = found.st_mtime_ns, found.st_ino
        except FileNotFoundError:
            seen = None
        if seen != self._seen or seen is None:
            self._entries = {entry.token_id: entry for entry in self._file.entries()}
            self._verified.clear()
            self._seen = seen


def _hash(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), **_COST).hex()
