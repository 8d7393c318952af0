"""The routes of notify.yaml: what is written there, whether it makes sense, and whom an alert concerns. Pure."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from catseye.contract.alert_kinds import KINDS, ROUTE_FAILING
from catseye.contract.errors import Misconfigured
from catseye.contract.masking import MASK, masked
from catseye.contract.records import Severity
from services.notifier.facts import ROLLOUT, Fact
from services.notifier.hours import Span, spans_of

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
OF_THE_OWNER: Final = ("concept", "accuracy_floor", "class_mix", "input", "model_version", "labels_missing", ROLLOUT)
"""Kinds that the owner of a model is told of: its accuracy, and its rollout."""
_HTTP: Final = re.compile(r"(https?://)(?:[^\s/?#]*@)?([^\s/?#@]+)(?:[/?#]\S*)?")
_SMTP: Final = re.compile(r"smtps?://(?:[^\s/?#]*@)?[^\s/?#@:]+(?::\d{1,5})?/?")
_SECRET_LEAST: Final = 4
"""Characters of a secret that is taken out of sentences; shorter ones would take words with them."""


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a route is for; what is left out matches all.

    Attributes:
        severity: The least.
        kinds: Patterns of kinds: ``camera_*``, ``rollout``.
        groups: Patterns of groups of cameras.
        cameras: Patterns of cameras.
        models: Patterns of models.
    """

    severity: Severity = "info"
    kinds: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def takes(self, fact: Fact) -> bool:
        """Whether *fact* is for the route."""
        return (
            SEVERITIES.index(fact.severity) >= SEVERITIES.index(self.severity)
            and _any(self.kinds, fact.kind)
            and _any(self.groups, fact.group)
            and _any(self.cameras, fact.camera)
            and _any(self.models, fact.model)
        )


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told when nobody acknowledges.

    Attributes:
        after_m: How long an incident may be open, minutes.
        to: Name of the other route.
    """

    after_m: float
    to: str


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="to"):
    """What all routes have.

    Attributes:
        name: Unique.
        match: What it is for; left out, everything.
        hours: When it may be used; outside of them messages wait. Left out, always.
        digest_m: What comes within so long is one message, minutes; 0 sends each incident by itself.
        escalate: Who is told when nobody acknowledges.
        most_per_h: So many first messages an hour; what is more comes as digests.
        direct: Whether it is told only where it is named: as an owner, by an escalation.
    """

    channel: ClassVar[str] = ""
    edits: ClassVar[bool] = True
    secrets: ClassVar[tuple[str, ...]] = ()

    name: str
    match: Match = Match()
    hours: str = ""
    digest_m: float = 0
    escalate: Escalation | None = None
    most_per_h: int = 60
    direct: bool = False

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its hours. Raises `Misconfigured`."""
        return spans_of(self.hours) if self.hours else ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of servers that it goes to."""
        return ()

    def where(self) -> str:
        """Where it goes to, as anybody may read it: paths and keys of addresses are secrets in many services."""
        found = [_HTTP.fullmatch(address) for address in self.addresses]
        return ", ".join(f"{each[1]}{each[2]}" for each in found if each)

    def faults(self) -> Iterable[str]:
        """What is wrong with it, in sentences."""
        for address in self.addresses:
            if not _HTTP.fullmatch(address):
                yield f"{masked(address)} is no address: it begins with https:// or http://"

    def without_secrets(self, text: str) -> str:
        """*text* without passwords of addresses and without what is secret of this route."""
        for name in self.secrets:
            if len(secret := getattr(self, name)) >= _SECRET_LEAST:
                text = text.replace(secret, MASK)
        return masked(text)


class Mail(Route, tag="mail", frozen=True, kw_only=True):
    """Mail. Attributes: server: ``smtps://USER:PASSWORD@HOST`` or ``smtp://…``; sender, recipients: addresses."""

    channel = "mail"
    edits = False
    server: str
    sender: str = msgspec.field(name="from")
    recipients: tuple[str, ...]
    ca_file: str = ""

    def where(self) -> str:
        return f"{', '.join(self.recipients)} by {masked(self.server)}"

    def faults(self) -> Iterable[str]:
        if not _SMTP.fullmatch(self.server):
            yield f"server {masked(self.server)} is written smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT"
        for address in (self.sender, *self.recipients):
            if address.count("@") != 1 or any(char.isspace() or char in ",;<>" for char in address):
                yield f"{address!r} is no mail address"
        if not self.recipients:
            yield "it has no recipients"


class Webhook(Route, tag="webhook", frozen=True, kw_only=True):
    """JSON to an address. Attributes: url: where to; secret: signs it (Standard Webhooks), ``whsec_BASE64`` or text."""

    channel = "webhook"
    secrets = ("secret", "url")
    url: str
    secret: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.url,)


class Slack(Route, tag="slack", frozen=True, kw_only=True):
    """A bot that may write (``chat:write``). Attributes: token: ``xoxb-…``; conversation: its channel's id."""

    channel = "slack"
    secrets = ("token",)
    token: str
    conversation: str
    server: str = "https://slack.com/api"

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.server,)


class Telegram(Route, tag="telegram", frozen=True, kw_only=True):
    """A bot. Attributes: token: of the bot; chat: id of the chat or ``@NAME`` of the channel."""

    channel = "telegram"
    secrets = ("token",)
    token: str
    chat: str
    server: str = "https://api.telegram.org"

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.server,)


class Matrix(Route, tag="matrix", frozen=True, kw_only=True):
    """A user of a home server. Attributes: server; token: access token; room: ``!ID:SERVER``."""

    channel = "matrix"
    secrets = ("token",)
    server: str
    token: str
    room: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.server,)


class Alertmanager(Route, tag="alertmanager", frozen=True, kw_only=True):
    """Prometheus Alertmanager. Attributes: url: of the server, user and password in it where it needs them."""

    channel = "alertmanager"
    secrets = ("url",)
    url: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.url,)


class Apprise(Route, tag="apprise", frozen=True, kw_only=True):
    """Whatever else the package apprise knows. Attributes: url: as its documentation has it."""

    channel = "apprise"
    edits = False
    secrets = ("url",)
    url: str

    def where(self) -> str:
        return f"{self.url.partition('://')[0]}://"


AnyRoute = Mail | Webhook | Slack | Telegram | Matrix | Alertmanager | Apprise


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        routes: In the order of the file.
        pages: Address of the pages as people reach it, for links; empty: messages have none.
        owner: Route of the owner of each model that names none.
        timezone: Of the hours of routes.
    """

    routes: tuple[AnyRoute, ...]
    pages: str = ""
    owner: str = ""
    timezone: str = "UTC"

    @property
    def by_name(self) -> Mapping[str, AnyRoute]:
        """Routes by their names."""
        return {route.name: route for route in self.routes}

    @property
    def zone(self) -> ZoneInfo:
        """Of the hours."""
        return ZoneInfo(self.timezone)


def config_of(content: Any) -> Config:
    """The routes in what a YAML file has.

    Raises:
        Misconfigured: it makes no sense; the sentence names the place.
    """
    try:
        config = msgspec.convert(content, Config)
    except msgspec.ValidationError as fault:
        raise Misconfigured(f"{fault}") from None
    for sentence in _faults(config):
        raise Misconfigured(sentence)
    return config


def chosen(config: Config, fact: Fact, owner: str, failing: Iterable[str]) -> list[str]:
    """Names of the routes that are told of *fact*.

    Args:
        config: The file.
        fact: What happened.
        owner: Whom the model of *fact* names; empty: nobody.
        failing: Routes that fail: nobody is told by them that they do.
    """
    named = [route.name for route in config.routes if not route.direct and route.match.takes(fact)]
    own = owner if owner in config.by_name else config.owner
    if own and fact.kind in OF_THE_OWNER and own not in named:
        named.append(own)
    if fact.kind != ROUTE_FAILING:
        return named
    working = [route.name for route in config.routes if route.name not in set(failing)]
    return [name for name in named if name in working] or working[:1]


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def _faults(config: Config) -> Iterable[str]:
    """What is wrong, in sentences, the first first."""
    if not config.routes:
        yield "there is no route"
    try:
        config.zone  # noqa: B018 - asked for its fault
    except (ZoneInfoNotFoundError, ValueError):
        yield f"timezone {config.timezone!r} is not known: it is written as Europe/Berlin"
    names = [route.name for route in config.routes]
    if config.owner and config.owner not in names:
        yield f"owner {config.owner!r} is no route"
    if config.pages and not config.pages.startswith(("http://", "https://")):
        yield f"pages {masked(config.pages)} is no address: it begins with https:// or http://"
    for route in config.routes:
        for fault in _faults_of(route, names):
            yield f"route {route.name!r}: {fault}"


def _faults_of(route: AnyRoute, names: list[str]) -> Iterable[str]:
    if not route.name or names.count(route.name) > 1:
        yield "each route has a name of its own"
    if route.escalate is not None and (route.escalate.to not in names or route.escalate.to == route.name):
        yield f"it escalates to {route.escalate.to!r}, which is no other route"
    if min(route.digest_m, route.escalate.after_m if route.escalate else 0, route.most_per_h - 1) < 0:
        yield "digest_m and after_m are not negative, and most_per_h is 1 at least"
    known = [*KINDS, ROLLOUT]
    for pattern in route.match.kinds:
        if not any(fnmatchcase(kind, pattern) for kind in known):
            yield f"no kind of alert is called {pattern!r}: `catseye alerts kinds` shows them, and {ROLLOUT} is one too"
    try:
        route.spans  # noqa: B018 - asked for its fault
    except Misconfigured as fault:
        yield str(fault)
    yield from route.faults()
