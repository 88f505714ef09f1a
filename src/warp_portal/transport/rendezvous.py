"""How two machines that share a short code find each other: by its nameplate, which is public.

What a rendezvous says is a hint and nobody's word: whoever answers has to prove by CPace that it knows the rest of the
code (docs/transfer-protocol.md §4).
"""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from warp_portal.protocol.addresses import Address


class Rendezvous(Protocol):
    """A place where a listener leaves where it is, and a dialer looks it up."""

    def publish(self, nameplate: int, addresses: Sequence[Address]) -> AbstractContextManager[None]:
        """Tell where the listener of a code is (addresses of one port), for as long as the context lasts."""
        ...

    def lookup(self, nameplate: int, timeout_s: float) -> Generator[tuple[Address, ...], None, None]:
        """Where listeners of the code say they are, each as it is found, until the time is over.

        A dialer takes the first one alone, and stops for good if that does not know the code: each further one would be a
        further guess for whoever pretends. Closing the generator ends the search.
        """
        ...
