"""What the notifier sends, and when: in virtual time, with a log that outlives its process."""

from typing import Any

import pytest

from services.notifier.known import Attempt, Result
from services.notifier.policy import Patience
from tests.simulation.notifier import NOON_MS, Killed, World, alert, away, opened_on, over, step, took

HOOK = {"name": "hook", "to": "webhook", "url": "https://hooks.example/x"}
MAIL = {
    "name": "mail",
    "to": "mail",
    "server": "smtp://mail.example",
    "from": "catseye@example.org",
    "recipients": ["ops@example.org"],
}
HOUR_S = 3_600


def world(*routes: dict[str, Any], patience: Patience | None = None, **more: Any) -> World:
    return World({"routes": list(routes), **more}, patience)


def test_an_alert_is_one_message_within_a_second() -> None:
    """And nothing more while nothing changes."""
    it = world(HOOK)
    it.put(alert())
    it.run(1)
    assert it.titles("hook") == ["critical: camera black, gate-7 (open)"]
    it.put(alert(state="updated", revision=1, explanation="The same in other words.", updated_at_ms=NOON_MS + 1))
    it.run(HOUR_S)
    assert len(it.servers.asked) == 1
    assert [(each.result, each.action, each.attempt) for each in it.written] == [("delivered", "message", 1)]


def test_an_incident_of_forty_cameras_and_three_hundred_records_is_one_message_and_few_edits() -> None:
    """One message a route, at most six edits where the channel can, and where it cannot one reply that it is over;
    from an alert's record to its message at most two seconds."""
    it = world(HOOK, MAIL)
    records = opened_on(40, 300, every_ms=2_000)
    for at_ms, record in records:
        it.run((at_ms - it.now_ms) / 1_000)
        it.put(record)
    first = it.servers.arrived[0].at_ms - records[0][0]
    for _, record in records[-40:]:
        it.put(over(record, it.now_ms))
        it.run(0.4)
    it.run(HOUR_S)
    by_route = {route: [attempt.action for attempt in it.servers.of(route)] for route in ("hook", "mail")}
    assert by_route["mail"] == ["message", "edit"]
    assert by_route["hook"][0] == "message"
    assert set(by_route["hook"][1:]) == {"edit"}
    assert len(by_route["hook"]) - 1 <= 6
    assert first <= 2_000
    assert {it.titles(route)[-1] for route in by_route} == {"critical: camera black, 40 cameras (resolved)"}


def test_an_incident_that_comes_and_goes_is_edited_once_an_hour_at_last() -> None:
    """However often it flaps: six edits in the first hour, one in each further one."""
    it = world(HOOK)
    for minute in range(5 * 60):
        state = "opened" if minute % 2 == 0 else "resolved"
        it.put(alert(state=state, revision=minute, times_opened=minute // 2 + 1, updated_at_ms=it.now_ms))
        it.run(60)
    at_s = [(each.at_ms - NOON_MS) / 1_000 for each in it.servers.arrived]
    assert len([each for each in at_s[1:] if each <= HOUR_S]) <= 6
    assert len([each for each in at_s if each > HOUR_S]) <= 5


def test_what_is_over_before_it_is_told_is_not_told() -> None:
    """A start reads what was written meanwhile before it sends anything: most of it is over."""
    it = world(HOOK)
    it.put(alert())
    it.put(over(alert(), NOON_MS + 5))
    it.run(60)
    assert it.servers.asked == []
    it.put(alert(revision=2, times_opened=2, updated_at_ms=it.now_ms))
    it.run(1)
    assert it.titles("hook") == ["critical: camera black, gate-7 (open)"]


def test_a_start_waits_until_it_has_read_what_was_written_meanwhile() -> None:
    """But no longer than half a minute, however much comes."""
    it = world(HOOK)
    it.start()
    for number in range(200):
        it.put(alert(alert_id=f"b{number}", incident_id=f"j{number}", updated_at_ms=it.now_ms))
        it.run(0.2)
        if number % 2 == 0:
            it.put(over(alert(alert_id=f"b{number}", incident_id=f"j{number}"), it.now_ms))
    assert 29_000 < it.servers.arrived[0].at_ms - NOON_MS < 34_000
    it.run(600)
    sent = {attempt.contents[0].incident_id for attempt in it.servers.of("hook")}
    assert "j0" not in sent
    assert "j1" in sent


def test_a_suppressed_incident_is_told_once_it_is_open() -> None:
    """Somebody wanted it quiet."""
    it = world(HOOK)
    it.put(alert(state="suppressed", times_opened=0))
    it.run(60)
    assert it.servers.asked == []
    it.put(alert(state="opened", revision=1, updated_at_ms=NOON_MS + 60_000))
    it.run(1)
    assert len(it.servers.of("hook")) == 1


def test_an_older_record_changes_nothing() -> None:
    """The newest one of an alert holds, also where it comes again."""
    it = world(HOOK)
    it.put(over(alert(), NOON_MS + 9), alert(), over(alert(), NOON_MS + 9))
    it.run(60)
    assert it.servers.asked == []


def test_acknowledged_is_shown_where_the_channel_can_edit() -> None:
    """And is no mail of its own."""
    it = world(HOOK, MAIL)
    it.put(alert())
    it.run(10)
    it.put(alert(state="acknowledged", revision=1, acknowledged_by="ada", updated_at_ms=it.now_ms))
    it.run(60)
    assert it.titles("hook")[1:] == ["critical: camera black, gate-7 (acknowledged)"]
    assert it.servers.of("hook")[-1].contents[0].text[1] == "ada has seen it."
    assert len(it.servers.of("mail")) == 1


def test_an_edit_names_the_message_that_it_edits() -> None:
    """By what the channel calls it, and by its first id; its number grows."""
    it = world(HOOK)
    it.put(alert(severity="warning"))
    it.run(10)
    it.put(alert(revision=1, updated_at_ms=it.now_ms))
    it.run(10)
    first, edit = it.servers.of("hook")
    assert (first.ref, first.contents[0].revision) == ("", 0)
    assert (edit.ref, edit.first_id) == (f"ref-{first.notification_id}", first.notification_id)
    assert (edit.action, edit.contents[0].revision) == ("edit", 1)
    assert edit.notification_id != first.notification_id


def test_a_mail_server_that_is_away_for_ten_minutes_gets_all_in_order_and_once() -> None:
    """One probe at a time meanwhile, with growing pauses: no storm, neither then nor after."""
    it = world(MAIL)
    it.servers.answer["mail"] = away(NOON_MS, NOON_MS + 600_000)
    for number in range(30):
        it.put(alert(alert_id=f"b{number}", incident_id=f"j{number:02}", updated_at_ms=it.now_ms))
        it.run(20)
    tried = len(it.servers.asked)
    it.run(120)
    sent = [attempt.contents[0].incident_id for attempt in it.servers.of("mail")]
    assert sent == [f"j{number:02}" for number in range(30)]
    assert tried <= 16
    late_s = (it.servers.arrived[-1].at_ms - NOON_MS) / 1_000 - 600
    assert late_s <= 80


def test_a_route_that_fails_holds_up_no_other() -> None:
    """Each has its own order."""
    it = world(MAIL, HOOK)
    it.servers.answer["mail"] = away(NOON_MS, NOON_MS + 10**9)
    it.put(alert())
    it.run(1)
    assert len(it.servers.of("hook")) == 1


def test_a_route_that_fails_for_a_minute_is_reported_and_another_one_tells_of_it() -> None:
    """The alert about it goes to routes that work, also to one that would not take it."""
    it = world(MAIL, {**HOOK, "match": {"kinds": ["camera_silent"]}})
    it.servers.answer["mail"] = away(NOON_MS, NOON_MS + 300_000)
    it.put(alert())
    it.run(50)
    assert it.desk.failing == {}
    it.run(40)
    assert it.desk.failing == {"mail": "connection refused"}
    it.put(alert(alert_id="r", incident_id="r", kind="route_failing", signal="notifier", camera=None))
    it.run(1)
    assert it.titles("hook") == ["critical: route failing, service notifier (open)"]
    it.run(400)
    assert it.desk.failing == {}
    assert it.titles("mail") == ["critical: camera black, gate-7 (open)"]


def test_what_the_server_may_have_is_sent_again_as_it_was() -> None:
    """With the same key each time, also after tries of which it surely has nothing; what changed is an edit then."""
    it = world(HOOK)
    it.servers.answer["hook"] = lambda attempt, _: Result(attempt.key, "uncertain", "no answer within 10 s")
    it.put(alert())
    it.run(1)
    it.put(over(alert(), NOON_MS + 1_000))
    it.run(4)
    it.servers.answer["hook"] = away(it.now_ms, it.now_ms + 10_000)
    it.run(60)
    *attempts, edit = [each.attempt for each in it.servers.asked]
    assert {attempt.contents[0].state for attempt in attempts} == {"open"}
    assert {attempt.notification_id for attempt in attempts} == {edit.first_id}
    assert [attempt.number for attempt in attempts] == [*range(1, len(attempts) + 1)]
    assert (edit.action, edit.contents[0].state) == ("edit", "resolved")


def test_what_the_server_surely_does_not_have_is_sent_as_it_is_now() -> None:
    """One message, though it is over by then: it was due."""
    it = world(HOOK)
    it.servers.answer["hook"] = away(NOON_MS, NOON_MS + 10_000)
    it.put(alert())
    it.run(1)
    it.put(over(alert(), NOON_MS + 1_000))
    it.run(60)
    assert it.titles("hook") == ["critical: camera black, gate-7 (resolved)"]


def test_a_refused_message_is_not_tried_again_and_holds_up_nobody() -> None:
    """The route works: it refused one message."""
    it = world(HOOK)
    it.servers.answer["hook"] = lambda attempt, _: Result(attempt.key, "refused", "422")
    it.put(alert())
    it.run(30)
    it.servers.answer["hook"] = took
    it.put(alert(alert_id="b", incident_id="j", camera="gate-8"))
    it.run(600)
    assert it.titles("hook") == ["critical: camera black, gate-8 (open)"]
    assert [each.result for each in it.written] == ["refused", "delivered"]


def test_a_server_says_when_to_come_again() -> None:
    """Not before."""
    it = world(HOOK)
    it.servers.answer["hook"] = lambda attempt, _: Result(attempt.key, "failed", "429", retry_after_ms=300_000)
    it.put(alert())
    it.run(301)
    it.servers.answer["hook"] = took
    it.run(60)
    assert [round((each.at_ms - NOON_MS) / 60_000) for each in it.servers.asked] == [0, 5]


def test_a_message_is_given_up_after_a_day() -> None:
    """Then the next one is tried."""
    it = world(HOOK, patience=Patience(give_up_ms=600_000))
    it.servers.answer["hook"] = away(NOON_MS, NOON_MS + 700_000)
    it.put(alert())
    it.run(2)
    it.put(alert(alert_id="b", incident_id="j", camera="gate-8"))
    it.run(900)
    assert [each.result for each in it.written if each.result != "failed"] == ["given_up", "delivered"]
    assert it.titles("hook") == ["critical: camera black, gate-8 (open)"]


def test_a_digest_is_one_message_of_what_came_within_its_time() -> None:
    """What is over by then is left out, and nothing of it is edited later."""
    it = world({**HOOK, "digest_m": 30})
    for number in range(5):
        it.put(alert(alert_id=f"b{number}", incident_id=f"j{number}", camera=f"gate-{number}"))
        it.run(60)
    it.put(over(alert(alert_id="b1", incident_id="j1"), it.now_ms))
    it.run(HOUR_S)
    (attempt,) = it.servers.of("hook")
    assert [content.incident_id for content in attempt.contents] == ["j0", "j2", "j3", "j4"]
    assert (attempt.action, it.written[-1].incidents) == ("digest", 4)
    it.put(over(alert(alert_id="b2", incident_id="j2"), it.now_ms))
    it.run(HOUR_S)
    assert len(it.servers.asked) == 1


@pytest.mark.slow
def test_more_than_a_routes_messages_of_an_hour_come_as_digests() -> None:
    """Five hundred incidents at once are no storm."""
    it = world({**HOOK, "most_per_h": 10})
    it.put(*[alert(alert_id=f"b{number}", incident_id=f"j{number}") for number in range(500)])
    it.run(HOUR_S / 2)
    sent = it.servers.of("hook")
    assert [len(attempt.contents) for attempt in sent] == [1] * 10 + [490]
    for number in range(500, 520):
        it.put(alert(alert_id=f"b{number}", incident_id=f"j{number}"))
        it.run(60)
    sizes = [len(attempt.contents) for attempt in it.servers.of("hook")[11:]]
    assert len(sizes) <= 3
    it.run(2 * HOUR_S)
    assert len({content.incident_id for attempt in it.servers.of("hook") for content in attempt.contents}) == 520


def test_outside_of_its_hours_a_route_waits() -> None:
    """Noon of a Friday in UTC is one o'clock in Berlin; what is over by Monday is not told."""
    it = world({**HOOK, "hours": "Mon-Fri 08:00-13:00"}, timezone="Europe/Berlin")
    it.put(alert(), alert(alert_id="b", incident_id="j", camera="gate-8"))
    it.run(HOUR_S)
    assert it.servers.asked == []
    it.put(over(alert(), it.now_ms))
    it.now_ms = NOON_MS + 67 * HOUR_S * 1_000 - 1_000
    it.run(2)
    assert it.titles("hook") == ["critical: camera black, gate-8 (open)"]


def test_the_next_one_is_told_when_nobody_acknowledges() -> None:
    """At any hour, once, with a sentence that says why."""
    desk = {**HOOK, "escalate": {"after_m": 15, "to": "call"}}
    call = {**MAIL, "name": "call", "direct": True, "hours": "00:00-00:01"}
    it = world(desk, call)
    it.put(alert())
    it.run(14 * 60)
    assert it.servers.of("call") == []
    it.run(120)
    (attempt,) = it.servers.of("call")
    assert "Nobody acknowledged it; it was sent to hook first." in attempt.contents[0].text
    it.run(HOUR_S)
    assert len(it.servers.of("call")) == 1


@pytest.mark.parametrize("state", ["acknowledged", "suppressed", "resolved"])
def test_nobody_else_is_told_of_what_was_seen_in_time(state: str) -> None:
    """It was acknowledged, or is quiet, or over."""
    it = world({**HOOK, "escalate": {"after_m": 15, "to": "call"}}, {**MAIL, "name": "call", "direct": True})
    it.put(alert())
    it.run(60)
    it.put(alert(state=state, revision=1, updated_at_ms=it.now_ms))
    it.run(HOUR_S)
    assert it.servers.of("call") == []
    it.put(alert(state="opened", revision=2, times_opened=2, updated_at_ms=it.now_ms))
    it.run(14 * 60)
    assert it.servers.of("call") == []
    it.run(120)
    assert len(it.servers.of("call")) == 1


def test_escalation_does_not_wait_for_a_route_that_fails() -> None:
    """That nobody could be told is no reason to tell nobody; one who has the message gets no second one."""
    it = world({**MAIL, "escalate": {"after_m": 5, "to": "hook"}}, HOOK)
    it.servers.answer["mail"] = away(NOON_MS, NOON_MS + 10**9)
    it.put(alert(severity="critical"))
    it.run(HOUR_S)
    assert len(it.servers.of("hook")) == 1
    only = world({**MAIL, "escalate": {"after_m": 5, "to": "hook"}}, {**HOOK, "direct": True})
    only.servers.answer["mail"] = away(NOON_MS, NOON_MS + 10**9)
    only.put(alert())
    only.run(HOUR_S)
    assert len(only.servers.of("hook")) == 1


def test_the_owner_of_a_model_is_told_of_its_accuracy_and_rollout() -> None:
    """The one that its registration names, else the one of the file; of nothing else."""
    it = world(HOOK, {**HOOK, "name": "ada", "direct": True}, {**MAIL, "name": "bob", "direct": True}, owner="bob")
    it.put(step(owner="ada"))
    it.run(2)
    it.put(alert(kind="accuracy_floor"))
    it.put(alert(alert_id="b", incident_id="j", kind="camera_black"))
    it.put(alert(alert_id="c", incident_id="k", kind="concept", model="other"))
    it.run(2)
    assert it.titles("ada") == ["model vehicles 2 champion", "critical: accuracy floor, gate-7 (open)"]
    assert it.titles("bob") == ["critical: concept, gate-7 (open)"]
    assert len(it.servers.of("hook")) == 4


def test_steps_of_models_are_news_when_they_are_new() -> None:
    """What a version became long ago is none, nor what nobody asks about; one that is rejected later is."""
    it = world(HOOK)
    it.put(step(version="0", at_ms=NOON_MS - 25 * 3_600_000), step(version="1", stage="shadow"), step())
    it.run(2)
    assert it.titles("hook") == ["model vehicles 2 champion"]
    it.run(10)
    it.put(step(stage="rejected", event_id="e2", at_ms=it.now_ms))
    it.run(2)
    assert it.titles("hook") == ["model vehicles 2 champion", "model vehicles 2 rejected"]


def test_what_is_over_for_a_day_is_forgotten() -> None:
    """The state does not grow; what is open is kept."""
    it = world(HOOK)
    it.put(alert(), alert(alert_id="b", incident_id="j"))
    it.run(10)
    it.put(over(alert(), it.now_ms))
    it.run(10)
    it.now_ms += 25 * HOUR_S * 1_000
    it.run(120)
    assert it.state.incidents() == ["j"]
    assert {key[:3] for key in it.log} == {b"fj\0", b"mj\0", b"rho"}


def test_a_message_on_its_way_is_kept_however_old_it_is() -> None:
    """The route fails for longer than incidents are remembered."""
    it = world(HOOK, patience=Patience(give_up_ms=10**12))
    it.servers.answer["hook"] = away(NOON_MS, NOON_MS + 30 * HOUR_S * 1_000)
    it.put(alert())
    it.run(10)
    it.put(over(alert(), it.now_ms))
    it.now_ms += 29 * HOUR_S * 1_000
    it.run(2 * HOUR_S)
    assert it.titles("hook") == ["critical: camera black, gate-7 (resolved)"]


def test_a_route_that_is_taken_out_of_the_file_is_let_go() -> None:
    """With the message that it was sending."""
    it = world(HOOK, MAIL)
    it.servers.answer["mail"] = away(NOON_MS, NOON_MS + 10**9)
    it.put(alert())
    it.run(10)
    it.config = world(HOOK).config
    it.start()
    it.put(over(alert(), it.now_ms))
    it.run(60)
    assert it.state.routes() == ["hook"]
    assert it.titles("hook")[-1] == "critical: camera black, gate-7 (resolved)"


def test_a_sender_that_does_not_come_back_stops_its_route_and_nothing_else() -> None:
    """Nothing is sent twice meanwhile."""
    it = world(HOOK, MAIL)
    it.servers.answer["hook"] = lambda attempt, now_ms: None
    it.put(alert())
    it.run(600)
    assert [each.attempt.route for each in it.servers.asked] == ["hook", "mail"]


def test_what_the_log_no_longer_has_is_not_known_after_a_start() -> None:
    """A state topic that was not compacted yet has what was removed, and that it was."""
    it = world(HOOK, MAIL, owner="mail")
    it.put(alert(), step(owner="hook"))
    it.run(10)
    log = dict(it.log)
    it.start()
    for key, value in [*log.items(), *dict.fromkeys(log).items()]:
        it.state.restore(key, value)
    it.run(10)
    assert (it.state.incidents(), it.state.routes(), it.state.active) == ([], [], set())


def test_a_quiet_incident_may_still_escalate_once_it_is_open() -> None:
    """Though nobody was told of it while it was quiet."""
    it = world({**HOOK, "escalate": {"after_m": 15, "to": "call"}}, {**MAIL, "name": "call", "direct": True})
    it.put(alert())
    it.put(alert(state="suppressed", revision=1, updated_at_ms=NOON_MS + 1))
    it.run(HOUR_S)
    assert it.servers.asked == []
    it.put(alert(revision=2, updated_at_ms=it.now_ms))
    it.run(HOUR_S)
    assert [each.attempt.route for each in it.servers.asked] == ["hook", "call"]


def test_a_rollback_of_the_transaction_leaves_all_as_it_was() -> None:
    """What was not committed is not sent, and is decided anew."""
    it = world(HOOK)
    it.core.on_alert(alert(), None, it.state, it.now_ms)
    it.core.on_time({0: it.state}, it.now_ms + 5_000)
    assert it.state.changes() != []
    it.state.rollback()
    assert (it.state.changes(), it.state.incidents(), it.servers.asked) == ([], [], [])
    it.put(alert())
    it.run(1)
    it.core.on_alert(over(alert(), it.now_ms), None, it.state, it.now_ms)
    it.state.rollback()
    it.run(HOUR_S)
    assert it.titles("hook") == ["critical: camera black, gate-7 (open)"]


def story(it: World) -> None:
    """Two incidents on two routes, with edits, while one server is away for a while."""
    it.servers.answer["mail"] = away(NOON_MS + 5_000, NOON_MS + 30_000)
    it.put(alert(severity="warning"))
    it.run(3)
    it.put(alert(alert_id="b", incident_id="j", camera="gate-8"))
    it.run(5)
    it.put(alert(revision=1, updated_at_ms=it.now_ms))
    it.run(20)
    it.put(over(alert(revision=1), it.now_ms), over(alert(alert_id="b", incident_id="j"), it.now_ms))
    it.run(120)


def by_key(it: World) -> dict[str, list[Attempt]]:
    """What arrived, by its key: a channel with keys shows each once."""
    found: dict[str, list[Attempt]] = {}
    for each in it.servers.arrived:
        found.setdefault(each.attempt.notification_id, []).append(each.attempt)
    return found


def test_killed_at_every_step_it_loses_nothing_and_repeats_at_most_what_was_on_its_way() -> None:
    """With the same key and the same words; the order on each route stays."""
    whole = world(HOOK, MAIL)
    story(whole)
    asked = len(whole.servers.asked)
    ends = {route: whole.titles(route)[-2:] for route in ("hook", "mail")}
    repeated = 0
    for step_ in range(1, whole.steps + 1):
        it = world(HOOK, MAIL)
        it.steps, it.kill_at = 0, step_
        story(it)
        keys = by_key(it)
        assert {len({(one.contents, one.ref, one.first_id) for one in same}) for same in keys.values()} == {1}, step_
        twice = [same[0].route for same in keys.values() if len(same) > 1]
        assert len(twice) == len(set(twice)), step_
        repeated += len(twice)
        assert {route: sorted(it.titles(route)[-2:]) for route in ends} == {
            route: sorted(titles) for route, titles in ends.items()
        }, step_
        for route in ends:
            firsts = [
                attempt.contents[0].incident_id for attempt in it.servers.of(route) if attempt.action == "message"
            ]
            assert list(dict.fromkeys(firsts)) == ["i1", "j"], step_
        assert len(it.servers.asked) <= asked + 3, step_
    assert repeated > 0


def test_a_process_that_dies_after_each_message_is_no_storm() -> None:
    """It starts again and again within seconds, for an hour, and each time the message has arrived unnoticed."""
    it = world(HOOK)
    it.put(alert())

    def dies(attempt: Attempt, now_ms: int) -> Result:
        raise Killed

    it.servers.answer["hook"] = dies
    it.run(HOUR_S)
    assert it.kills == len(it.servers.asked)
    assert len(it.servers.asked) <= 70
