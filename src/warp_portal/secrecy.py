r"""Texts of private keys: refused wherever a file that holds one should be named, and repeated nowhere.

A text is searched, not only its beginning: a key file begins with a line of comment, and a key may stand behind a
directory. Reading ignores case and blanks as keys/text.py does.

>>> holds_private_key("# public key: warp-signer:aa\nwarp-signing-key:bb"), holds_private_key("warp-signing-key.pem")
(True, False)
>>> redacted("no key file warp-signing-key:bbbb")
'no key file warp-signing-key:[redacted]'
"""

import re
from collections.abc import Mapping
from typing import Final

from warp_portal.errors import UsageError

REDACTED: Final = "[redacted]"
IS_PRIVATE_KEY: Final = "this is a private key itself: name the file that holds it, not the key"
_LABEL: Final = r"warp-(?:identity-\w+|(?:signing|machine)-key)\s*:"
_KEY: Final = re.compile(_LABEL, re.IGNORECASE)
# Without a blank after the colon: `not a warp-signing-key: that is for …` is no secret.
_KEY_TEXT: Final = re.compile(rf"({_LABEL})\w+", re.IGNORECASE)


def holds_private_key(value: object) -> bool:
    """Whether the text of a private key stands anywhere in a value: in a text, or in what lists and tables hold."""
    rest = [value]
    while rest:  # dotted keys of TOML nest deeper than calls may
        item = rest.pop()
        if isinstance(item, str) and _KEY.search(item):
            return True
        if isinstance(item, Mapping):
            rest += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            rest += item
    return False


def refuse_private_key(value: object, where: str = "") -> None:
    """Raises UsageError, which repeats nothing of the value, if it holds the text of a private key."""
    if holds_private_key(value):
        raise UsageError(f"{where}: {IS_PRIVATE_KEY}" if where else IS_PRIVATE_KEY)


def redacted(text: str) -> str:
    """A message without the private keys in it."""
    return _KEY_TEXT.sub(rf"\1{REDACTED}", text)
