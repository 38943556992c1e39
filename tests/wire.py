"""A wire between network namespaces: host i is 10.99.0.i in a namespace of its own, behind a TUN device.

This program is all that connects them. Every packet passes through it, so that it can be delayed, lost or
kept, each direction by itself, on any kernel that has TUN: no netem, no bridge, no firewall is needed.

Started as `wire.py HOSTS SEED`, as root. Prints `ready` and the process ids by whose namespaces the hosts can
be entered. Then it takes orders on standard input, one per line, and answers each with `ok`:

    FROM TO DELAY_MS JITTER_MS LOSS_PERCENT     what happens to packets from FROM to TO; a loss of 100 is a cut
    count FROM TO                               answers with packets that were passed on, and lost

Ends, and takes everything with it, when standard input does.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PR_SET_PDEATHSIG, SIGKILL = 1, 9
# What a device may hold before packets are dropped, as a real queue would.
QUEUE_PACKETS_MAX = 10_000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter_new_namespace(number):
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
    for words in (
        ["link", "set", "lo", "up"],
        ["addr", "add", f"10.99.0.{number}/24", "dev", "wire"],
        ["link", "set", "wire", "up", "mtu", "1500", "txqueuelen", "1000"],
    ):
        subprocess.run(["ip", *words], check=True)
    return device


def start_host(number):
    """Forks a process that holds the host's namespace; its pid, and the host's device."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid != 0:
        theirs.close()
        _, devices, _, _ = socket.recv_fds(ours, 16, 1)
        if not devices:
            sys.exit("no device: namespaces or TUN are not permitted")
        # Never closed: its end tells the holder that it is over.
        return pid, devices[0], ours
    ours.close()
    LIBC.prctl(PR_SET_PDEATHSIG, SIGKILL)
    try:
        device = enter_new_namespace(number)
        socket.send_fds(theirs, [b"device"], [device])
        os.close(device)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"host {number}: {error}", file=sys.stderr)
        os._exit(1)
    theirs.recv(1)
    os._exit(0)


class Wire:
    def __init__(self, hosts, seed):
        self.random = random.Random(seed)
        started = [start_host(number) for number in range(1, hosts + 1)]
        self.pids = [pid for pid, _, _ in started]
        self.devices = {number: device for number, (_, device, _) in enumerate(started, 1)}
        self.holders = [holder for _, _, holder in started]
        self.numbers = {device: number for number, device in self.devices.items()}
        self.rules = {}
        self.counts = {}
        self.waiting = []
        self.order = 0

    def run(self):
        sys.stdout.write("ready " + " ".join(map(str, self.pids)) + "\n")
        sys.stdout.flush()
        orders = os.fdopen(0, "rb", buffering=0)
        poll = select.poll()
        poll.register(0, select.POLLIN | select.POLLHUP)
        for device in self.numbers:
            poll.register(device, select.POLLIN)
        rest = b""
        while True:
            for ready, _ in poll.poll(self.pause_ms()):
                if ready != 0:
                    self.take(ready)
                    continue
                piece = orders.read(4096)
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    sys.stdout.write(self.obey(line.decode().split()) + "\n")
                    sys.stdout.flush()
            self.deliver()

    def pause_ms(self):
        if not self.waiting:
            return None
        return max(0.0, (self.waiting[0][0] - time.monotonic()) * 1000)

    def obey(self, words):
        if words[0] == "count":
            passed, lost = self.counts.get((int(words[1]), int(words[2])), (0, 0))
            return f"ok {passed} {lost}"
        source, target, delay, jitter, loss = map(int, words)
        self.rules[source, target] = (delay / 1000, jitter / 1000, loss)
        return "ok"

    def take(self, device):
        source = self.numbers[device]
        for _ in range(256):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            # IPv4 within our network; what else a kernel says of its own accord goes nowhere.
            if packet[0] >> 4 != 4 or packet[16:19] != bytes([10, 99, 0]):
                continue
            target = packet[19]
            if target in self.devices:
                self.route(source, target, packet)

    def route(self, source, target, packet):
        delay, jitter, loss = self.rules.get((source, target), (0, 0, 0))
        lost = len(self.waiting) >= QUEUE_PACKETS_MAX or self.random.random() * 100 < loss
        passed, before = self.counts.get((source, target), (0, 0))
        self.counts[source, target] = (passed + (not lost), before + lost)
        if lost:
            return
        self.order += 1
        due = time.monotonic() + delay + jitter * self.random.random()
        heapq.heappush(self.waiting, (due, self.order, target, packet))

    def deliver(self):
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self.waiting)
            try:
                os.write(self.devices[target], packet)
            except OSError:
                # A full queue, or a device that goes down: lost, as on any wire.
                pass


Wire(int(sys.argv[1]), int(sys.argv[2])).run()
