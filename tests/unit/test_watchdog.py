"""When a worker is taken for stuck."""

from catseye.runtime.health import Watchdog


def test_a_worker_without_a_sign_is_stuck() -> None:
    """So many looks in a row without a new sign, and it is stuck."""
    watchdog = Watchdog(3)
    assert [watchdog.check(1.0) for _ in range(4)] == [False, False, False, True]


def test_a_sign_starts_the_count_anew() -> None:
    """A slow worker that gives a sign in time is never taken for stuck."""
    watchdog = Watchdog(2)
    assert [watchdog.check(beat_at) for beat_at in (1.0, 1.0, 2.0, 2.0, 3.0)] == [False] * 5
