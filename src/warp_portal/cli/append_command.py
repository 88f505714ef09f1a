"""`warp append`: add the present state of paths to an archive as a new snapshot."""

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin


@click.command("append", epilog=epilog("append"))
@options.archive
@click.argument("paths", metavar="[PATH]…", nargs=-1)
@click.option("--recover", is_flag=True, help="Cut off a damaged or unknown end, and go on from the last whole state.")
@options.choosing
@options.opening
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
    no_verify: bool,
    recover: bool,
    **flags: object,
) -> int:
    """Add a snapshot of each PATH to ARCHIVE. Only what is new is stored, and files that did not change are not read.

    What earlier snapshots excluded is not taken over: give -x, --exclude-from and --exclude-caches again.

    An interrupted append with the same options is resumed; earlier snapshots stay whole: until then --recover reads
    them. What is damaged in earlier snapshots is not repaired: verify first if in doubt. Never append to two copies of an
    archive: each then looks rolled back beside the other. An end that no
    append of this machine left may be a newer snapshot cut short: it is refused, unless --recover says to cut it off.
    """
    settings = begin(output, "append", verify_writes=False if no_verify else None, **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import packing, unlocking
    from warp_portal.cli.progress import Reporter

    source = packing.chosen_source(settings, paths, directory, exclude_from, stdin_name)
    pack_options = packing.pack_options(settings, unlocking.signing_key(settings))
    state = archives.StateStore(settings.state_path(), output.warning)
    output.resume_hint = ": run the same command again to resume"

    def compare(previous: dict[str, object]) -> None:
        if isinstance(source, archives.Source):
            packing.note_excludes(output, packing.no_longer_excluded(previous, source))

    def attempt(unlock: archives.Unlock) -> archives.PackReport:
        with Reporter(output, "append") as reporter:
            return archives.append(
                archive,
                source,
                pack_options,
                unlock=unlock,
                state=state,
                progress=reporter.following(packing.step_of),
                recover=recover,
                previous=compare,
            )

    report = unlocking.unlocked(output, settings, attempt)
    if not report.encrypted and (flags["passphrase_file"] or flags["identity"]):
        output.note(
            f"{archive} is not encrypted, and so neither is this snapshot: the key given was not needed. What is encrypted and "
            "what is not is chosen when an archive is made: `warp create`"
        )
    return packing.conclude(output, report)
