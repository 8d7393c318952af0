"""`catseye tokens`: who may come in through the gateway."""

from pathlib import Path

import click
import msgspec

from catseye import clock
from catseye.cli.alerts import duration_ms
from catseye.cli.common import at, json_option, table, write_json
from catseye.contract.errors import Misconfigured
from catseye.rights.scopes import Scope
from catseye.rights.tokens import TokenFile
from catseye.settings import Settings, load

file_option = click.option("--file", type=click.Path(path_type=Path), help="Of tokens; default: CATSEYE_TOKENS_FILE.")


@click.group()
def tokens() -> None:
    """Make, list and revoke tokens of the gateway. A running gateway heeds them at once."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="May be repeated.",
)
@click.option("--cameras", multiple=True, metavar="PATTERN", help="Only cameras like this, gate-*; may be repeated.")
@click.option("--for", "for_", metavar="TIME", help="How long it is good: 12h, 30d; default: until it is revoked.")
@file_option
@json_option
def create(
    name: str,
    scopes: tuple[str, ...],
    cameras: tuple[str, ...],
    for_: str | None,
    file: Path | None,
    json_file: Path | None,
) -> None:
    """Make a token for NAME, a person or a program, and print it: this once, since only its hash is kept."""
    now_ms = clock.now_ms()
    expires_at_ms = None if for_ is None else now_ms + duration_ms(for_)
    token = _file(file).create(name, [Scope(scope) for scope in scopes], cameras, now_ms, expires_at_ms)
    if not write_json(json_file, {"token": token, "name": name, "scopes": scopes, "expires_at_ms": expires_at_ms}):
        click.echo(token)


@tokens.command()
@file_option
def first(file: Path | None) -> None:
    """Make a token with every right unless there is a token, and print it: for a gateway that is new."""
    kept = _file(file)
    if kept.entries():
        click.echo("there is a token already; `catseye tokens list` shows whose")
        return
    click.echo(kept.create("owner", [Scope.ADMIN], (), clock.now_ms(), None))


@tokens.command("list")
@file_option
@json_option
def list_(file: Path | None, json_file: Path | None) -> None:
    """List tokens: whose they are and what they may do."""
    entries = _file(file).entries()
    shown = [
        {field: value for field, value in msgspec.to_builtins(entry).items() if field not in ("salt", "hash")}
        for entry in entries
    ]
    if write_json(json_file, {"tokens": shown}):
        return
    if not entries:
        click.echo("there is no token; `catseye tokens create NAME --scope view` makes one")
        return
    rows = [
        (
            entry.token_id,
            entry.name,
            ", ".join(entry.scopes),
            ", ".join(entry.cameras) or "all",
            at(entry.created_at_ms),
            "never" if entry.expires_at_ms is None else at(entry.expires_at_ms),
        )
        for entry in entries
    ]
    table([("ID", "NAME", "SCOPES", "CAMERAS", "MADE", "EXPIRES"), *rows])


@tokens.command()
@click.argument("token_id")
@file_option
def revoke(token_id: str, file: Path | None) -> None:
    """Take a token away; TOKEN_ID is that of the list."""
    found = _file(file).revoke(token_id)
    if found is None:
        raise Misconfigured(f"there is no token {token_id}; `catseye tokens list` shows their ids")
    click.echo(f"the token of {found.name} is revoked")


def _file(file: Path | None) -> TokenFile:
    return TokenFile(file or load(Settings).tokens_path)
