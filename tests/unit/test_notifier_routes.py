"""What notify.yaml may say, and whom it has told of what."""

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catseye.contract.errors import Misconfigured
from services.notifier.content import NAMED_MOST, content_of, digest_title, example, title_of
from services.notifier.facts import Fact, fact_of_alert, fact_of_step, incident_of
from services.notifier.hours import is_open, spans_of
from services.notifier.policy import Patience, change, retry_ms
from services.notifier.route_file import read_config
from services.notifier.routes import chosen, config_of
from services.notifier.settings import NotifierSettings
from tests.simulation.notifier import NOON_MS, alert, over, step

HOOK = {"name": "hook", "to": "webhook", "url": "https://user:secret@hooks.example:8443/T0/B0?key=x"}
MAIL = {
    "name": "mail",
    "to": "mail",
    "server": "smtp://me:pass@mail.example:587",
    "from": "catseye@example.org",
    "recipients": ["ops@example.org"],
}
UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Expected `object`, got `null`"),
        ({}, "missing required field `routes`"),
        ({"routes": []}, "there is no route"),
        ({"routes": [{**HOOK, "to": "pigeon"}]}, "Invalid value 'pigeon' - at `$.routes[0].to`"),
        ({"routes": [{**HOOK, "uri": ""}]}, "unknown field `uri` - at `$.routes[0]`"),
        ({"routes": [HOOK, HOOK]}, "route 'hook': each route has a name of its own"),
        ({"routes": [{**HOOK, "url": "ftp://x"}]}, "route 'hook': ftp://x is no address"),
        ({"routes": [{**MAIL, "server": "mail.example"}]}, "server mail.example is written smtp://HOST:PORT"),
        ({"routes": [{**MAIL, "recipients": []}]}, "it has no recipients"),
        ({"routes": [{**MAIL, "from": "Me <me@example.org>"}]}, "'Me <me@example.org>' is no mail address"),
        ({"routes": [{**HOOK, "match": {"kinds": ["camera_blak"]}}]}, "no kind of alert is called 'camera_blak'"),
        ({"routes": [{**HOOK, "match": {"severity": "bad"}}]}, "Invalid enum value 'bad'"),
        ({"routes": [{**HOOK, "escalate": {"after_m": 5, "to": "hook"}}]}, "which is no other route"),
        ({"routes": [{**HOOK, "digest_m": -1}]}, "digest_m and after_m are not negative"),
        ({"routes": [{**HOOK, "hours": "weekdays"}]}, "hours 'weekdays': they are written"),
        ({"routes": [{**HOOK, "hours": "Moo 08:00-09:00"}]}, "hours 'Moo 08:00-09:00': they are written"),
        ({"routes": [{**HOOK, "hours": "08:00-25:00"}]}, "times go from 00:00 to 24:00"),
        ({"routes": [HOOK], "owner": "ada"}, "owner 'ada' is no route"),
        ({"routes": [HOOK], "timezone": "Berlin/Europe"}, "timezone 'Berlin/Europe' is not known"),
        ({"routes": [HOOK], "pages": "catseye.example"}, "pages catseye.example is no address"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_place(content: Any, sentence: str) -> None:
    """At the start, before anything is sent."""
    with pytest.raises(Misconfigured) as fault:
        config_of(content)
    assert sentence in str(fault.value)


def test_every_channel_can_be_written() -> None:
    """And says where it goes to without what is secret."""
    routes = [
        MAIL,
        HOOK,
        {"name": "s", "to": "slack", "token": "xoxb-1", "conversation": "C1"},
        {"name": "t", "to": "telegram", "token": "1:AA", "chat": "@road"},
        {"name": "m", "to": "matrix", "server": "https://matrix.example", "token": "syt_1", "room": "!a:b"},
        {"name": "a", "to": "alertmanager", "url": "http://am:9093"},
        {"name": "x", "to": "apprise", "url": "discord://id/token", "digest_m": 5, "hours": "Mon 08:00-09:00"},
    ]
    config = config_of({"routes": routes, "owner": "mail", "timezone": "Europe/Berlin", "pages": "https://c.example"})
    assert [route.where() for route in config.routes] == [
        "ops@example.org by smtp://***@mail.example:587",
        "https://hooks.example:8443",
        "https://slack.com",
        "https://api.telegram.org",
        "https://matrix.example",
        "http://am:9093",
        "discord://",
    ]


def test_secrets_are_taken_out_of_sentences() -> None:
    """Of addresses by the one masking function, and those that stand elsewhere."""
    (slack,) = config_of({"routes": [{"name": "s", "to": "slack", "token": "xoxb-12", "conversation": "C"}]}).routes
    assert slack.without_secrets("no xoxb-12 at https://u:p@h/") == "no *** at https://***@h/"
    (short,) = config_of({"routes": [{"name": "s", "to": "slack", "token": "a", "conversation": "C"}]}).routes
    assert short.without_secrets("an answer") == "an answer"


def test_secrets_may_stand_in_files_of_their_own(tmp_path: Path) -> None:
    """Beside notify.yaml, or anywhere."""
    (tmp_path / "hook").write_text("whsec_abc\n")
    file = tmp_path / "notify.yaml"
    file.write_text("routes: [{name: hook, to: webhook, url: 'https://h.example', secret: 'file:hook'}]")
    (route,) = read_config(NotifierSettings(notifier_file=file)).routes
    assert route.secret == "whsec_abc"  # type: ignore[union-attr]


def test_links_lead_to_the_pages_of_the_stack_unless_the_file_names_others(tmp_path: Path) -> None:
    """A setting that is no address is refused like one in the file."""
    routes = "routes: [{name: hook, to: webhook, url: 'https://h.example'}]"
    (tmp_path / "notify.yaml").write_text(routes)
    (tmp_path / "named.yaml").write_text(f"pages: https://c.example\n{routes}")
    settings = NotifierSettings(data_dir=tmp_path, notifier_pages="http://127.0.0.1:8080/")
    assert read_config(NotifierSettings(data_dir=tmp_path)).pages == ""
    assert read_config(settings).pages == "http://127.0.0.1:8080/"
    assert (
        read_config(settings.model_copy(update={"notifier_file": tmp_path / "named.yaml"})).pages == "https://c.example"
    )
    with pytest.raises(Misconfigured, match="pages here is no address"):
        read_config(settings.model_copy(update={"notifier_pages": "here"}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "write the routes there"),
        ("routes: [", "is no YAML in line 1"),
        ("routes: [{name: h, to: webhook, url: 'https://h', secret: 'file:gone'}]", "file:gone cannot be read"),
        ("routes: [{name: h, to: apprise, url: 'nobody://x'}]", "route 'h': apprise does not know addresses"),
        (b"\xff", "cannot be read"),
        ("routes: [{name: h, to: webhook, url: 'https://h', secret: 'file:empty'}]", "file:empty is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: Any, sentence: str) -> None:
    """With what to do."""
    file = tmp_path / "notify.yaml"
    (tmp_path / "empty").write_text("\n")
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Misconfigured, match=r"notify\.yaml") as fault:
        read_config(NotifierSettings(data_dir=tmp_path))
    assert sentence in str(fault.value)


@pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")
def test_the_file_of_the_readme_is_right(tmp_path: Path) -> None:
    """Whoever copies it begins with a file that is checked."""
    readme = (Path(__file__).parents[2] / "services" / "notifier" / "README.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    (tmp_path / "notify.yaml").write_text(found[1])
    for name in re.findall(r"file:([a-z.]+)", found[1]):
        (tmp_path / name).write_text("secret")
    assert len(read_config(NotifierSettings(data_dir=tmp_path)).routes) == 7
    first = re.search(r"<<'END'\n(.*?)END\n", readme, re.DOTALL)
    assert first is not None
    (tmp_path / "notify.yaml").write_text(first[1])
    assert [route.name for route in read_config(NotifierSettings(data_dir=tmp_path)).routes] == ["ops"]


def fact(**fields: Any) -> Fact:
    return fact_of_alert(alert(**fields))


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        ({}, True),
        ({"severity": "critical"}, True),
        ({"kinds": ["camera_*"]}, True),
        ({"kinds": ["telemetry"]}, False),
        ({"groups": ["north"]}, True),
        ({"groups": ["south"]}, False),
        ({"cameras": ["gate-*"]}, True),
        ({"cameras": ["door-*"]}, False),
        ({"models": ["vehicles"]}, True),
        ({"models": ["birds"]}, False),
    ],
)
def test_a_route_takes_what_it_is_for(match: dict[str, Any], takes: bool) -> None:
    """By all that it names."""
    config = config_of({"routes": [{**HOOK, "match": match}]})
    assert chosen(config, fact(group="north"), "", []) == ["hook"] * takes


def test_less_than_the_severity_is_not_taken() -> None:
    """Warnings are more than information."""
    config = config_of({"routes": [{**HOOK, "match": {"severity": "critical"}}]})
    assert chosen(config, fact(severity="warning"), "", []) == []


def test_an_owner_who_is_no_route_is_as_good_as_none() -> None:
    """The one of the file is told; where there is none, who takes it."""
    config = config_of({"routes": [HOOK, {**MAIL, "direct": True}], "owner": "mail"})
    assert chosen(config, fact(kind="concept"), "gone", []) == ["hook", "mail"]
    assert chosen(config_of({"routes": [HOOK]}), fact(kind="concept"), "gone", []) == ["hook"]


def test_nobody_is_told_of_a_failing_route_when_all_fail() -> None:
    """The pages show it."""
    config = config_of({"routes": [HOOK, MAIL]})
    assert chosen(config, fact(kind="route_failing"), "", ["mail", "hook"]) == []
    assert chosen(config, fact(kind="route_failing"), "", ["hook"]) == ["mail"]


@pytest.mark.parametrize(
    ("hours", "at_ms", "is_it"),
    [
        ("Mon-Fri 08:00-18:00", NOON_MS, True),
        ("Sat 08:00-18:00", NOON_MS, False),
        ("08:00-12:00", NOON_MS, False),
        ("12:00-24:00", NOON_MS, True),
        ("Sat-Mon 00:00-24:00", NOON_MS + 2 * 86_400_000, True),
        ("Sat-Mon 00:00-24:00", NOON_MS, False),
        ("Fri 22:00-06:00", NOON_MS + 13 * 3_600_000, True),
        ("Sat 22:00-06:00", NOON_MS + 13 * 3_600_000, False),
        ("Sat 00:00-01:00, Fri 11:00-13:00", NOON_MS, True),
    ],
)
def test_hours(hours: str, at_ms: int, is_it: bool) -> None:
    """At noon of a Friday, and around it."""
    assert is_open(spans_of(hours), UTC, at_ms) is is_it


def test_a_title_says_where() -> None:
    """A camera, how many, a service, or all."""
    assert title_of(incident_of([fact()])) == "critical: camera black, gate-7 (open)"
    two = [fact(), fact(alert_id="b", camera="gate-8")]
    assert title_of(incident_of(two)) == "critical: camera black, 2 cameras (open)"
    down = fact(kind="service_down", signal="drift", camera=None)
    assert title_of(incident_of([down])) == "critical: service down, service drift (open)"
    assert title_of(incident_of([fact(kind="service_stalled", camera=None)])).endswith("the whole fleet (open)")


def test_a_message_names_some_cameras_and_counts_the_rest() -> None:
    """What strangers call cameras changes no line of it."""
    facts = [fact(alert_id=f"a{number}", camera=f"gate-{number:02}\n") for number in range(NAMED_MOST + 3)]
    content = content_of(incident_of({each.fact_id: each for each in facts}), 0, NOON_MS)
    assert "and 3 more" in content.text[1]
    assert "\n" not in content.text[1]
    assert (len(content.cameras), content.cameras_count) == (NAMED_MOST, NAMED_MOST + 3)


def test_an_incident_is_what_asks_for_most() -> None:
    """Open before seen before quiet; over when all is."""
    acknowledged = fact(alert_id="b", state="acknowledged", severity="warning")
    quiet = fact(alert_id="c", state="suppressed")
    assert incident_of([acknowledged, fact(), quiet]).shown.state == "open"
    assert incident_of([acknowledged, quiet]).shown.state == "acknowledged"
    assert incident_of([quiet]).shown.state == "suppressed"
    assert incident_of([fact_of_alert(over(alert(), NOON_MS))]).shown.state == "resolved"
    seen = content_of(incident_of([acknowledged]), 0, NOON_MS)
    assert "Somebody has seen it." in seen.text


def test_an_alert_without_an_incident_is_its_own() -> None:
    """As older versions wrote them."""
    assert fact(incident_id="").incident_id == "a1"


def test_a_step_that_asks_for_nothing_is_no_fact() -> None:
    """And one that does says what became of which version."""
    assert fact_of_step(step(stage="shadow")) is None
    found = fact_of_step(step())
    assert found is not None
    content = content_of(incident_of([found]), 0, NOON_MS)
    assert (content.title, content.text) == ("model vehicles 2 champion", ("better: on 800 labels",))


def test_a_digest_is_called_by_its_worst() -> None:
    """Where it is about several."""
    worst = content_of(incident_of([fact()]), 0, NOON_MS)
    mild = content_of(incident_of([fact(severity="info")]), 0, NOON_MS)
    assert digest_title((mild, worst)) == "critical: 2 incidents"
    assert digest_title((mild,)) == mild.title


def test_an_example_is_marked() -> None:
    """Nobody takes it for an alert."""
    content = example(NOON_MS)
    assert content.title.startswith("example:")
    assert (content.state, content.may_acknowledge) == ("example", False)


def test_what_a_change_is_worth() -> None:
    """Worse and open again is urgent, seen is less, more of the same least."""
    before = incident_of([fact(severity="warning")]).shown
    assert change(before, before) == "none"
    assert change(before, incident_of([fact()]).shown) == "urgent"
    assert change(before, incident_of([fact(severity="info")]).shown) == "more"
    assert change(before, incident_of([fact(severity="warning", state="acknowledged")]).shown) == "seen"


def test_pauses_grow_and_end() -> None:
    """A minute at most, unless the server asks for more, and no server for more than an hour."""
    patience = Patience()
    assert [retry_ms(patience, attempts, 0) for attempts in (1, 2, 3, 99)] == [2_000, 4_000, 8_000, 60_000]
    assert retry_ms(patience, 1, 90_000) == 90_000
    assert retry_ms(patience, 1, 10**9) == 3_600_000
