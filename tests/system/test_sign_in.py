"""Sign-in in Chromium at an OpenID provider of a package (oidc-provider-mock), in a process of its own.

What a provider that works never sends is put in its place on the way: an ID token that it made for another client, keys
of another provider. `tests/unit/test_gateway_oidc.py` has every claim.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from infra.benches.pages_fleet import Fleet, crops
from infra.benches.pages_stage import Stage
from infra.local import ports
from services.gateway.oidc import Oidc
from services.gateway.settings import GatewaySettings
from tests.system.running import ROOT, wait_until

pytestmark = pytest.mark.broker

CLIENT = "catseye"
RIGHTS = [
    {"group": "ops", "scopes": ["view", "operate"], "cameras": ["gate-*"]},
    {"group": "readers", "scopes": ["view"]},
]
PEOPLE = [
    {"sub": "1", "preferred_username": "ann", "groups": ["staff", "ops"]},
    {"sub": "2", "preferred_username": "bob", "groups": ["readers"]},
    {"sub": "3", "preferred_username": "eve", "groups": ["guests"]},
]


class Wire(httpx2.AsyncBaseTransport):
    """What the gateway asks a provider, and what comes back.

    Attributes:
        keys_of: Provider whose keys are given instead; empty: its own.
        other_client: Whether the ID token is one that the provider made for another client.
        nonce: Of the sign-in under way.
    """

    def __init__(self) -> None:
        self._network = httpx2.AsyncHTTPTransport()
        self.keys_of, self.other_client, self.nonce = "", False, ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.keys_of and request.url.path == "/jwks":
            request = httpx2.Request("GET", f"{self.keys_of}/jwks")
        if self.other_client and request.method == "POST":
            return _token(f"http://{request.headers['host']}", "another", self.nonce)
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


def _token(issuer: str, client: str, nonce: str) -> httpx2.Response:
    """What the provider gives another client for the same person."""
    back = "http://127.0.0.1/back"
    asked = {"response_type": "code", "client_id": client, "redirect_uri": back, "scope": "openid", "nonce": nonce}
    agreed = httpx2.post(f"{issuer}/oauth2/authorize", params=asked, data={"sub": "1"})
    code = parse_qs(urlsplit(agreed.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
    given = httpx2.post(f"{issuer}/oauth2/token", data=form, auth=(client, "secret"))
    return httpx2.Response(given.status_code, content=given.content, headers={"Content-Type": "application/json"})


@contextmanager
def provider(*arguments: str) -> Iterator[str]:
    """Its address."""
    port = ports.choose(0)
    people = [part for person in PEOPLE for part in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *people, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ports.listens(f"127.0.0.1:{port}"), "the provider listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def stage_of(folder: Path, issuer: str, wire: Wire) -> Iterator[Stage]:
    """Pages of two cameras, at which one signs in."""
    settings = GatewaySettings(
        oidc_issuer=issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr("s3cret"),
        oidc_rights=json.dumps(RIGHTS),
    )
    with Stage(folder, Oidc(settings, wire)) as stage:
        stage.put(Fleet(["gate-1", "south"], crops(ROOT)[::50], time.time_ns() // 1_000_000).past(2))
        yield stage


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Wire]]:
    """Pages before a provider, and the wire between."""
    wire = Wire()
    with provider() as issuer, stage_of(tmp_path_factory.mktemp("sign-in"), issuer, wire) as stage:
        yield stage, wire


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Of a person whom nobody knows yet."""
    with ExitStack() as closing:
        context = browser.new_context()
        closing.callback(context.close)
        context.set_default_timeout(60_000)
        yield context.new_page()


def agree(page: Page, stage: Stage, sub: str, wire: Wire | None = None, path: str = "/alerts") -> None:
    """Ask for a page, sign in at the provider instead, and agree there as *sub*."""
    page.goto(stage.address + path)
    page.get_by_text("Sign in with your organisation").click()
    page.wait_for_url("**/oauth2/authorize?*")
    if wire is not None:
        wire.nonce = parse_qs(urlsplit(page.url).query)["nonce"][0]
    page.locator(f"button[name=sub][value='{sub}']").click()
    page.wait_for_url(f"{stage.address}/**")


def refused(page: Page, stage: Stage, says: str) -> None:
    """A sentence on the page says why, and nothing is shown to who asks again."""
    page.locator("[role=alert]", has_text=says).wait_for()
    page.goto(stage.address + "/alerts")
    page.wait_for_url("**/login?next=/alerts")


def test_people_have_the_rights_of_their_group(signing: tuple[Stage, Wire], page: Page) -> None:
    """Back where they wanted to go, live, with the cameras and the scopes that the group of the claim has."""
    stage, _ = signing
    agree(page, stage, "1")
    page.wait_for_url("**/alerts")
    page.wait_for_selector("#link.live")
    page.locator("header", has_text="Sign out ann").wait_for()
    page.goto(stage.address)
    assert page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.camera)") == ["gate-1"]
    status = "([path, body]) => fetch(path, {method: 'POST', body: JSON.stringify(body)}).then((got) => got.status)"
    label = {"frame": "gate-1/b/1", "label": "car"}
    assert page.evaluate(status, ["/v1/labels", label]) == 403
    assert page.evaluate(status, ["/v1/alerts/none", {"action": "acknowledge"}]) == 404
    page.get_by_text("Sign out ann").click()
    page.wait_for_url("**/login")
    page.goto(stage.address + "/alerts")
    page.wait_for_url("**/login?next=/alerts")
    agree(page, stage, "2", path="/")
    page.locator(".tile").nth(1).wait_for()
    assert page.evaluate(status, ["/v1/alerts/none", {"action": "acknowledge"}]) == 403


def test_who_is_in_no_group_is_told_so(signing: tuple[Stage, Wire], page: Page) -> None:
    """With his name."""
    stage, _ = signing
    agree(page, stage, "3")
    refused(page, stage, "eve has signed in and has no right here")


def test_who_does_not_agree_is_not_signed_in(signing: tuple[Stage, Wire], page: Page) -> None:
    """What the provider says of it is on the page."""
    stage, _ = signing
    page.goto(stage.address + "/alerts")
    page.get_by_text("Sign in with your organisation").click()
    page.locator("button[value=deny]").click()
    refused(page, stage, "The provider refuses the sign-in: access_denied.")


def test_a_token_for_another_client_is_refused(signing: tuple[Stage, Wire], page: Page) -> None:
    """Though the provider signed it, for this person and this sign-in."""
    stage, wire = signing
    wire.other_client = True
    try:
        agree(page, stage, "1", wire)
        refused(page, stage, "is for another client than CATSEYE_OIDC_CLIENT_ID")
    finally:
        wire.other_client = False


def test_a_token_of_another_key_is_refused(signing: tuple[Stage, Wire], page: Page) -> None:
    """The provider's keys are others than that which signed."""
    stage, wire = signing
    with provider() as other:
        wire.keys_of = other
        try:
            agree(page, stage, "1")
            refused(page, stage, "is not signed with a key that the provider publishes")
        finally:
            wire.keys_of = ""


def test_a_token_that_has_expired_is_refused(tmp_path: Path, page: Page) -> None:
    """It ended two minutes ago."""
    with provider("--token-max-age", "-120") as issuer, stage_of(tmp_path, issuer, Wire()) as stage:
        agree(page, stage, "1")
        refused(page, stage, "has expired; check the clocks")


def test_a_provider_that_has_gone_is_named(tmp_path: Path, page: Page) -> None:
    """On the page of signing in, where a token still does."""
    with provider() as issuer, stage_of(tmp_path, issuer, Wire()) as stage:
        page.goto(stage.address + "/alerts")
    with stage_of(tmp_path / "again", issuer, Wire()) as stage:
        page.goto(stage.address + "/alerts")
        page.get_by_text("Sign in with your organisation").click()
        refused(page, stage, "The provider of CATSEYE_OIDC_ISSUER does not answer")
