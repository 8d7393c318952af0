"""What decides about pictures of videos, without a decoder: damage, times, messages."""

import pytest

from catseye.video.damage import Damage, reports_damage
from catseye.video.faults import Because, VideoFault
from catseye.video.messages import Alive, Count, Ended, Inbox, Message, Opened, Order, Shown, order_of, packed
from catseye.video.times import CaptureClock, Thinning, Timeline


def whole(damage: Damage, *pictures: tuple[int, str]) -> list[int]:
    """Pictures that pass, of pairs of packet and kind: k for a key frame, m for a marked one."""
    return [n for n, kind in pictures if damage.is_whole(n, marked="m" in kind, key="k" in kind)]


def test_damage_lasts_until_a_key_frame_was_shown() -> None:
    """What was decoded before it passes, in whatever order it is shown."""
    damage = Damage()
    assert whole(damage, (0, "k"), (2, ""), (1, "")) == [0, 2, 1]
    damage.found_in(4)
    damage.found_in(4)
    assert whole(damage, (3, ""), (5, ""), (4, ""), (6, "k"), (7, "")) == [3, 6, 7]
    assert whole(damage, (8, "m"), (9, ""), (10, "km"), (11, ""), (12, "k")) == [12]


def test_pictures_before_a_key_frame_that_follow_it_in_the_stream_are_still_damaged() -> None:
    """They refer to both sides of it (open groups). Damage behind a key frame that waits to be shown stays."""
    damage = Damage()
    damage.found_in(3)
    assert whole(damage, (6, ""), (5, ""), (4, "k"), (7, "")) == [4, 7]
    damage.found_in(8)
    damage.found_in(10)
    assert whole(damage, (9, "k"), (10, ""), (11, "")) == [9]
    damage.found_in(12)
    assert whole(damage, (12, "k"), (13, "")) == []


def test_only_what_harms_the_picture_is_damage() -> None:
    """Cameras send user data that no decoder reads, with each picture."""
    assert reports_damage(["SEI type 5 size 64 truncated at 48", "error while decoding MB 6 1, bytestream 2007"])
    assert reports_damage(["Could not find ref with POC 12"])
    assert not reports_damage(["SEI type 5 size 64 truncated at 48", "deprecated pixel format used", ""])


def test_a_timeline_goes_on_over_jumps_and_gaps() -> None:
    """Back, far ahead, or no time at all: then by the usual step."""
    line = Timeline(10)
    stamps = [50.0, 50.5, 50.5, 20.0, 20.1, None, 21.0, 21.2, 9_999.0, 9_999.1]
    assert [line.at_s(each) for each in stamps] == pytest.approx([0, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3])


def test_the_least_delayed_pictures_say_when_the_others_were_taken() -> None:
    """A burst after a delay gets the times at which it was taken, none of the future."""
    clock = CaptureClock()
    assert [clock.captured_at_ms(at / 25, 1_000 + 40 * at) for at in range(3)] == [1_000, 1_040, 1_080]
    assert [clock.captured_at_ms(at / 25, 1_500) for at in range(3, 8)] == [1_120, 1_160, 1_200, 1_240, 1_280]
    assert clock.captured_at_ms(1.0, 1_960) == 1_960, "the stream's clock goes faster than ours: never of the future"


@pytest.mark.parametrize("drift", [-0.01, 0.01])
def test_a_camera_clock_that_goes_wrong_is_followed(drift: float) -> None:
    """By a hundredth, for an hour: never later than it came, never a second before."""
    clock, found = CaptureClock(), []
    for second in range(3_600):
        found.append(1_000 * second - clock.captured_at_ms(second * (1 + drift), 1_000 * second))
    assert min(found) >= 0
    assert max(found) < 1_000


def test_after_a_pause_of_the_stream_times_begin_anew() -> None:
    """A stream whose clock stood still while it did."""
    clock = CaptureClock()
    assert clock.captured_at_ms(0, 0) == 0
    assert clock.captured_at_ms(0.04, 60_000) == 60_000
    assert clock.captured_at_ms(0.08, 60_040) == 60_040


MESSAGES: list[Message] = [
    Opened("h264", live=True),
    Shown(3, 64, 48, (64, 32, 32), 1, True, False, 0.04, 12, Count(1, 2, 3)),
    Alive(Count(5)),
    Ended(Because.BROKEN, "why", Count(late=7)),
]


@pytest.mark.parametrize(("rate", "wanted", "of_100"), [(25, 8.5, 34), (12.5, 8.5, 68), (30, 10, 34), (6, 8.5, 100)])
def test_so_many_pictures_of_a_second_are_wanted(rate: float, wanted: float, of_100: int) -> None:
    """On average, whatever the camera's rate; of a slow camera all. Without a number all are."""
    thinning, all_of_them = Thinning(wanted), Thinning(None)
    found = [thinning.wants(number / rate) for number in range(100)]
    assert found[0]
    assert sum(found) == pytest.approx(of_100, abs=1)
    assert all(all_of_them.wants(number / rate) for number in range(100))


def test_after_a_pause_no_picture_makes_up_for_those_that_did_not_come() -> None:
    """The next ones are as far apart as ever."""
    thinning = Thinning(5)
    assert [thinning.wants(at_s) for at_s in (0, 10, 10.04, 10.1, 10.2)] == [True, True, False, False, True]


def test_messages_arrive_whole_however_they_are_cut() -> None:
    """Byte by byte, all at once; the order too."""
    stream = b"".join(packed(message) for message in MESSAGES)
    assert list(Inbox().take(stream)) == MESSAGES
    inbox = Inbox()
    assert [message for at in range(len(stream)) for message in inbox.take(stream[at : at + 1])] == MESSAGES
    order = Order("rtsp://a", True, 4, 100, 10, 1.0, 2.0, 3.0)
    assert order_of(packed(order)[4:]) == order


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [(b"\xff\xff\xff\xff", "too long"), (b"\x01\0\0\0\xc1", "malformed"), (b"\x02\0\0\0{}", "Expected `object`")],
)
def test_nonsense_is_no_message(nonsense: bytes, says: str) -> None:
    """A child that writes anything is told from one that is well."""
    with pytest.raises(ValueError, match=says):
        list(Inbox().take(nonsense))


@pytest.mark.parametrize("because", list(Because))
def test_every_reason_has_a_sentence_that_shows_no_secret(because: Because) -> None:
    """With the source in it."""
    text = str(VideoFault(because, "rtsp://user:rosebud@10.0.0.7/road?token=12", "detail"))
    assert "rtsp://***@10.0.0.7/road?token=***" in text
    assert not {"rosebud", "12"} & set(text.replace("=", " ").split())
