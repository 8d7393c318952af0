"""Pauses between tries while a server is away."""

from catseye.backoff import Backoff


def test_pauses_double_to_a_bound_and_start_anew_after_an_answer() -> None:
    """A server that is away for long is asked seldom."""
    backoff = Backoff(1.0, 5.0, chance=lambda: 1.0)
    assert [backoff.pause_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.pause_s() == 1.0


def test_clients_that_lost_one_server_come_back_apart() -> None:
    """A pause is anywhere in its upper half: never at once, never later than its bound."""
    draws = iter([0.0, 0.5, 1.0])
    backoff = Backoff(2.0, 2.0, chance=lambda: next(draws))
    assert [backoff.pause_s() for _ in range(3)] == [1.0, 1.5, 2.0]
