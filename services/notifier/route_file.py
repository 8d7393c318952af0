"""Reads notify.yaml. A value that begins with ``file:`` is in a file of that name: secrets need not stand between
routes."""

from pathlib import Path
from typing import Any, Final

import yaml

from catseye.contract.errors import Misconfigured
from services.notifier.routes import AnyRoute, Apprise, Config, config_of
from services.notifier.senders.apprise import unusable
from services.notifier.settings import NotifierSettings

_PREFIX: Final = "file:"
_SECRET_MOST: Final = 65_536


def path_of(settings: NotifierSettings) -> Path:
    """Where the routes are."""
    return settings.notifier_file or settings.data_dir / "notify.yaml"


class RouteFile:
    """The routes as they were written when this was made, with the secrets that their files hold now.

    Raises:
        Misconfigured: they cannot be read; the sentence names file and place.
    """

    def __init__(self, settings: NotifierSettings) -> None:
        self._path = path_of(settings)
        self._content = _content_of(self._path)
        if isinstance(self._content, dict) and settings.notifier_pages:
            self._content = {"pages": settings.notifier_pages, **self._content}

    def config(self) -> Config:
        """All of them, checked. Raises `Misconfigured` where they make no sense."""
        path = self._path
        try:
            config = config_of(_with_secrets(self._content, path.parent))
        except Misconfigured as fault:
            raise Misconfigured(f"{path}: {fault}") from None
        for route in config.routes:
            if isinstance(route, Apprise) and (why := unusable(route)):
                raise Misconfigured(f"{path}: route {route.name!r}: {why}")
        return config

    def route(self, name: str) -> AnyRoute:
        """One of them, checked likewise."""
        return self.config().by_name[name]


def read_config(settings: NotifierSettings) -> Config:
    """The routes, whole and checked. Raises `Misconfigured`."""
    return RouteFile(settings).config()


def _content_of(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misconfigured(
            f"there is no {path}: write the routes there (services/notifier/README.md shows one), or name another file "
            "by CATSEYE_NOTIFIER_FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as fault:
        raise Misconfigured(f"{path} cannot be read: {fault}") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise Misconfigured(
            f"{path} is no YAML{where}: {getattr(fault, 'problem', '') or 'it cannot be read'}"
        ) from None


def _with_secrets(content: Any, folder: Path) -> Any:
    """*content* with what stands in the files that it names; their names count from *folder*."""
    match content:
        case dict():
            return {key: _with_secrets(value, folder) for key, value in content.items()}
        case list():
            return [_with_secrets(value, folder) for value in content]
        case str() if content.startswith(_PREFIX):
            path = folder / content.removeprefix(_PREFIX)
            try:
                secret = path.read_bytes()[:_SECRET_MOST].decode().strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise Misconfigured(f"{content} cannot be read: {fault}") from None
            if not secret:  # as one that is being written anew is for a moment: without it nothing would be signed
                raise Misconfigured(f"{content} is empty: write the secret into it")
            return secret
        case _:
            return content
