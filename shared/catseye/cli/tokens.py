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

_FIRST = (
    "this is the first token: from now on every request to the gateway needs one; revoking the last one opens a "
    "gateway on 127.0.0.1 again to everybody on this machine"
)
_LAST = "no token is left: without OIDC, a gateway on 127.0.0.1 is open again to everybody on this machine"


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
    kept = _file(file)
    is_first = not kept.entries()
    token = kept.create(name, [Scope(scope) for scope in scopes], cameras, now_ms, expires_at_ms)
    if is_first:
        click.echo(_FIRST, err=True)
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
    click.echo(_FIRST, err=True)
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
@click.argument("token")
@file_option
def revoke(token: str, file: Path | None) -> None:
    """Take a token away; TOKEN is its id, or its name where no other token has that."""
    kept = _file(file)
    entries = kept.entries()
    found = [entry for entry in entries if entry.token_id == token] or [
        entry for entry in entries if entry.name == token
    ]
    if not found:
        raise Misconfigured(f"there is no token {token}; `catseye tokens list` shows their ids and names")
    if len(found) > 1:
        ids = ", ".join(entry.token_id for entry in found)
        raise Misconfigured(f"{len(found)} tokens have the name {token}: give the id of one, {ids}")
    kept.revoke(found[0].token_id)
    click.echo(f"the token of {found[0].name} is revoked")
    if len(entries) == 1:
        click.echo(_LAST, err=True)


def _file(file: Path | None) -> TokenFile:
    return TokenFile(file or load(Settings).tokens_path)
