"""What an earlier build left on the state topics is known to today's: whatever was learned, waits or is open.

tests/contract/states/N holds the bytes that format N left there and what must be known of them; neither is changed.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from catseye.contract.errors import Misconfigured
from catseye.runtime.state_format import HIGHEST
from tests.contract.states.facts import of_ahead, of_days, without_nothing
from tests.contract.states.golden import FOLDER, differences, expected, known, rows_of
from tests.contract.states.stories import STORIES, Row

FORMATS = sorted(int(folder.name) for folder in FOLDER.iterdir() if folder.name.isdigit())
GOLDEN = [
    (number, service) for number in FORMATS for service in STORIES if (FOLDER / f"{number}/{service}.rows").exists()
]


@pytest.mark.parametrize(("number", "service"), GOLDEN)
def test_what_was_known_before_an_upgrade_is_known_after_it(number: int, service: str) -> None:
    """To the number, by the names of signals, streams, alerts and versions; and the service goes on from there."""
    assert differences(expected(number, service), known(service, rows_of(number, service))) == []


def test_days_of_labels_are_known_after_an_upgrade() -> None:
    """Which came to drift's rows later; and without them nothing is."""
    rows, wanted = rows_of(1, "drift_days"), expected(1, "drift_days")
    assert differences(wanted, without_nothing(of_days(rows))) == []
    of_them = [row for row in rows if not row[0].endswith(b"\0y")]
    assert differences(wanted, without_nothing(of_days(of_them))) != []


def test_labels_that_wait_for_their_frames_are_known_after_an_upgrade() -> None:
    """All of them, and each with its frame; a value from the future is refused."""
    rows, wanted = rows_of(1, "drift_ahead"), expected(1, "drift_ahead")
    assert differences(wanted, without_nothing(of_ahead(rows))) == []
    assert differences(wanted, without_nothing(of_ahead(rows[1:]))) != []
    (key, value), *_ = rows
    with pytest.raises(Misconfigured, match=rf"^drift\.state: .* format {HIGHEST}, .* start that version again"):
        of_ahead([(key, bytes((HIGHEST,)) + value[1:])])


def test_every_service_that_keeps_state_has_golden_bytes() -> None:
    """Of the first format all that there were then."""
    assert [service for number, service in GOLDEN if number == 0] == [each for each in STORIES if each != "vehicles"]
    assert {service for _, service in GOLDEN} == {*STORIES}


@pytest.mark.slow
@pytest.mark.parametrize("service", [*STORIES])
def test_bytes_that_are_lost_are_found(service: str) -> None:
    """Negative control: without any one of the rows something that is expected is not known."""
    number = min(number for number, each in GOLDEN if each == service)
    wanted, rows = expected(number, service), rows_of(number, service)
    for place in range(0, len(rows), max(1, len(rows) // 4)):
        assert _is_noticed(service, wanted, [*rows[:place], *rows[place + 1 :]]), rows[place][0]


def _is_noticed(service: str, wanted: Any, rows: list[Row]) -> bool:
    try:
        return differences(wanted, known(service, rows)) != []
    except (LookupError, ValueError):  # entries without their model
        return True


@pytest.mark.parametrize("service", [service for number, service in GOLDEN if number == 1])
def test_a_value_from_the_future_is_refused(service: str) -> None:
    """By each service, whichever of its values it is, and before anything is said."""
    newest = max(number for number, each in GOLDEN if each == service)
    rows = rows_of(newest, service)
    numbered = [place for place, (_, value) in enumerate(rows) if 0 < value[0] <= HIGHEST]
    assert numbered
    for place in numbered:
        key, value = rows[place]
        future = [*rows[:place], (key, bytes((HIGHEST,)) + value[1:]), *rows[place + 1 :]]
        with pytest.raises(
            Misconfigured, match=rf"^{service}\.state: .* format {HIGHEST}, .* start that version again"
        ):
            known(service, future)


def test_golden_files_are_small() -> None:
    """So that they stay in the history for ever."""
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*/*") if path.suffix in (".rows", ".json")}
    assert {name: size for name, size in sizes.items() if size > 100_000} == {}


def test_differences_are_found() -> None:
    """Negative control: a number, a name that is gone, one too many, a shorter list."""
    wanted = json.loads('{"a": 1.0, "b": {"c": [1, 2]}}')
    assert differences(wanted, {"a": 1.000001, "b": {"c": [1, 2]}}) == []
    for found in ({"a": 1.1, "b": wanted["b"]}, {"a": 1.0}, wanted | {"d": 1}, wanted | {"b": {"c": [1]}}):
        assert len(differences(wanted, found)) == 1


def test_the_folder_says_how_it_was_made() -> None:
    """For whoever makes the next."""
    assert (Path(FOLDER) / "README.md").read_text().startswith("# Golden states")
