"""`catseye.models.stages`: which versions serve, in every order that events may come in."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.contract.records import ModelEvent, Stage
from catseye.models.stages import Serves, Serving, Stages

STAGES: tuple[Stage, ...] = ("candidate", "shadow", "champion", "retired", "rejected")


def event(version: str, stage: Stage, *cameras: str) -> ModelEvent:
    """A step of a version."""
    return ModelEvent(
        event_id=f"{version} {stage}",
        model="m",
        version=version,
        stage=stage,
        sha256="0" * 64,
        signature=b"",
        because="a test",
        by="a test",
        at_ms=1,
        cameras=list(cameras),
    )


def after(*steps: ModelEvent) -> Stages:
    """What is known after these."""
    stages = Stages()
    for step in steps:
        stages.on_event(step)
    return stages


def versions(stages: Stages, stage: Serves) -> tuple[str | None, dict[str, str]]:
    """Who serves everywhere, and on which cameras somebody else does."""
    serving = stages.serving(stage).map(lambda step: step.version)
    return serving.everywhere, dict(serving.cameras)


def serve(*reported: str) -> tuple[str | None, str | None]:
    """Champion and shadow after steps that are said in words: `1 champion`, `2 shadow`."""
    steps = [text.split() for text in reported]
    stages = after(*[event(version, stage) for version, stage in steps])  # type: ignore[arg-type]
    return versions(stages, "champion")[0], versions(stages, "shadow")[0]


@pytest.mark.parametrize(
    ("reported", "champion", "shadow"),
    [
        ([], None, None),
        (["1 candidate"], None, None),
        (["1 champion"], "1", None),
        (["1 champion", "2 candidate"], "1", None),
        (["1 champion", "2 shadow"], "1", "2"),
        (["1 champion", "2 shadow", "3 shadow"], "1", "3"),
        (["1 champion", "2 shadow", "3 shadow", "3 rejected"], "1", "2"),
        (["1 champion", "2 shadow", "2 rejected"], "1", None),
        (["1 champion", "2 shadow", "2 retired"], "1", None),
        (["1 champion", "2 shadow", "2 champion"], "2", None),
        (["1 champion", "2 shadow", "2 champion", "1 shadow"], "2", "1"),
        (["1 champion", "2 shadow", "1 shadow"], "1", "2"),
        (["1 champion", "1 shadow"], "1", None),
        (["1 champion", "2 champion", "1 shadow", "1 retired"], "2", None),
        (["1 champion", "2 champion", "1 shadow", "2 rejected"], "1", None),
        (["1 champion", "2 champion", "1 shadow", "1 champion"], "1", None),
        (["1 champion", "2 champion", "1 shadow", "1 champion", "2 rejected"], "1", None),
        (["1 champion", "2 champion", "1 retired", "2 rejected"], "1", None),
        (["1 champion", "2 champion", "3 champion", "3 rejected"], "2", None),
        (["1 champion", "2 champion", "2 shadow"], "1", "2"),
        (["1 champion", "1 rejected"], "1", None),
        (["1 champion", "1 retired"], "1", None),
        (["1 champion", "2 shadow", "2 candidate"], "1", "2"),
        (["1 champion", "1 candidate"], "1", None),
    ],
)
def test_who_serves(reported: list[str], champion: str | None, shadow: str | None) -> None:
    """The newest event of a version decides its stage; the newest champion serves until it is taken back."""
    assert serve(*reported) == (champion, shadow)


@given(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(STAGES)), max_size=12))
def test_once_there_was_a_champion_there_is_one(reported: list[tuple[str, Stage]]) -> None:
    """No step leaves a fleet without predictions, and nobody is champion and shadow at once."""
    stages, was = Stages(), False
    for version, stage in reported:
        stages.on_event(event(version, stage))
        was = was or stage == "champion"
        champion, shadow = versions(stages, "champion")[0], versions(stages, "shadow")[0]
        assert (champion is not None) == was
        assert shadow is None or shadow != champion


@pytest.mark.parametrize("steps", list(permutations([event("1", "shadow"), event("2", "champion")])))
def test_the_order_within_a_promotion_does_not_matter(steps: tuple[ModelEvent, ...]) -> None:
    """The old champion turns shadow before or after the new one is named."""
    stages = after(event("1", "champion"), event("2", "shadow"), *steps)
    assert (versions(stages, "champion")[0], versions(stages, "shadow")[0]) == ("2", "1")


@pytest.mark.parametrize("steps", list(permutations([event("1", "champion"), event("2", "rejected")])))
def test_the_order_within_a_rollback_does_not_matter(steps: tuple[ModelEvent, ...]) -> None:
    """Nor does it here, and there is no shadow afterwards."""
    stages = after(event("1", "champion"), event("2", "champion"), event("1", "shadow"), *steps)
    assert (versions(stages, "champion")[0], versions(stages, "shadow")[0]) == ("1", None)


def test_a_canary_has_its_cameras_and_the_others_keep_the_champion() -> None:
    """Until it has all, or is rejected, or another champion has all."""
    steps = [event("1", "champion"), event("2", "champion", "a", "b")]
    assert versions(after(*steps), "champion") == ("1", {"a": "2", "b": "2"})
    assert versions(after(*steps, event("3", "champion", "b")), "champion") == ("1", {"a": "2", "b": "3"})
    assert versions(after(*steps, event("2", "champion")), "champion") == ("2", {})
    assert versions(after(*steps, event("2", "champion", "b")), "champion") == ("1", {"b": "2"})
    assert versions(after(*steps, event("2", "rejected")), "champion") == ("1", {})
    assert versions(after(*steps, event("3", "champion")), "champion") == ("3", {})


def test_where_nobody_had_all_cameras_the_newest_has_them() -> None:
    """A first champion that names cameras must not leave the others without predictions."""
    assert versions(after(event("1", "champion", "a")), "champion") == ("1", {})
    both = after(event("1", "champion", "a"), event("2", "champion", "b"))
    assert versions(both, "champion") == ("2", {})


def test_a_shadow_of_some_cameras_leaves_the_others_what_they_had() -> None:
    """Beside an older shadow of all, or of none."""
    some = event("3", "shadow", "a")
    assert versions(after(some), "shadow") == (None, {"a": "3"})
    assert versions(after(event("2", "shadow"), some), "shadow") == ("2", {"a": "3"})
    assert versions(after(some, event("2", "shadow")), "shadow") == ("2", {})


def test_a_fleet_has_one_champion_whatever_the_names_are() -> None:
    """The last that was made so; it hands back to one of another name, and no shadow is of another name than it."""
    steps = [event("1", "champion"), event("2", "shadow"), replace(event("3", "champion"), model="n")]
    stages = after(*steps)
    assert versions(stages, "champion") == ("3", {})
    assert versions(stages, "shadow") == (None, {})
    assert stages.champions() == [("n", "3"), ("m", "1")]
    assert {version: step.stage for (_, version), step in stages.newest().items()} == {
        "1": "champion",
        "2": "candidate",
        "3": "champion",
    }
    stages.on_event(replace(event("3", "rejected"), model="n"))
    assert (versions(stages, "champion"), versions(stages, "shadow")) == (("1", {}), ("2", {}))
    assert stages.champions() == [("m", "1"), ("n", "3")]
    stages.on_event(replace(event("3", "candidate"), model="n"))
    assert stages.newest()["n", "3"].stage == "candidate"
    assert versions(stages, "champion") == ("1", {})


def test_one_that_is_refused_is_not_there_until_it_is_named_again() -> None:
    """For champions and shadows alike."""
    stages = after(event("1", "champion"), event("2", "champion"), event("3", "shadow"))
    for version in ("2", "3"):
        stages.refuse(event(version, "champion"))
    assert (versions(stages, "champion")[0], versions(stages, "shadow")[0]) == ("1", None)
    stages.on_event(event("2", "champion"))
    stages.on_event(event("3", "shadow"))
    assert (versions(stages, "champion")[0], versions(stages, "shadow")[0]) == ("2", "3")
    for version in ("1", "2", "3"):
        stages.refuse(event(version, "champion"))
    assert versions(stages, "champion") == (None, {})


def test_serving_answers_by_camera() -> None:
    """One of its own, or that for all; each of them once for everywhere and once a camera."""
    serving = Serving("all", {"a": "own"})
    assert [serving.of(camera) for camera in ("a", "b")] == ["own", "all"]
    assert (serving.each(), serving.map(str.upper)) == (["all", "own"], Serving("ALL", {"a": "OWN"}))
    nobody: Serving[str] = Serving()
    assert (nobody.of("a"), nobody.each()) == (None, [])
