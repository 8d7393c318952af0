"""What a sender is told whose record begins as ours do and goes on otherwise, where no case of the codec's leads."""

from catseye.contract.malformed import malformed


def test_a_record_that_can_be_read_and_does_not_fit_is_said_to_be_of_another_schema() -> None:
    """Each field by itself is right."""
    fault = malformed("Frame", 40, ["camera", "boot"], lambda field: True, ValueError("at 0x7f"))
    assert fault.detail.startswith("the Frame does not fit the schema of today: ")
    assert "0x7f" not in fault.detail


def test_a_field_that_cannot_be_read_for_another_reason_is_named() -> None:
    """The first one that cannot."""
    fault = malformed("Frame", 40, ["camera", "boot", "jpeg"], lambda field: field == "camera", ValueError("at 0x7f"))
    assert fault.detail.startswith("field boot of the Frame cannot be read: ")
