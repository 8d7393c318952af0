"""Take pictures of pages that run, as the README has them: `infra/screenshots ADDRESS [CAMERA]`."""

import io
import sys
from pathlib import Path
from urllib.parse import quote

import click
from PIL import Image
from playwright.sync_api import Page

from infra.local.chromium import chromium

BYTES_MOST = 150_000
WIDTH, HEIGHT = 1_440, 1_240
_QUALITIES = (82, 70, 55, 40)
_DRAWN = "() => document.querySelectorAll('.chart[aria-busy=true]').length === 0"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("address")
@click.argument("camera", default="")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("screenshots"),
    show_default=True,
    help="Folder for them; the README's are in infra/example/screenshots.",
)
def main(address: str, camera: str, out: Path) -> None:
    """Photograph the pages at ADDRESS, which `infra/demo` and `infra/stack up` print: fleet, models, one camera.

    CAMERA is that one; left out, the first of the fleet.
    """
    out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", locale="en-GB")
        page.set_default_timeout(60_000)
        page.goto(address)
        shown = camera or page.locator(".tile").first.get_attribute("data-camera") or ""
        for name, path in (("fleet", ""), ("camera", f"cameras/{quote(shown, safe='')}"), ("models", "models")):
            page.goto(address.rstrip("/") + "/" + path)
            _settle(page, explain=name == "camera")
            _keep(out / f"{name}.webp", page.screenshot())


def _settle(page: Page, *, explain: bool) -> None:
    """Wait until it lives, has its pictures, and its plots are drawn."""
    page.wait_for_selector("#link.live")
    page.wait_for_function(_DRAWN)
    if explain and page.locator("[data-of-camera] [data-explain]").count():
        page.locator("[data-of-camera] [data-explain]").click()
        page.wait_for_selector("[data-of-camera] img.map")
        page.locator("h1").click()
    page.wait_for_timeout(1_500)


def _keep(path: Path, png: bytes) -> None:
    """Write a picture as WebP, as small as it has to be."""
    picture = Image.open(io.BytesIO(png))
    for quality in _QUALITIES:
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= BYTES_MOST:
            sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
            return
    raise click.ClickException(f"{path} is over {BYTES_MOST:,} bytes at every quality")


if __name__ == "__main__":
    main(prog_name="infra/screenshots")
