"""Reads notify.yaml. A value that begins with ``file:`` is in a file of that name: secrets need not stand between
routes."""

from pathlib import Path
from typing import Any, Final

import yaml

from catseye.contract.errors import Misconfigured
from services.notifier.routes import Apprise, Config, config_of
from services.notifier.senders.apprise import unusable
from services.notifier.settings import NotifierSettings

_PREFIX: Final = "file:"
_SECRET_MOST: Final = 65_536


def path_of(settings: NotifierSettings) -> Path:
    """Where the routes are."""
    return settings.notifier_file or settings.data_dir / "notify.yaml"


def read_config(settings: NotifierSettings) -> Config:
    """The routes, whole and checked.

    Raises:
        Misconfigured: they make no sense; the sentence names file and place.
    """
    path = path_of(settings)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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
    try:
        if isinstance(content, dict) and settings.notifier_pages:
            content = {"pages": settings.notifier_pages, **content}
        config = config_of(_with_secrets(content, path.parent))
    except Misconfigured as fault:
        raise Misconfigured(f"{path}: {fault}") from None
    for route in config.routes:
        if isinstance(route, Apprise) and (why := unusable(route)):
            raise Misconfigured(f"{path}: route {route.name!r}: {why}")
    return config


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
                return path.read_bytes()[:_SECRET_MOST].decode().strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise Misconfigured(f"{content} cannot be read: {fault}") from None
        case _:
            return content
