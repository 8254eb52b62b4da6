"""What a way out costs: a container's beside the same helper without one.

    outward.py DIRECTORY SUBLET ROUNDS SECONDS JSON

Nothing leaves the machine: what is outside is a network namespace with an
address on its loopback, and iperf3 serves there. In every round each way is
measured once, in an order drawn anew; ratios are taken within the round.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys

directory, sublet, rounds, seconds, output = sys.argv[1:]
SERVER = "198.51.100.3"
MTU = 1500
HELPERS = ["slirp4netns", "pasta"]
MEASURES = ["MB/s out", "MB/s in"]
STARTS = 20
LAN = f"""
    ip link set lo up
    ip link add lan mtu {MTU} type veth peer name far
    ip link set far up
    ip link set lan up
    ip address add 192.0.2.2/24 dev lan
    ip address add {SERVER}/32 dev lo
    ip route add default via 192.0.2.1
    exec "$@"
"""

if "OUTWARD" not in os.environ:
    # Once more, as root of a network of its own.
    outer = ["unshare", "--user", "--map-root-user", "--mount", "--net", "sh", "-ec", LAN, "sh"]
    os.execvpe(outer[0], outer + [sys.executable, *sys.argv], {**os.environ, "OUTWARD": "1"})

quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
started = []
DAEMON = os.path.join(directory, "pasta.pid")


def start(words, **options):
    process = subprocess.Popen(words, process_group=0, **{**quiet, **options})
    started.append(process)
    return process


def client(*options):
    return ["iperf3", "-c", SERVER, "-t", seconds, "-J", *options]


def bare(helper):
    """How a program is started in a network behind the helper alone."""
    holder = start(["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                    "echo; exec sleep 9999"], stdout=subprocess.PIPE)
    holder.stdout.readline()
    if helper == "slirp4netns":
        ready, told = os.pipe()
        start(["slirp4netns", "--configure", "--disable-host-loopback", "--disable-dns",
               "--enable-sandbox", "--enable-seccomp", f"--mtu={MTU}", f"--ready-fd={told}",
               str(holder.pid), "tap0"], pass_fds=[told])
        os.close(told)
        os.read(ready, 1)
    else:
        # It leaves when it is ready, and another goes on.
        start(["pasta", "--pid", DAEMON, "--quiet", "--config-net", "--no-map-gw",
               "-t", "none", "-u", "none", "-T", "none", "-U", "none", str(holder.pid)]).wait()
    return ["nsenter", "--target", str(holder.pid), "--user", "--net", "--preserve-credentials"]


def contained(helper):
    return [sublet, "run", "--network", helper, "host", "--"]


def iperf(words):
    for _ in range(10):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        told = json.loads(done.stdout or '{"error": "%s"}' % done.stderr.strip()[-200:])
        if "error" not in told:
            return told["end"]["sum_received"]["bits_per_second"] / 8e6
    sys.exit(f"bench: {' '.join(words)}: {told['error']}")


def times(network):
    """Of a start: until the payload runs, and since the network is there; in ms."""
    words = [sublet, "run", "--timing", "--network", network, "host", "true"]
    told = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr

    def line(what):
        found = re.search(rf"([\d.]+) ms  {what}", told)
        return float(found.group(1)) if found else None

    return line("start, in all"), line("of it since the network reached out")


try:
    start(["iperf3", "-s", "-B", SERVER])
    ways = {}
    for helper in HELPERS:
        ways[helper], ways[f"sublet, {helper}"] = bare(helper), contained(helper)
    figures = {name: [] for name in ways}
    for _ in range(int(rounds)):
        for name in random.sample(list(ways), len(ways)):
            figures[name].append([iperf(ways[name] + client()), iperf(ways[name] + client("-R"))])
    starts = {network: [] for network in ["none", *HELPERS]}
    for _ in range(STARTS):
        for network in random.sample(list(starts), len(starts)):
            starts[network].append(times(network))
finally:
    if os.path.exists(DAEMON):
        with open(DAEMON) as file:
            os.kill(int(file.read()), 15)
    for process in started:
        try:
            os.killpg(process.pid, 15)
        except ProcessLookupError:
            pass
        process.wait()

print("\na way out, and parts of the helper's without a container\n")
print(f"{'':20}" + "".join(f"{measure:>24}" for measure in MEASURES))
goals = []
for helper in HELPERS:
    mine, theirs = figures[f"sublet, {helper}"], figures[helper]
    cells = []
    for at, measure in enumerate(MEASURES):
        part = statistics.median(one[at] / other[at] for one, other in zip(mine, theirs))
        cells.append(f"{statistics.median(row[at] for row in mine):14.0f} {part:8.2f}x")
        goals.append((f"{measure} behind {helper}", part, part >= 0.97, "at least 0.97 x"))
    print(f"{helper:20}" + "".join(cells))
print(f"\n{'':20}{'start, ms':>24}{'from ready to exec, ms':>26}")
for network, told in starts.items():
    whole = statistics.median(one for one, _ in told)
    since = [one for _, one in told if one is not None]
    last = f"{statistics.median(since):26.2f}" if since else f"{'-':>26}"
    print(f"{network:20}{whole:24.2f}{last}")
    if since:
        median = statistics.median(since)
        goals.append((f"ms from ready behind {network}", median, median <= 1, "at most 1"))
print()
for what, reached, good, goal in goals:
    print(f"goal: {what} {goal}: {reached:.2f}, {'reached' if good else 'missed'}")
if output:
    with open(output, "w") as file:
        json.dump({"measures": MEASURES, "figures": figures, "starts": starts}, file, indent=1)
