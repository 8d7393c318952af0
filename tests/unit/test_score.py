"""`catseye models score`: frames in folders named after their class, what a file has right of them, and its doubt."""

import json
import shutil
from pathlib import Path

import pytest

from catseye.cli import main
from catseye.ops.score import Score

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
CROPS = ROOT / "infra" / "example" / "crops"


def scored(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status and what was printed of a call."""
    with pytest.raises(SystemExit) as ended:
        main(["models", "score", str(MODEL), *argv])
    printed = capsys.readouterr()
    return int(str(ended.value.code)), printed.out, printed.err


def some(folder: Path, count: int, *classes: str) -> Path:
    """A folder with the first *count* example crops of each of *classes*."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for picture in sorted((CROPS / name).glob("*.jpg"))[:count]:
            shutil.copy(picture, folder / name)
    return folder


def test_counts_are_kept_by_true_class() -> None:
    """Accuracy of all and of each true class, and what each was taken for, the commonest first."""
    found = Score([("car", "car"), ("car", "van"), ("van", "van"), ("car", "bike"), ("car", "van")])
    assert found.as_json() == {
        "n": 5,
        "accuracy": 0.4,
        "by_class": {"car": 0.25, "van": 1.0},
        "confusion": {"car": {"van": 2, "car": 1, "bike": 1}, "van": {"van": 1}},
    }
    assert found.rows()[1] == ("car", "4", "1", "25.0%", "4.6% to 69.9%", "van 2, bike 1")
    assert found.sentence() == "2 of 5 frames are right: 40.0% (11.8% to 76.9%)"


def test_views_are_counted_apart() -> None:
    """Each with its own classes, and how far the best is from the worst."""
    pairs = [("car", "car"), ("car", "van"), ("van", "van"), ("car", "car")]
    found = Score(pairs, [0, 1, 1, 0])
    assert found.as_json()["by_view"] == {
        "0": {"n": 2, "accuracy": 1.0, "by_class": {"car": 1.0}, "confusion": {"car": {"car": 2}}},
        "1": {
            "n": 2,
            "accuracy": 0.5,
            "by_class": {"car": 0.0, "van": 1.0},
            "confusion": {"car": {"van": 1}, "van": {"van": 1}},
        },
    }
    assert found.view_rows()[2] == ("1", "2", "1", "50.0%", "9.5% to 90.5%", "car 0/1, van 1/1")
    assert found.views_sentence() == "2 views (angle and background): from 50.0% of view 1 to 100.0% of view 0"
    assert "by_view" not in Score(pairs).as_json()


def test_views_are_printed_of_many_frames(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Eighty make two, and their frames are all frames."""
    _, out, _ = scored(capsys, "--frames", str(some(tmp_path, 40, "bike", "truck")))
    lines = out.splitlines()
    assert sum(line.startswith("2 views (angle and background): from ") for line in lines) == 1
    head = next(place for place, line in enumerate(lines) if line.startswith("VIEW"))
    assert sum(int(line.split()[1]) for line in lines[head + 1 :]) == 80


def test_a_folder_of_each_class_is_scored_without_a_broker(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """More frames than one batch holds; folders without pictures and hidden ones are passed over."""
    folder = some(tmp_path, 20, "bike", "truck")
    (folder / "car").mkdir()
    shutil.copytree(folder / "bike", folder / ".thumbnails")
    status, out, _ = scored(capsys, "--frames", str(folder), "--json", "-")
    found = json.loads(out)
    assert (status, found["n"], set(found["by_class"])) == (0, 40, {"bike", "truck"})
    assert sum(n for row in found["confusion"].values() for n in row.values()) == 40
    assert found["accuracy"] > 0.9


def test_frames_that_ingest_would_refuse_are_listed_and_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They count nowhere, and the exit status tells a script."""
    folder = some(tmp_path, 3, "bike")
    (folder / "bike" / "odd.jpg").write_bytes(b"no picture")
    (folder / "bike" / "a-folder.jpg").mkdir()
    (folder / "bike" / "a-link.jpg").symlink_to(folder / "nowhere")
    status, out, err = scored(capsys, "--frames", str(folder))
    assert status == 1
    assert out.startswith("3 of 3 frames are right: 100.0% (43.9% to 100.0%)\n")
    assert "bike/odd.jpg" in err
    assert "bike/a-folder.jpg: Is a directory" in err
    assert "bike/a-link.jpg: No such file or directory" in err
    assert err.endswith("3 of 6 frames cannot be read or would be refused by ingest, and are left out\n")


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("trucks", "vehicles.onnx knows no class trucks; it knows bike, car, juggernaut, minibus, pickup, truck "
         "(trucks is perhaps truck): name the folders so, or leave them out"),
        (None, "holds no folder with JPEGs in it: one folder a class is expected, named as it is"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_scored_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: str | None, sentence: str
) -> None:
    """A class that the model does not know could only be wrong, and a folder of nothing has no accuracy."""
    if folder:
        some(tmp_path, 1, "truck")
        (tmp_path / "truck").rename(tmp_path / folder)
    status, _, err = scored(capsys, "--frames", str(tmp_path))
    assert (status, sentence in err) == (2, True)
