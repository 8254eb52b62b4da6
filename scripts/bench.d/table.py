#!/usr/bin/env python3
"""Turns the rounds of scripts/bench into a table of ratios and goals.

    table.py RESULTS UNMEASURED [JSON]

RESULTS holds ROUND.NAME.json as hyperfine exports it, UNMEASURED has a line
"NAME<tab>REASON" for each command that could not run. Times are milliseconds.
"""

import json
import pathlib
import statistics
import sys

ROWS = {
    "host": "no isolation",
    "floor": "floor: the kernel's own price",
    "sublet": "sublet, single id",
    "sublet-root": "sublet, single id, root's binary",
    "sublet-ranges": "sublet, ranges of ids",
    "helpers": "newuidmap and newgidmap alone",
    "exec": "sublet exec, single id",
    "nsenter": "nsenter, all namespaces",
    "bwrap": "bubblewrap --unshare-all",
    "crun": "crun, no cgroup",
    "runc": "runc",
}

# A launcher's whole price is its own start-up on top of the kernel's.
FLOOR_FACTOR = 1.25
# Entering makes no namespaces; the goal is the same kind of figure.
ENTRY_FACTOR = 1.5


def read(results):
    """{name: [[ms of each run] of each round]}, the rounds in one order."""
    rounds = {}
    for path in results.glob("*.json"):
        number, name = path.stem.split(".", 1)
        times = json.loads(path.read_text())["results"][0]["times"]
        rounds.setdefault(name, {})[int(number)] = [1000 * t for t in times]
    return {name: [by[n] for n in sorted(by)] for name, by in rounds.items()}


def medians(rounds):
    return [statistics.median(times) for times in rounds]


def middle(values):
    """Median, lower and upper quartile: load comes in bursts, which quartiles outlast."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, low, high


def ratio(ours, theirs):
    """Median and quartiles of the ratio within each round."""
    return middle([a / b for a, b in zip(ours, theirs)])


def summary(rounds, floor):
    times = [t for one in rounds for t in one]
    all_floor = [t for one in floor for t in one]
    median, low, high = ratio(medians(rounds), medians(floor))
    return {
        "min": min(times),
        "median": statistics.median(times),
        "mean": statistics.fmean(times),
        "ratio_of_medians": statistics.median(times) / statistics.median(all_floor),
        "median_ratio": median,
        "ratio_quartiles": [low, high],
        "times": rounds,
    }


def less(rounds, frame):
    """What `rounds` takes beyond `frame`: each run less the frame's median of that round."""
    return [[t - m for t in times] for times, m in zip(rounds, medians(frame))]


def goals(data):
    """(what is asked, the figure, the limit), each in multiples that one round gives."""
    floor = medians(data["floor"])
    for name, called in (("sublet", "single id"), ("sublet-root", "single id, root's binary")):
        if name not in data:
            continue
        single = medians(data[name])
        yield f"{called}: <= {FLOOR_FACTOR} x floor", ratio(single, floor), FLOOR_FACTOR
        if "bwrap" in data:
            yield f"{called}: faster than bubblewrap", ratio(single, medians(data["bwrap"])), 1.0
    if "exec" in data:
        yield f"exec: <= {ENTRY_FACTOR} x floor", ratio(medians(data["exec"]), floor), ENTRY_FACTOR
    if "sublet-ranges" in data and "helpers" in data:
        ranges, helpers = medians(data["sublet-ranges"]), medians(data["helpers"])
        bound = [a + b for a, b in zip(floor, helpers)]
        yield "ranges of ids: <= floor + helpers", ratio(ranges, bound), 1.0
        if "sublet" in data:
            bound = [a + b for a, b in zip(medians(data["sublet"]), helpers)]
            yield "ranges of ids: <= single id + helpers", ratio(ranges, bound), 1.0


def finish(rows, reasons, judged, json_file):
    """Prints the goals, and writes all of it where it is wanted as JSON."""
    if judged:
        print(f"\n{'goal':58}{'figure':>8}  {'limit':>5}")
    for goal in judged:
        mark = "ok" if goal["met"] else "missed"
        print(f"{mark:7} {goal['goal']:50}{goal['figure']:8.2f}  {goal['limit']:5.2f}")

    if json_file:
        whole = {"unit": "ms", "commands": rows, "not_measured": reasons, "goals": judged}
        pathlib.Path(json_file).write_text(json.dumps(whole, indent=1) + "\n")


def main(results, unmeasured, json_file=None):
    data = read(pathlib.Path(results))
    if "frame" in data:
        frame = data.pop("frame")
        if "helpers" in data:
            data["helpers"] = less(data["helpers"], frame)
    reasons = dict(
        line.split("\t", 1) for line in pathlib.Path(unmeasured).read_text().splitlines()
    )
    rows = {name: summary(data[name], data["floor"]) for name in ROWS if name in data}

    print(f"{'ms':34}{'min':>8}{'median':>8}{'mean':>8}  x floor  by round: median (quartiles)")
    for name, label in ROWS.items():
        if name in rows:
            row = rows[name]
            low, high = row["ratio_quartiles"]
            print(
                f"{label:34}{row['min']:8.2f}{row['median']:8.2f}{row['mean']:8.2f}"
                f"{row['ratio_of_medians']:9.2f}"
                f"  {row['median_ratio']:.2f} ({low:.2f} - {high:.2f})"
            )
        elif name in reasons:
            print(f"{label:34}  not measured: {reasons[name]}")

    judged = [
        {
            "goal": goal,
            "figure": figure,
            "quartiles": [low, high],
            "limit": limit,
            "met": figure <= limit,
        }
        for goal, (figure, low, high), limit in goals(data)
    ]
    finish(rows, reasons, judged, json_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
