"""The picture and the table of topics are those that the services' own READS and WRITES give."""

from infra.local.generate_flow import PAGE, picture, replaced, table


def test_what_stands_in_the_page_is_what_is_generated() -> None:
    """`python -m infra.local.generate_flow` would change nothing."""
    text = PAGE.read_text()
    assert replaced(text) == text


def test_an_outdated_picture_is_noticed() -> None:
    """Negative control: one arrow less, or one row less, is another text."""
    text = PAGE.read_text()
    arrow, row = "  topic_frames --> ingest\n", "| `outcomes` | Outcome |"
    assert arrow in picture()
    assert row in table()
    for part in (arrow, row):
        assert replaced(text.replace(part, "")) != text.replace(part, "")


def test_people_and_their_commands_are_in_the_picture() -> None:
    """They ask for a training; the trigger's answer comes back to them."""
    arrows = [line.strip() for line in picture().splitlines()]
    asked = "people --> topic_training_requests", "topic_training_requests --> retrain_trigger"
    assert set(asked) | {"retrain_trigger --> topic_retraining", "topic_retraining --> people"} <= set(arrows)
