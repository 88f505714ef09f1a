"""The machine: cores, what their instructions can do, memory, and what one core does of each stage in a second."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from warp_portal._native import measure
from warp_portal.archive.options import MIB, cores
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.system import read_text
from warp_portal.units import format_bytes, format_rate

# Each is measured for so long; together they take a second.
_SECONDS: Final = 0.2
AEADS: Final = {True: "aes-256-gcm", False: "chacha20-poly1305"}
# The level that most chunks get (primitives/compression.py).
ZSTD: Final = "zstd:2"
# What a transfer takes for its buffers by default, twice.
_LEAST_AVAILABLE: Final = 512 * MIB
# Of the many that there are, those that change the speed of what we do: as the kernel writes them, and as people do.
_FEATURES: Final = {
    "aes": "AES", "vaes": "VAES", "avx2": "AVX2", "avx512f": "AVX-512", "sha_ni": "SHA", "asimd": "NEON", "sha2": "SHA",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes are in bytes; `available` is None where the system does not say. `load` is the mean of programs that ran in the last minute."""

    cores: int
    model: str
    features: tuple[str, ...]
    memory: int
    available: int | None
    load: float

    @property
    def has_aes(self) -> bool:
        """Whether TLS takes AES, which is the faster cipher where the processor has it."""
        return "AES" in self.features


def probe_machine() -> Machine:
    """Ask the system. Raises OSError."""
    processor = read_text("/proc/cpuinfo")
    flags = (_field(processor, "flags") or _field(processor, "Features")).split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = _field(read_text("/proc/meminfo"), "MemAvailable").removesuffix(" kB")
    return Machine(
        cores(),
        _field(processor, "model name"),
        tuple(dict.fromkeys(shown for name, shown in _FEATURES.items() if name in flags)),
        memory,
        int(available) << 10 if available.isdecimal() else None,
        os.getloadavg()[0],
    )


def probe_rates(machine: Machine, sample: bytes, run: Callable[..., tuple[int, float]] = measure) -> dict[str, float]:
    """Bytes a second of one core, by primitive, over `sample` (1 MiB or more)."""
    rates = dict[str, float]()
    for primitive in ("cut", "blake3", ZSTD, f"un{ZSTD}", AEADS[machine.has_aes]):
        processed, took = run(primitive, sample, 1, _SECONDS)
        rates[primitive] = processed / took
    return rates


def judge_machine(machine: Machine) -> list[Check]:
    """What is to be said of it."""
    features = f", {' '.join(machine.features)}" if machine.features else ""
    room = "" if machine.available is None else f", {format_bytes(machine.available)} of them free"
    says = f"{machine.cores} cores{features}; {format_bytes(machine.memory)} of memory{room}"
    figures: dict[str, object] = {
        "cores": machine.cores,
        "model": machine.model,
        "features": list(machine.features),
        "memory": machine.memory,
        "available": machine.available,
        "load": round(machine.load, 2),
    }
    checks = [Check(Part.CPU, "machine", Grade.FINE, says, figures=figures)]
    if machine.features and not machine.has_aes:
        says = "the processor has no instructions for AES: connections are encrypted by ChaCha20-Poly1305"
        checks.append(Check(Part.CPU, "aes", Grade.NOTE, says))
    if machine.load >= machine.cores:
        says = f"other programs keep the cores busy (load {machine.load:.1f} on {machine.cores}): they do more than is measured here"
        checks.append(Check(Part.CPU, "load", Grade.NOTE, says, "end what need not run meanwhile, and look again"))
    if machine.available is not None and machine.available < _LEAST_AVAILABLE:
        says = f"little memory is free: {format_bytes(machine.available)}"
        checks.append(Check(Part.CPU, "memory", Grade.MEND, says, "end other programs, or give --memory 64M"))
    return checks


def judge_rates(machine: Machine, rates: dict[str, float]) -> tuple[list[Check], list[Stage]]:
    """What one core does, and what all of them do to each byte of a transfer: cutting it, and naming or checking it."""
    named = 1 / (1 / rates["cut"] + 1 / rates["blake3"])
    aead = AEADS[machine.has_aes]
    says = (
        f"a core cuts and hashes {format_rate(named)}, compresses {format_rate(rates[ZSTD])} (zstd, only where the "
        f"network is slow), decompresses {format_rate(rates[f'un{ZSTD}'])}, encrypts {format_rate(rates[aead])}"
    )
    figures = {name: round(rate) for name, rate in rates.items()}
    check = Check(Part.CPU, "core", Grade.FINE, says, figures={"rates": figures})
    advice = "end what else needs the cores, or send from a machine with more of them"
    cutting = Stage(Part.CPU, f"{machine.cores} cores cut and hash", machine.cores * named, advice=advice)
    # One thread serves a connection.
    sealing = Stage(Part.CPU, "a core encrypts", rates[aead], advice=advice)
    return [check], [cutting, sealing]


def _field(text: str, name: str) -> str:
    """The first value of this name in a file of `name : value` lines."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
