"""`services.ingest.window`: the edges of a window, and what it costs."""

import msgspec
import pytest

from services.ingest.window import BOOTS, BUCKET_MS, WIDTH, CameraWindow, Verdict, Windows

NEW, DUPLICATE, TOO_OLD = Verdict.NEW, Verdict.DUPLICATE, Verdict.TOO_OLD
SEQUENCE_MAX = 2**62 - 1
AT_MS = 1_800_000_000_000
SILENT_MS = 9 * BUCKET_MS


def verdicts(window: CameraWindow, *sequences: int, boot: str = "b") -> list[Verdict]:
    """What is said of each, in order."""
    return [window.take(boot, sequence, AT_MS) for sequence in sequences]


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
    assert [window.take(boot, 3, AT_MS) for boot in ("a", "b", "a", "", "b")] == [NEW, NEW, DUPLICATE, NEW, DUPLICATE]


def test_the_boot_used_last_is_forgotten_last() -> None:
    """A repeat counts as use; a forgotten boot's frames are new again, which is why there are several."""
    window = CameraWindow()
    assert [window.take(f"boot-{number}", 0, AT_MS) for number in range(BOOTS)] == [NEW] * BOOTS
    assert window.take("boot-0", 0, AT_MS) == DUPLICATE
    assert window.take("one more", 0, AT_MS) == NEW
    assert [window.take(f"boot-{number}", 0, AT_MS) for number in (0, 2, 1)] == [DUPLICATE, DUPLICATE, NEW]


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


def test_few_cameras_are_examined_with_each_frame() -> None:
    """However many are silent, a transaction stays short."""
    windows = Windows()
    for number in range(100):
        window = CameraWindow()
        window.take("b", 0, AT_MS)
        windows.restore(b"%d" % number, window.to_bytes())
    gone = [windows.forget(AT_MS + SILENT_MS, SILENT_MS - BUCKET_MS, 10) for _ in range(25)]
    assert (gone[:10], sum(gone), max(gone), len(windows)) == ([0] * 10, 100, 10, 0)


def test_a_camera_that_goes_on_is_remembered() -> None:
    """Its bucket's turn comes, and it is noted again; one that was taken away in vain too."""
    windows = Windows()

    def seen(name: bytes, at_ms: int) -> None:
        stored = windows.get(name)
        window = CameraWindow.from_bytes(stored) if stored else CameraWindow()
        window.take("b", 0, at_ms)
        windows.put(name, window.to_bytes())

    seen(b"one", AT_MS)
    seen(b"other", AT_MS)
    windows.commit()
    assert windows.forget(AT_MS, 0, 10) == 0
    seen(b"one", AT_MS + 5 * BUCKET_MS)
    seen(b"in vain", AT_MS)
    assert windows.forget(AT_MS + 5 * BUCKET_MS, BUCKET_MS, 10) == 2
    windows.rollback()
    assert sorted(dict(windows.items())) == [b"one", b"other"]
    seen(b"one", AT_MS + 5 * BUCKET_MS)
    windows.commit()
    assert windows.forget(AT_MS + 5 * BUCKET_MS, BUCKET_MS, 10) == 1
    assert (list(dict(windows.items())), list(windows.changes())) == ([b"one"], [(b"other", None)])
    assert windows.forget(AT_MS + 50 * BUCKET_MS, BUCKET_MS, 10) == 1
    assert windows.forget(AT_MS + 50 * BUCKET_MS, BUCKET_MS, 10) == 0


def test_a_window_of_an_earlier_version_is_dated_when_it_is_examined() -> None:
    """It says nothing of when its camera was seen last: it stays for as long as any other from now on."""
    windows = Windows()
    windows.restore(b"cam", msgspec.msgpack.encode([[["b", 7, b"\1"]], 3]))
    assert windows.forget(AT_MS, SILENT_MS, 10) == 0
    (known,) = [CameraWindow.from_bytes(value) for _, value in windows.items()]
    assert (known.newest_ms, known.duplicates) == (AT_MS, 3)
    assert [key for key, _ in windows.changes()] == [b"cam"]
    assert windows.forget(AT_MS + SILENT_MS - BUCKET_MS, SILENT_MS, 10) == 0
    assert windows.forget(AT_MS + SILENT_MS + BUCKET_MS, SILENT_MS, 10) == 1
