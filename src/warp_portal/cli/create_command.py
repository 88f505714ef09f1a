"""`warp create`: pack paths, or standard input, into a new archive."""

import contextlib
import os
import sys
from pathlib import Path

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin


@click.command("create", epilog=epilog("create"))
@click.argument("archive")
@click.argument("paths", metavar="[PATH]…", nargs=-1)
@options.choosing
@click.option(
    "--encrypt/--plain",
    default=None,
    help="Ask for a passphrase / make a plain archive whatever is configured: not with -p or -r.",
)
@click.option("-p", "--passphrase-file", metavar="FILE", help="Encrypt with the passphrase in FILE (its first line).")
@click.option(
    "-r",
    "--recipient",
    metavar="KEY",
    multiple=True,
    help="Encrypt to a public key, or to the file that holds it; repeatable.",
)
@click.option("--cipher", metavar="NAME", help="chacha20-poly1305 (default) or aes-256-gcm.")
@click.option("--profile", metavar="NAME", help="fine, general (default) or bulk: sizes of fragments and chunks.")
@click.option("--cutter", metavar="NAME", help="buzhash64 (default), or fixed for images of disks.")
@options.packing
@options.work
@options.common
def command(
    output: Output,
    archive: str,
    paths: tuple[str, ...],
    directory: str | None,
    exclude_from: tuple[str, ...],
    stdin_name: str | None,
    encrypt: bool | None,
    no_verify: bool,
    **flags: object,
) -> int:
    """Pack each PATH into the new ARCHIVE; `-` writes it to standard output.

    Encrypted if a passphrase or a recipient is given or configured; otherwise the archive is plain, and a warning says so unless --plain is given.
    With --recipient alone, a passphrase of the settings does not open it: give -p or --encrypt too if it shall.
    If an earlier create of the same paths with the same options was interrupted, this resumes it.
    """
    settings = begin(output, "create", verify_writes=False if no_verify else None, **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import creates, packing, unlocking
    from warp_portal.cli.progress import Reporter

    to_stdout = archive == "-"
    if to_stdout:
        _check_stdout(output)
    source = packing.chosen_source(settings, paths, directory, exclude_from, stdin_name)
    if encrypt is False and (flags["passphrase_file"] or flags["recipient"]):
        raise click.UsageError("--plain contradicts --passphrase-file and --recipient: give one or the other")
    for_recipients = bool(flags["recipient"] and not flags["passphrase_file"])
    lock = unlocking.lock_for(output, settings, encrypt, for_recipients=for_recipients)
    if lock is None and encrypt is None:
        output.warning("the archive is not encrypted: --encrypt, -p or -r does so, --plain says that it is meant")
    pack_options = packing.pack_options(settings, unlocking.signing_key(settings))
    output.resume_hint = (
        ": what standard output got is not whole" if to_stdout else ": run the same command again to resume"
    )
    state = settings.state_path()
    note = contextlib.nullcontext() if to_stdout else creates.noted(output, Path(state), archive)
    with Reporter(output, "create") as reporter, note:
        report = archives.create(
            1 if to_stdout else archive,
            source,
            pack_options,
            lock=lock,
            state=archives.StateStore(state, output.warning),
            progress=reporter.following(packing.step_of),
        )
    return packing.conclude(output, report)


def _check_stdout(output: Output) -> None:
    if output.json_lines:
        raise click.UsageError("--json and the archive cannot both go to standard output")
    if sys.stdout is None:
        raise click.UsageError("standard output is closed: there is nowhere to write the archive")
    if os.isatty(1):
        raise click.UsageError("an archive is not written to a terminal: redirect or pipe standard output")
