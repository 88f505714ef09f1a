"""A ticket as a QR code for a terminal (ISO/IEC 18004), drawn with half blocks: two modules a character, one above the other.

A ticket in capitals is of the code's alphanumeric set, which takes 5.5 bits a character instead of 8, and reading a ticket
ignores case. Colours are set, black on white, not left to the terminal: on a dark one the code would be inverted, which many
readers do not take.
"""

from typing import Final

import segno

# The standard asks for so many modules of white on each side: readers find the code by them.
QUIET_MODULES: Final = 4
# Of the 256 colours, those that themes leave alone: 16 is black, 231 white.
_BLACK_ON_WHITE: Final = "\x1b[38;5;16;48;5;231m"
_RESET: Final = "\x1b[0m"
# Where colours are not wanted, or not known to be shown, white is drawn: most terminals are dark.
_INVERSE: Final = "█▀▄ "
_BLOCKS: Final = " ▄▀█"  # by 2 · upper + lower, where 1 is black


def ticket_code(ticket: str, columns: int, colours: bool = True) -> list[str] | None:
    """The lines of a ticket's QR code; None for a terminal of fewer columns than it needs, or a ticket too long for any code.

    With them the ticket is shown, which is a secret. Without `colours` it is for what they are no use to.
    """
    try:
        code = segno.make_qr(ticket.upper(), mode="alphanumeric", error="l")
    except segno.DataOverflowError:
        return None
    rows = [list(row) for row in code.matrix_iter(border=QUIET_MODULES)]
    width = len(rows[0])
    if width > columns:
        return None
    rows += [[0] * width] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    if not colours:
        return [_line(upper, lower, _INVERSE) for upper, lower in pairs]
    return [f"{_BLACK_ON_WHITE}{_line(upper, lower, _BLOCKS)}{_RESET}" for upper, lower in pairs]


def _line(upper: list[int], lower: list[int], blocks: str) -> str:
    return "".join(blocks[2 * bool(above) + bool(below)] for above, below in zip(upper, lower, strict=True))
