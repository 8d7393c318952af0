"""Model files by content: the address of a file is its sha256, so what is there never changes."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import fsspec

from catseye.contract.errors import BadModel, Unavailable


class ArtifactStore:
    """A folder of files named by their hash, on whatever fsspec reaches: a disk, an object store.

    Args:
        url: Where, for example ``file:///var/catseye/artifacts`` or ``s3://bucket/catseye``.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)

    def put(self, content: bytes) -> str:
        """Keep *content*. Returns its sha256, 64 hexadecimal digits."""
        name = sha256(content).hexdigest()
        path = self._path(name)
        if not self._files.exists(path):
            self._files.makedirs(str(Path(path).parent), exist_ok=True)
            # A reader never sees half a file: it gets its name when it is whole. Each writer has a part of its own.
            part = f"{path}.{token_hex(8)}.part"
            self._files.pipe_file(part, content)
            try:
                self._files.mv(part, path)
            except FileNotFoundError:
                if not self._files.exists(path):  # else another writer was first, and took the part away
                    raise
            self._clear(path)
        return name

    def get(self, name: str) -> bytes:
        """The file whose sha256 is *name*.

        Raises:
            Unavailable: the store does not answer, or has no such file (yet).
            BadModel: the bytes there are not the ones that were kept.
        """
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except OSError as fault:
            raise Unavailable(f"the artifact store has no {name}: {fault}") from fault
        if sha256(content).hexdigest() != name:
            raise BadModel(f"the artifact store gives other bytes for {name}: it was changed or damaged")
        return content

    def _clear(self, path: str) -> None:
        """Take away what writers left that ended half-way: the file is there, so nobody needs its parts any more."""
        folder, name = str(Path(path).parent), Path(path).name
        for other in self._files.ls(folder, detail=False):
            if Path(other).name.startswith(f"{name}.") and other.endswith(".part"):
                with suppress(FileNotFoundError):  # another writer clears too
                    self._files.rm_file(other)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"
