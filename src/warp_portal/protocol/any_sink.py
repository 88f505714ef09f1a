"""The sink of whatever is offered: of a tree or of an archive, as OFFER says (docs/transfer-protocol.md §5)."""

from warp_portal.errors import WarpPortalError
from warp_portal.protocol.archive_sink import ArchiveSink
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Offer, TreeOffer
from warp_portal.protocol.session import Outputs, Session, out_of_turn
from warp_portal.protocol.sink import Sink


class AnySink(Session):
    """A session of a sink that knows only with the offer what it takes; `chosen` is that of its kind then."""

    def __init__(self, source: bytes, session: bytes | None = None) -> None:
        """`source` is the other side's Ed25519 key; `session` the one that must be offered, as a ticket names it."""
        super().__init__()
        self._source, self._session = source, session
        self.chosen: Sink | ArchiveSink | None = None

    def receive(self, message: Message) -> Outputs:
        """What follows from a message of the other side. Raises as `Session.receive`."""
        if self.chosen is None and isinstance(message, Offer):
            is_tree = isinstance(message.what, TreeOffer)
            self.chosen = Sink(self._source, self._session) if is_tree else ArchiveSink(self._session)
        return super().receive(message) if self.chosen is None else self.chosen.receive(message)

    def close(self, error: WarpPortalError) -> Outputs:
        """End it for this reason."""
        return super().close(error) if self.chosen is None else self.chosen.close(error)

    def _take(self, message: Message) -> Outputs:
        raise out_of_turn(message, "OFFER is awaited")
