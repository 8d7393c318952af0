"""The flow picture in the README is the one that the services' own READS and WRITES draw."""

from infra.local.generate_flow import README, generated, replaced


def test_the_picture_in_the_readme_is_the_generated_one() -> None:
    """`python -m infra.local.generate_flow` would change nothing."""
    text = README.read_text()
    assert replaced(text) == text


def test_an_outdated_picture_is_noticed() -> None:
    """Negative control: one arrow less is another text."""
    text = README.read_text()
    arrow = "  topic_frames --> ingest\n"
    assert arrow in generated()
    assert replaced(text.replace(arrow, "")) != text.replace(arrow, "")
