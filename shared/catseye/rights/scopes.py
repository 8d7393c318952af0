"""What somebody may do, and of which cameras."""

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec


class Scope(StrEnum):
    """One right. Each is given by itself; `admin` has them all."""

    PUBLISH = "publish"
    LABEL = "label"
    VIEW = "view"
    OPERATE = "operate"
    ADMIN = "admin"


class Principal(msgspec.Struct, frozen=True):
    """Somebody who has come in.

    Attributes:
        name: Stands on every command that he sends.
        scopes: What he may do.
        cameras: Patterns of camera names (``gate-*``) that he may see and touch; none: all.
    """

    name: str
    scopes: frozenset[Scope]
    cameras: tuple[str, ...] = ()

    def may(self, scope: Scope) -> bool:
        """Whether he has the right, of some camera at least."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def sees(self, camera: str | None) -> bool:
        """Whether a camera is his; what concerns the whole fleet (None) is only of who has all cameras."""
        if not self.cameras:
            return True
        return camera is not None and any(fnmatchcase(camera, pattern) for pattern in self.cameras)

    def sees_all(self, camera: str | None, cameras: Iterable[str]) -> bool:
        """Whether what concerns *camera*, or else a group of *cameras*, is his: a group only where each of it is."""
        if camera is not None or not self.cameras:
            return self.sees(camera)
        group = list(cameras)
        return bool(group) and self.seen(group) == group

    def seen(self, cameras: Iterable[str]) -> list[str]:
        """Those of *cameras* that are his."""
        return [camera for camera in cameras if self.sees(camera)]


EVERYTHING = frozenset(Scope)
