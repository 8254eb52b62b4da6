"""Ports as they are published by sublet and by slirp4netns, beside loopback and
a bare relay.

    network.py DIRECTORY SUBLET ROUNDS SECONDS JSON

In every round each of them is measured once, in an order drawn anew, and
ratios are taken within the round. DIRECTORY holds the programs `connect` and
`relay`.
"""

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

directory, sublet, rounds, seconds, output = sys.argv[1:]
connect = os.path.join(directory, "connect")
relay = os.path.join(directory, "relay")
CLIENTS = 8
MEASURES = ["MB/s there", "MB/s back", "connections/s"]
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def servers(address, iperf, echo):
    return f"iperf3 -s -B {address} -p {iperf} & exec {connect} serve {address} {echo}"


def await_port(port):
    """Until somebody answers, through whatever is between."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.sendall(b"x")
                if probe.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"bench: nobody answers at port {port}")


class Loopback:
    name = "loopback"

    def __init__(self):
        self.iperf, self.echo = free_port(), free_port()
        line = servers("127.0.0.1", self.iperf, self.echo)
        self.started = [subprocess.Popen(["sh", "-c", line], process_group=0, **quiet)]


class Relay:
    """What is between is there, and does nothing but pass on."""

    name = "bare relay"

    def __init__(self, behind):
        self.iperf, self.echo = free_port(), free_port()
        ways = [(self.iperf, behind.iperf), (self.echo, behind.echo)]
        self.started = [subprocess.Popen([relay, str(port), str(to)], process_group=0, **quiet)
                        for port, to in ways]


class Sublet:
    name = "sublet -p"

    def __init__(self):
        self.iperf, self.echo = free_port(), free_port()
        line = [sublet, "run", "--network", "loopback", "-p", f"{self.iperf}:5201",
                "-p", f"{self.echo}:5202", "-v", f"{directory}:{directory}", "host", "sh", "-c",
                servers("0.0.0.0", 5201, 5202)]
        self.started = [subprocess.Popen(line, process_group=0, **quiet)]


class Slirp:
    name = "slirp4netns"

    def __init__(self):
        self.iperf, self.echo = free_port(), free_port()
        line = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                "read -r go; " + servers("0.0.0.0", 5201, 5202)]
        namespace = subprocess.Popen(line, process_group=0, **{**quiet, "stdin": subprocess.PIPE})
        own = os.stat("/proc/self/ns/net").st_ino
        while os.stat(f"/proc/{namespace.pid}/ns/net").st_ino == own:
            time.sleep(0.01)
        control = os.path.join(directory, "slirp.sock")
        ready, told = os.pipe()
        helper = subprocess.Popen(
            ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
             f"--ready-fd={told}", f"--api-socket={control}", str(namespace.pid), "tap0"],
            process_group=0, pass_fds=[told], **quiet)
        os.close(told)
        os.read(ready, 1)
        os.close(ready)
        self.started = [namespace, helper]
        for outside, inside in [(self.iperf, 5201), (self.echo, 5202)]:
            with socket.socket(socket.AF_UNIX) as ask:
                ask.connect(control)
                ask.sendall(json.dumps({"execute": "add_hostfwd", "arguments": {
                    "proto": "tcp", "host_addr": "127.0.0.1", "host_port": outside,
                    "guest_port": inside}}).encode())
                ask.shutdown(socket.SHUT_WR)
                answer = ask.recv(4096)
                assert b"error" not in answer, answer
        namespace.stdin.write(b"go\n")
        namespace.stdin.flush()


def iperf(port, *options):
    line = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", seconds, "-J", *options]
    for _ in range(5):
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        told = json.loads(done.stdout)
        if "error" not in told:
            return told["end"]["sum_received"]["bits_per_second"] / 8e6
        # Its server may not be there yet, or be busy with the one before.
        time.sleep(0.3)
    sys.exit(f"bench: iperf3 at port {port}: {told['error']}")


def measure(one):
    asked = subprocess.run([connect, "ask", "127.0.0.1", str(one.echo), seconds, str(CLIENTS)],
                           check=True, capture_output=True, text=True)
    return [iperf(one.iperf), iperf(one.iperf, "-R"), float(asked.stdout)]


loopback = Loopback()
all_of_them = [loopback, Relay(loopback), Sublet(), Slirp()]
try:
    for one in all_of_them:
        await_port(one.echo)
    figures = {one.name: [] for one in all_of_them}
    for _ in range(int(rounds)):
        for one in random.sample(all_of_them, len(all_of_them)):
            figures[one.name].append(measure(one))
finally:
    for process in [process for one in all_of_them for process in one.started]:
        try:
            os.killpg(process.pid, 15)
        except ProcessLookupError:
            pass
        process.wait()


def ratio(name, other, at):
    """The median of what name is of other, within the rounds."""
    pairs = zip(figures[name], figures[other])
    return statistics.median(mine[at] / theirs[at] for mine, theirs in pairs)


print(f"{rounds} rounds of {seconds} s, {os.cpu_count()} CPUs; medians, and parts of loopback\n")
print(f"{'':12}" + "".join(f"{measure:>24}" for measure in MEASURES))
for one in all_of_them:
    cells = []
    for at in range(len(MEASURES)):
        median = statistics.median(row[at] for row in figures[one.name])
        cells.append(f"{median:14.0f} {ratio(one.name, 'loopback', at):8.2f}x")
    print(f"{one.name:12}" + "".join(cells))
goals = []
for at, measure in enumerate(MEASURES):
    for other, least in [("loopback", 0.9), ("slirp4netns", 3.0)]:
        reached = ratio("sublet -p", other, at)
        goals.append({"measure": measure, "of": other, "least": least, "reached": reached})
print("\nof a bare relay, sublet -p reaches " + ", ".join(
    f"{ratio('sublet -p', 'bare relay', at):.2f} of its {measure}"
    for at, measure in enumerate(MEASURES)) + "\n")
for goal in goals:
    verdict = "reached" if goal["reached"] >= goal["least"] else "missed"
    print(f"goal: {goal['measure']} at least {goal['least']} x {goal['of']}: "
          f"{goal['reached']:.2f} x, {verdict}")
if output:
    with open(output, "w") as file:
        json.dump({"measures": MEASURES, "figures": figures, "goals": goals}, file, indent=1)
