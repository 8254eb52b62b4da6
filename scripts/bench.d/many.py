"""Starts many containers and prints, as JSON, what that takes; with --table
FILE, such JSON as a table with the goals.

    many.py SUBLET ROOT COUNT
    many.py --table FILE
"""

import json
import statistics
import subprocess
import sys
import time

SOME = 50  # starts whose median counts
LOOKS = 20  # of each other command


def timed(words):
    """What one command takes, in milliseconds."""
    began = time.perf_counter()
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def measure(sublet, root, count):
    def start(number):
        options = ["--name", f"n{number}", "--userns", "single", "--network", "none"]
        script = "trap 'exit 0' TERM; while :; do sleep 600 & wait; done"
        return timed([sublet, "run", "-d", *options, root, "sh", "-c", script])

    def median(words):
        return statistics.median(timed(words) for _ in range(LOOKS))

    # What is done for the first time takes longer.
    for number in range(5):
        start(-1 - number)
    subprocess.run([sublet, "rm", "-f", "--all"], stdout=subprocess.DEVNULL, check=True)
    starts = [start(number) for number in range(count)]
    told = {
        "count": count,
        "first": statistics.median(starts[:SOME]),
        "last": statistics.median(starts[-SOME:]),
        "ps": median([sublet, "ps"]),
        "inspect": median([sublet, "inspect", f"n{count // 2}"]),
        "exec": median([sublet, "exec", f"n{count // 2}", "true"]),
        "stop_all": timed([sublet, "stop", "--all"]),
        "rm_all": timed([sublet, "rm", "--all"]),
    }
    told["afterwards"] = statistics.median(start(number) for number in range(SOME))
    subprocess.run([sublet, "rm", "-f", "--all"], stdout=subprocess.DEVNULL, check=True)
    return told


def table(told):
    count = told["count"]
    ratio = told["last"] / told["first"]
    for name, value, unit in (
        (f"run -d, the first {SOME}", told["first"], "ms"),
        (f"run -d, the last {SOME} of {count}", told["last"], "ms"),
        (f"run -d, {SOME} when they are gone", told["afterwards"], "ms"),
        (f"ps, of {count}", told["ps"], "ms"),
        (f"inspect of one of {count}", told["inspect"], "ms"),
        (f"exec of true in one of {count}", told["exec"], "ms"),
        (f"stop --all, each of {count}", told["stop_all"] / count, "ms"),
        (f"rm --all, each of {count}", told["rm_all"] / count, "ms"),
    ):
        print(f"{name:44} {value:9.2f} {unit}")
    print()
    for goal, value, most in (("last start / first", ratio, 1.3), ("ps, ms", told["ps"], 50)):
        print(f"goal: {goal} at most {most}: {value:.2f}, {'met' if value <= most else 'missed'}")


if sys.argv[1] == "--table":
    with open(sys.argv[2]) as file:
        table(json.load(file))
else:
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
