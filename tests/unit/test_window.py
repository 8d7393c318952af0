"""`services.ingest.window`: the edges of a window, and what it costs."""

import pytest

from services.ingest.window import BOOTS, WIDTH, CameraWindow, Verdict

NEW, DUPLICATE, TOO_OLD = Verdict.NEW, Verdict.DUPLICATE, Verdict.TOO_OLD
SEQUENCE_MAX = 2**62 - 1


def verdicts(window: CameraWindow, *sequences: int, boot: str = "b") -> list[Verdict]:
    """What is said of each, in order."""
    return [window.take(boot, sequence) for sequence in sequences]


def test_a_frame_is_new_once() -> None:
    """In order, with gaps, and when it comes in late."""
    assert verdicts(CameraWindow(), 0, 1, 5, 3, 1, 3, 5, 4) == [NEW, NEW, NEW, NEW, *[DUPLICATE] * 3, NEW]


def test_the_window_ends_behind_the_highest() -> None:
    """WIDTH numbers are remembered, the highest among them."""
    window = CameraWindow()
    assert verdicts(window, 10_000, 10_000 - WIDTH + 1, 10_000 - WIDTH) == [NEW, NEW, TOO_OLD]
    assert verdicts(window, 10_000 - WIDTH + 1) == [DUPLICATE]


@pytest.mark.parametrize("step", [WIDTH - 1, WIDTH, WIDTH + 1, 2**40])
def test_a_leap_forgets_what_falls_out(step: int) -> None:
    """What is still inside is a duplicate, what is not is too old; never new again."""
    window = CameraWindow()
    assert verdicts(window, 7, 7 + step) == [NEW, NEW]
    assert verdicts(window, 7) == [DUPLICATE if step < WIDTH else TOO_OLD]
    assert verdicts(window, 8 + step - 1, 7 + step + 1) == [DUPLICATE, NEW]


def test_boots_have_windows_of_their_own() -> None:
    """The same number in another boot is another frame."""
    window = CameraWindow()
    assert [window.take(boot, 3) for boot in ("a", "b", "a", "", "b")] == [NEW, NEW, DUPLICATE, NEW, DUPLICATE]


def test_the_boot_used_last_is_forgotten_last() -> None:
    """A repeat counts as use; a forgotten boot's frames are new again, which is why there are several."""
    window = CameraWindow()
    assert [window.take(f"boot-{number}", 0) for number in range(BOOTS)] == [NEW] * BOOTS
    assert window.take("boot-0", 0) == DUPLICATE
    assert window.take("one more", 0) == NEW
    assert [window.take(f"boot-{number}", 0) for number in (0, 2, 1)] == [DUPLICATE, DUPLICATE, NEW]


def test_duplicates_are_counted() -> None:
    """And survive the log."""
    window = CameraWindow()
    verdicts(window, 1, 1, 1, 2, 2)
    assert (window.duplicates, CameraWindow.from_bytes(window.to_bytes()).duplicates) == (3, 3)


def test_the_largest_number_has_room() -> None:
    """Up to what ingest lets pass."""
    window = CameraWindow()
    assert verdicts(window, 0, SEQUENCE_MAX, SEQUENCE_MAX, SEQUENCE_MAX - 1) == [NEW, NEW, DUPLICATE, NEW]
    assert CameraWindow.from_bytes(window.to_bytes()) == window


def test_a_camera_costs_some_hundred_bytes() -> None:
    """One boot, all frames seen: the window and a name."""
    window = CameraWindow()
    verdicts(window, *range(5_000), boot="2026-01-01T00:00:00Z-3f2a")
    assert len(window.to_bytes()) < 320


@pytest.mark.parametrize(("letter", "most_bytes"), [("x", 4_000), ("é", 6_000), ("界", 7_200), ("🚗", 8_800)])
def test_a_camera_never_costs_much_more(letter: str, most_bytes: int) -> None:
    """All boots with the longest names there are and every frame seen: at most 8 KiB, with emoji a little more."""
    window = CameraWindow()
    for number in range(BOOTS + 2):
        boot = f"{number:02}{letter * 198}"
        verdicts(window, *range(SEQUENCE_MAX - WIDTH, SEQUENCE_MAX), boot=boot)
    assert len(window.to_bytes()) <= most_bytes
