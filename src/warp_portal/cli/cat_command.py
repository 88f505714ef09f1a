"""`warp cat`: write one file of an archive to standard output."""

import base64
import os
import sys

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin

# Divisible by 3, so that the pieces' base64 joins to that of the whole.
JSON_PIECE_BYTES = 48 * 1024
COPY_BYTES = 1 << 20


@click.command("cat", epilog=epilog("cat"))
@options.archive
@click.argument("path")
@options.recovery
@options.snapshot
@options.trust
@options.signed
@options.opening
@options.common
def command(
    output: Output,
    archive: str,
    path: str,
    recover: bool,
    snapshot: int | None,
    expect_commit: bytes | None,
    signer: str | None,
    **flags: object,
) -> int:
    """Write the file PATH of ARCHIVE to standard output. Only the chunks that hold it are read.

    With --json its content comes as records of type data, in base64.
    """
    if sys.stdout is None:
        raise click.UsageError("standard output is closed: there is nowhere to write the file")
    settings = begin(output, "cat", **flags)
    from warp_portal.cli import reading

    with (
        reading.opened(
            output, settings, archive, snapshot=snapshot, recover=recover, expect_commit=expect_commit, signer=signer
        ) as reader,
        reader.open_file(os.fsencode(path)) as file,
    ):
        if not output.json_lines:
            while piece := file.read(COPY_BYTES):
                output.write_bytes(piece)
            return 0
        offset = 0
        while piece := file.read(JSON_PIECE_BYTES):
            output.record("data", offset=offset, data_b64=base64.b64encode(piece).decode())
            offset += len(piece)
        output.record("summary", bytes=offset)
    return 0
