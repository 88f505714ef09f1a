"""Keys that people and machines hold: passphrases, recipients', signers' and machines' keys, and their texts and files.

Names are imported on first use, because the asymmetric algorithms take tens of milliseconds to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warp_portal.keys.machines import Machine, MachineKey
    from warp_portal.keys.password import Argon2Cost
    from warp_portal.keys.recipients import Identity, Recipient, load_recipient
    from warp_portal.keys.signers import Signer, SigningKey, load_signer

__all__ = [
    "Argon2Cost",
    "Identity",
    "Machine",
    "MachineKey",
    "Recipient",
    "Signer",
    "SigningKey",
    "load_recipient",
    "load_signer",
]

_HOMES = {
    "Argon2Cost": "password",
    "Identity": "recipients",
    "Machine": "machines",
    "MachineKey": "machines",
    "Recipient": "recipients",
    "Signer": "signers",
    "SigningKey": "signers",
    "load_recipient": "recipients",
    "load_signer": "signers",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
