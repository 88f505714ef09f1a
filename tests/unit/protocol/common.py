"""One message of each kind."""

from types import MappingProxyType
from typing import Final

from warp_portal.primitives.cutting import PROFILES
from warp_portal.protocol.ending import Catalogue, Close, CloseCode, Done, Finish
from warp_portal.protocol.exchange import METADATA_PAGES, Cancel, Kept, Lost, Same, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.offers import Accept, ArchiveOffer, Mode, Offer, PagesHere, TreeOffer
from warp_portal.protocol.proving import Confirm, Confirmed, Method, Prove
from warp_portal.protocol.ranges import Ranges

SESSION: Final = bytes(range(16))
DIGEST: Final = bytes(range(32))
SECRET: Final = b"s" * 32
TAG: Final = b"t" * 32
RANGES: Final = Ranges(((0, 3), (7, 8)))

MESSAGES: Final[dict[str, Message]] = {
    "hello": Hello(Role.SOURCE, DIGEST, "warp 0.1.0"),
    "prove by ticket": Prove(Method.TICKET, session=SESSION, tag=TAG),
    "prove by code": Prove(Method.CODE, nameplate=7, share=b"c" * 32),
    "prove as a peer": Prove(Method.PEER),
    "prove to join": Prove(Method.JOIN, session=SESSION, tag=TAG),
    "confirm a ticket": Confirm(tag=TAG),
    "confirm a code": Confirm(tag=TAG, share=b"c" * 32),
    "confirm a peer": Confirm(),
    "confirmed": Confirmed(TAG),
    "offer a tree": Offer(SESSION, "photos", TreeOffer(SECRET, 1, PROFILES["general"].fragment, 2), 1000, 10**12),
    "offer an archive": Offer(SESSION, "", ArchiveOffer(b"w" * 256, 4096)),
    "accept": Accept(Mode.WANTED, 64 << 20),
    "accept an archive": Accept(Mode.EVERYTHING, 256 << 20, DIGEST),
    "accept, with pages": Accept(Mode.WANTED, 64 << 20, pages=PagesHere(3, DIGEST)),
    "accept, with locator pages": Accept(Mode.WANTED, 64 << 20, locators=RANGES),
    "same": Same(2),
    "want": Want(5, RANGES),
    "want nothing": Want(2**32 - 1, Ranges()),
    "want a metadata page": Want(METADATA_PAGES + 9, Ranges.whole(1)),
    "kept": Kept(3, MappingProxyType({0: Ranges.whole(4096), 7: RANGES})),
    "lost": Lost(5, RANGES),
    "finish a tree": Finish(12, DIGEST, Catalogue(1000, 10**12, b"g" * 64)),
    "finish an archive": Finish(12, DIGEST),
    "done": Done(DIGEST, 998, 2),
    "cancel": Cancel(77),
    "close": Close(CloseCode.OK),
    "close with a later code": Close(4_000_000_000, "gone fishing"),
}
