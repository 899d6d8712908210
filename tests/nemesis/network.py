"""A network of one router and a link for each node and for the clients; links lose in silence, each way by itself."""

from __future__ import annotations

import ctypes
import os
import secrets
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.nemesis.namespaces import CannotIsolate, run

CLIENTS = "clients"
_ROUTER = "router"
_PROBE_PORT = 9
_PROBE_S = 0.3
_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class Network:
    """Places by name, the namespace of this process being `CLIENTS`. Its methods block: use a thread.

    Connections outlive a loss: what was sent meanwhile is sent again by TCP, so what a partition held back arrives when
    it heals.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self.places = [*nodes, CLIENTS]
        self._blocked: Counter[tuple[str, str]] = Counter()
        self._slow: Counter[str] = Counter()
        self._probes: dict[str, socket.socket] = {}
        self._lock = threading.Lock()

    def address(self, place: str) -> str:
        return f"10.77.{self.places.index(place) + 1}.2"

    def within(self, place: str) -> list[str]:
        """Return the words before a command that run it in a place."""
        return [] if place == CLIENTS else ["nsenter", f"--net={_path(place)}"]

    def make(self) -> None:
        """Make it all.

        Raises:
            CannotIsolate: the system refuses.
        """
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "up")
        run("ip", "netns", "add", _ROUTER)
        for number, place in enumerate(self.places, 1):
            inner, outer = f"to-{place}", f"at-{place}"
            if place == CLIENTS:
                run("ip", "link", "add", inner, "type", "veth", "peer", "name", outer, "netns", _ROUTER)
                ip = ["ip"]
            else:
                run("ip", "netns", "add", place)
                run("ip", "-n", place, "link", "add", inner, "type", "veth", "peer", "name", outer, "netns", _ROUTER)
                ip = ["ip", "-n", place]
                run(*ip, "link", "set", "lo", "up")
            run(*ip, "address", "add", f"10.77.{number}.2/24", "dev", inner)
            run(*ip, "link", "set", inner, "up")
            run("ip", "-n", _ROUTER, "address", "add", f"10.77.{number}.1/24", "dev", outer)
            run("ip", "-n", _ROUTER, "link", "set", outer, "up")
            run(*ip, "route", "add", "default", "via", f"10.77.{number}.1")
        run("nsenter", f"--net={_path(_ROUTER)}", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for place in self.places:
            self._probes[place] = _in_namespace(place, partial(_probe_socket, self.address(place)))
        for place in self.places:
            # A new link has no carrier for a second or so.
            if place != CLIENTS and not (self.reaches(CLIENTS, place, 30) and self.reaches(place, CLIENTS, 30)):
                raise CannotIsolate(f"the router does not reach {place}")

    def block(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Lose whatever goes from the first of a pair to the second. Pairs that are blocked twice are freed twice."""
        for pair in pairs:
            with self._lock:
                self._blocked[pair] += 1
                if self._blocked[pair] == 1:
                    self._rule("add", pair)

    def free(self, pairs: Iterable[tuple[str, str]]) -> None:
        for pair in pairs:
            with self._lock:
                self._blocked[pair] -= 1
                if self._blocked[pair] == 0:
                    self._rule("del", pair)

    def slow(self, place: str, kilobits: int) -> None:
        """Let a place's link carry so many kilobits a second each way, with a queue of half a second."""
        with self._lock:
            self._slow[place] += 1
            limit = ["root", "tbf", "rate", f"{kilobits}kbit", "burst", "16kb", "latency", "500ms"]
            run("tc", "-n", _ROUTER, "qdisc", "replace", "dev", f"at-{place}", *limit)
            run("tc", "-n", place, "qdisc", "replace", "dev", f"to-{place}", *limit)

    def unslow(self, place: str) -> None:
        with self._lock:
            self._slow[place] -= 1
            if self._slow[place] == 0:
                run("tc", "-n", _ROUTER, "qdisc", "del", "dev", f"at-{place}", "root")
                run("tc", "-n", place, "qdisc", "del", "dev", f"to-{place}", "root")

    def throttled(self, place: str) -> bool:
        """Whether a slow link has held anything back so far."""
        shown = run("tc", "-s", "-n", place, "qdisc", "show", "dev", f"to-{place}").split()
        shown += run("tc", "-s", "-n", _ROUTER, "qdisc", "show", "dev", f"at-{place}").split()
        return any(word == "overlimits" and int(shown[at + 1]) > 0 for at, word in enumerate(shown[:-1]))

    def reaches(self, sender: str, receiver: str, tries: int = 3) -> bool:
        """Whether a datagram gets from one place to another."""
        for _ in range(tries):
            token = secrets.token_bytes(16)
            self._probes[sender].sendto(token, (self.address(receiver), _PROBE_PORT))
            while select.select([self._probes[receiver]], [], [], _PROBE_S)[0]:
                if self._probes[receiver].recv(64) == token:
                    return True
        return False

    def _rule(self, what: str, pair: tuple[str, str]) -> None:
        sender, receiver = map(self.address, pair)
        run("ip", "-n", _ROUTER, "rule", what, "from", sender, "to", receiver, "type", "blackhole")


def _path(place: str) -> str:
    return f"/run/netns/{place}"


def _probe_socket(address: str) -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.bind((address, _PROBE_PORT))
    return probe


def _in_namespace(place: str, make: Callable[[], T]) -> T:
    """Return what `make` returns in a place: a socket stays in the namespace where it was made."""
    made: list[T] = []

    def enter() -> None:
        if place != CLIENTS:
            namespace = os.open(Path(_path(place)), os.O_RDONLY)
            # The namespace of a thread is its own, and this one ends here.
            if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(namespace)
        made.append(make())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not made:
        raise CannotIsolate(f"no socket in {place}")
    return made[0]
