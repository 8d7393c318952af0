"""Pages for people: their links lead somewhere, and every service has one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("services/*/*.md")])
    if ".catseye" not in path.parts
]


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links of *text*, as it stands in *page*, that lead to no file or folder."""
    links = re.findall(r"\]\(([^)#:\s]+)\)", text)
    return [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Within the repository; other addresses are not asked."""
    assert dead_links(page, page.read_text()) == []


def test_a_dead_link_is_noticed() -> None:
    """Negative control."""
    assert dead_links(ROOT / "README.md", "see [this](no/such.md) and [that](schemas/README.md)") == ["no/such.md"]


def test_every_service_has_a_page() -> None:
    """Whoever opens its folder reads first what it decides."""
    services = [folder for folder in (ROOT / "services").iterdir() if (folder / "__init__.py").exists()]
    assert [folder.name for folder in services if not (folder / "README.md").exists()] == []


def test_the_first_page_is_short() -> None:
    """At most 160 lines; what is longer has a page of its own."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
