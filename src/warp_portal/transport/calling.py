"""Comes to a machine that listens, and again after each cut, until all is done."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from warp_portal.errors import NotFoundError, PolicyError, UnreachableError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol import proofs
from warp_portal.protocol.handshake import Dialer
from warp_portal.protocol.hello import BRANCHES, Role
from warp_portal.transport.branching import Branching, Side
from warp_portal.transport.conversation import Conversation
from warp_portal.transport.dialing import ANY_NETWORK, Network, Note, connect, most_connections
from warp_portal.transport.listening import Visitor, hello
from warp_portal.transport.routes import Route

# A connection that was there and broke is tried again so often, each time after a longer pause.
TRIES: Final = 8
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0

T = TypeVar("T")


class Caller:
    """One side that dials."""

    def __init__(self, key: MachineKey, role: Role, note: Note, network: Network = ANY_NETWORK) -> None:
        self._key, self._role, self._note, self._network = key, role, note, network
        self._connected = False

    def run(self, route: Route, visit: Callable[[Visitor], T], again: Callable[[], Route | None]) -> T:
        """Do `visit` at the end of the route. Raises what ends it for good.

        `again`: the route for another try, None while nothing has begun that could go on.
        """
        failures = 0
        while True:
            try:
                return self._try(route, visit)
            except UnreachableError as error:
                failures = 1 if self._connected else failures + 1
                next_route = again()
                if next_route is None or failures > TRIES:
                    raise
                self._wait(error, failures)
                route = next_route

    def _wait(self, error: UnreachableError, failures: int) -> None:
        pause = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
        self._connected = False
        self._note(f"{error}: trying again in {pause:g} s (Ctrl-C ends this; what came is kept)")
        time.sleep(pause)

    def _try(self, route: Route, visit: Callable[[Visitor], T]) -> T:
        network = replace(self._network, carriers=self._network.carriers & route.carriers)
        with connect(self._key, route.addresses, route.expected, self._note, network) as connected:
            link = connected.link
            conversation = Conversation(link)
            ends = proofs.Link(link.exporter, self._key.public.raw, link.peer)
            more = most_connections(network.connections) > 1
            try:
                proved = conversation.handshake(Dialer(ends, hello(self._role, more), route.claim))
            except NotFoundError as error:
                raise NotFoundError(f"{error}: {route.claim.over}") from None
            except PolicyError:
                raise PolicyError(
                    "the ticket has expired there: run the same command there again, and take the ticket that it prints"
                ) from None
            self._connected = True
            if proved.agreement.features & BRANCHES:
                conversation.company = Branching(Side(self._key, self._role, network, self._note), connected)
            elif network.connections > 1:
                self._note("the other side takes one connection alone")
            self._note(f"connected to {link.address} over {link.carrier.upper()}")
            return visit(Visitor(proved, link, conversation))
