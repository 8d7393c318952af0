"""What a publisher on HTTP is answered, whatever its camera is called."""

from pathlib import Path

import pytest

from catseye.contract.records import Prediction
from catseye.rights.scopes import Scope
from tests.unit.gateway_fakes import CAR, Door, drawn


@pytest.mark.parametrize("camera", ["gate-1", "Straße", "北门/2", "a b?c#d", "\U000b8775"])
def test_the_address_of_a_prediction_is_one(tmp_path: Path, camera: str) -> None:
    """Headers have no letters but Latin ones, and an address has stricter rules yet: what leads there finds it."""
    door = Door(tmp_path)
    headers = door.token(Scope.PUBLISH, Scope.VIEW)
    for path in ("/v1/frames", "/v1/predict"):
        answer = door.client.post(path, params={"camera": camera}, content=CAR, headers=headers)
        assert answer.status_code == 202
        found = answer.json()
        door.answers.predicted[camera, found["boot"], found["sequence"]] = drawn(Prediction, camera=camera)
        assert door.client.get(answer.headers["location"], headers=headers).json()["camera"] == camera
