"""The kept corpora: `seeds` adds valid inputs, `keep` puts the best of what was found in place of what is kept."""

import sys

from tests.fuzz import engine, sections, seeds
from tests.fuzz.targets import PYTHON, RUST


def main() -> int:
    """Run the command named first in argv; the names behind it choose targets."""
    command, names = sys.argv[1:2], sys.argv[2:] or [*PYTHON, *RUST]
    if command == ["seeds"]:
        for name, inputs in seeds.everything().items():
            if name in names:
                sections.keep(name, sections.corpus(name) + inputs)
    elif command == ["keep"]:
        for name in names:
            sections.keep(name, engine.worth_keeping(name))
            print(f"{name}: {len(sections.corpus(name))} inputs, {(sections.CORPUS / name).stat().st_size:,} bytes")
    else:
        print("usage: python -m tests.fuzz seeds | keep [NAME …]")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
