"""A tree that goes over: what both engines would tell, and a sink in the middle of it."""

from tests.unit.protocol.common import DIGEST, SESSION
from tests.unit.protocol.dialogue import OFFER, public_key, sign

from warp_portal.protocol.ending import Catalogue, Finish, signed_part
from warp_portal.protocol.offers import Mode
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.tree import CatalogueEnd

WINDOW = 64 << 20
END = CatalogueEnd(3, DIGEST, 1000, 10**12)
SIZES = (1024, 0, 10)
FINISH = Finish(3, DIGEST, Catalogue(1000, 10**12, sign(signed_part(SESSION, DIGEST))))


def whole(count: int) -> Ranges:
    return Ranges.whole(count)


def taking() -> Sink:
    """One that answered two pages, and wants five fragments of the first."""
    sink = Sink(public_key())
    sink.receive(OFFER)
    sink.accept(Mode.WANTED, WINDOW)
    sink.want(0, whole(5))
    sink.want(1, Ranges())
    return sink
