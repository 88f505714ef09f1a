"""A Python target under Atheris (libFuzzer over the bytecode): `python -m tests.fuzz.python_engine NAME [options] CORPUS`."""

import random
import sys

import atheris

with atheris.instrument_imports(include=["warp_portal"], enable_loader_override=False):
    from tests.fuzz.targets import PYTHON

from tests.fuzz import sections

ROOM = 64


def main() -> None:
    """Fuzz the target named first in argv; the rest is libFuzzer's."""
    target = PYTHON[sys.argv[1]]
    argv = [sys.argv[0], *sys.argv[2:]]
    if target.in_sections:
        atheris.Setup(argv, target.run, custom_mutator=mutated)
    else:
        atheris.Setup(argv, target.run)
    atheris.Fuzz()


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Three of four changes keep within one part."""
    parts = sections.split(data)
    choice = random.Random(seed)
    if parts and choice.random() < 0.75:
        at = choice.randrange(len(parts))
        parts[at] = atheris.Mutate(parts[at], len(parts[at]) + ROOM)
        changed = sections.join(parts)
        if len(changed) <= max_size:
            return changed
    return bytes(atheris.Mutate(data, max_size))


if __name__ == "__main__":
    main()
