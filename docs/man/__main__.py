"""Write the manual pages to where the wheel takes them from.

./dev man        (python -m docs.man)
"""

from pathlib import Path
from typing import Final

from docs.man.pages import pages

# What lies below `data` is installed below the environment's root (PEP 427).
FOLDER: Final = Path(__file__).with_name("wheel") / "data" / "share" / "man" / "man1"


def main() -> None:
    """Write all, and remove those of commands that are no more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = dict(pages())
    for name, page in found.items():
        (FOLDER / name).write_text(page, encoding="ascii")
    for path in FOLDER.glob("*.1"):
        if path.name not in found:
            path.unlink()


if __name__ == "__main__":
    main()
