"""Peers that move files, at their own defaults, and all of it within this machine.

rsync    a daemon without encryption, `rsync -a` (or `-az`) pulls; it resumes with --inplace
scp      an sshd of its own with its own keys, `scp -r` pulls
croc     --local: the receiver is told the sender's address, and the relay is the sender's own
wormhole magic-wormhole with a mailbox server and a transit relay of its own, which is not needed: the sides reach each other
sendme   iroh's example, without relays
"""

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benches.mover import Errand, Kind, Room, TwoSided, free_port, served
from benches.sides import Command

_CODE: Final = "7-alpha-beta"  # known to nobody but two processes of this machine
_SSHD_ROOM: Final = Path("/run/sshd")  # sshd wants it there, and only a service of the system makes it


class Rsync(TwoSided):
    """A daemon that runs already, and a client that pulls."""

    ready = re.compile(r"starting, listening on port (\d+)")
    encrypted = False
    updates = resumes = daemon = True
    ends = False

    def __init__(self, room: Room, binary: str, name: str, options: str) -> None:
        super().__init__(room, binary)
        self.name, self._options = name, options
        self.settings = f"{options} from a daemon, unencrypted"

    def sending(self, errand: Errand) -> Command:
        port = free_port()
        file = self.room.scratch / "homes" / "rsyncd.conf"
        command = self.at_sender([self.binary, "--daemon", "--no-detach", f"--config={file}", f"--port={port}"], errand)
        user = f"uid = {os.getuid()}\ngid = {os.getgid()}\n" if os.getuid() == 0 else ""
        module = f"[source]\npath = {errand.source.parent}\nread only = yes\n{user}"
        file.write_text(f"use chroot = no\nlog file = /dev/stderr\naddress = {self.room.network.host}\n{module}")
        return command

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        url = f"rsync://{self.room.network.bracketed}:{found[1]}/source/{errand.source.name}"
        in_place = ["--inplace"] if errand.kind is Kind.RESUME else []
        return self.at_receiver([self.binary, self._options, *in_place, url, f"{errand.target}/"], errand)


class Scp(TwoSided):
    """sshd that runs already, and scp that pulls."""

    name, settings = "scp", "-r from sshd, defaults"
    ready = re.compile(r"Server listening on \S+ port (\d+)")
    daemon = True
    ends = False

    def sending(self, errand: Errand) -> Command:
        command = self.at_sender([self.binary, "-D", "-e", "-f", str(self._file("sshd_config"))], errand)
        if os.getuid() == 0:
            _SSHD_ROOM.mkdir(mode=0o755, exist_ok=True)
        for key in ("host", "user"):
            self._file(key).unlink(missing_ok=True)
            making = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._file(key))]
            subprocess.run(making, check=True, stdin=subprocess.DEVNULL)
        settings = {
            "ListenAddress": self.room.network.host,
            "Port": free_port(),
            "HostKey": self._file("host"),
            "AuthorizedKeysFile": self._file("user.pub"),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "Subsystem": "sftp internal-sftp",
        }
        self._file("sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return command

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        host = self.room.network.host
        known = self._file("known")
        known.write_text(f"[{host}]:{found[1]} {self._file('host.pub').read_text()}")
        options = {"IdentitiesOnly": "yes", "BatchMode": "yes", "UserKnownHostsFile": known}
        asked = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        user = pwd.getpwuid(os.getuid()).pw_name
        source = f"{user}@{self.room.network.bracketed}:{errand.source}"
        words = ["scp", "-q", "-r", "-F", "none", "-P", found[1], "-i", str(self._file("user")), *asked, source]
        return self.at_receiver([*words, f"{errand.target}/"], errand)

    def _file(self, name: str) -> Path:
        return self.room.scratch / "homes" / name


class Croc(TwoSided):
    """Sender and receiver meet at the sender's own relay."""

    name, settings = "croc", "--local, the receiver with --ip of the sender"
    ready = re.compile(r"On the other computer run")
    resumes = True
    stays = False
    _port: int

    @property
    def passes(self) -> int:
        # To its own relay and from there: on a line only the second leaves the sender.
        return 2 if self.room.network.sender == self.room.network.receiver else 1

    def sending(self, errand: Errand) -> Command:
        # It takes this port and the four that follow.
        self._port = free_port()
        asked = ["--local", "--ignore-stdin", "--disable-clipboard"]
        return self._secret(
            self.at_sender([self.binary, *asked, "send", "--port", str(self._port), errand.source.name], errand)
        )

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        place = f"{self.room.network.bracketed}:{self._port}"
        words = [self.binary, "--local", "--yes", "--overwrite", "--ignore-stdin", "--ip", place]
        return self._secret(self.at_receiver(words, errand))

    @staticmethod
    def _secret(command: Command) -> Command:
        environment = {**command.environment, "CROC_SECRET": _CODE}
        return Command(command.words, command.cwd, environment)


class Wormhole(TwoSided):
    """magic-wormhole; the servers are those of `twist` beside it."""

    name, settings = "magic-wormhole", "defaults, with a mailbox server of its own"
    ready = re.compile(r"Wormhole code is")
    _mailbox: int
    _relay: int

    def sending(self, errand: Errand) -> Command:
        return self.at_sender(
            [*self._wormhole(), "send", "--hide-progress", "--code", _CODE, errand.source.name], errand
        )

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        words = [*self._wormhole(), "receive", "--accept-file", "--hide-progress", _CODE]
        return self.at_receiver(words, errand)

    def _wormhole(self) -> list[str]:
        host = self.room.network.bracketed
        servers = ["--relay-url", f"ws://{host}:{self._mailbox}/v1", "--transit-helper", f"tcp:{host}:{self._relay}"]
        return [self.binary, *servers]

    @contextmanager
    def services(self) -> Iterator[None]:
        self._mailbox, self._relay = free_port(), free_port()
        with served(self._server("wormhole-mailbox", self._mailbox), self._server("transitrelay", self._relay)):
            yield

    def _server(self, plugin: str, port: int) -> tuple[Command, Path, re.Pattern[str]]:
        twist = str(Path(self.binary).with_name("twist"))
        home = self.room.home(plugin)
        words = [*self.room.network.sender, twist, plugin, f"--port=tcp:{port}:interface={self.room.network.host}"]
        environment = self.room.environment(plugin)
        return Command(words, home, environment), home / "said", re.compile(rf"starting on {port}\b")


class Sendme(TwoSided):
    """The sender stays until it is interrupted."""

    name, settings = "sendme", "--relay disabled"
    ready = re.compile(r"sendme receive (blob\w+)")
    resumes = True
    ends = False
    stop_by = signal.SIGINT

    def sending(self, errand: Errand) -> Command:
        command = self.at_sender([self.binary, "send", *self._asked(), str(errand.source)], errand)
        # It keeps its store where it is started.
        return Command(command.words, self.room.home("sender"), command.environment)

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        return self.at_receiver([self.binary, "receive", *self._asked(), found[1]], errand)

    @staticmethod
    def _asked() -> list[str]:
        return ["--relay", "disabled", "--no-progress"]
