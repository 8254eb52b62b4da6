#!/usr/bin/env python3
"""Turns the rounds of bench.d/inside into a table of differences and goals.

    cgroups.py RESULTS UNMEASURED [JSON]

As table.py, whose parts it uses; but what a control group costs is a sum and no
factor, so it is taken as a difference within each round.
"""

import pathlib
import statistics
import sys

from table import finish, medians, middle, read

# What is measured, called what, and what it is compared with.
ROWS = {
    "floor": ("floor: the kernel's own price", None),
    "sublet": ("sublet, no control group", "floor"),
    "sublet-scope": ("sublet, a scope of systemd", "sublet"),
    "sublet-direct": ("sublet, a group of its own", "sublet"),
    "systemd-run": ("systemd-run --user --scope true", None),
    "crun": ("crun, no control group", "floor"),
    "crun-scope": ("crun, a scope of systemd", "crun"),
    "oci": ("sublet-oci, no control group", None),
    "oci-scope": ("sublet-oci, a scope of systemd", "oci"),
    "crun-oci": ("crun as that, no control group", None),
    "crun-oci-scope": ("crun as that, a scope of systemd", "crun-oci"),
}

# Milliseconds.
GOALS = (
    ("a scope and limits: <= 5 ms over none", "sublet-scope", "sublet", 5.0),
    ("a scope and limits: <= 5 ms over the floor", "sublet-scope", "floor", 5.0),
    ("create, start, delete: faster than crun", "oci", "crun-oci", 0.0),
    ("the same with a scope: faster than crun", "oci-scope", "crun-oci-scope", 0.0),
)


def difference(ours, theirs):
    """Median and quartiles of the difference within each round."""
    return middle([a - b for a, b in zip(medians(ours), medians(theirs))])


def main(results, unmeasured, json_file=None):
    data = read(pathlib.Path(results))
    reasons = dict(
        line.split("\t", 1) for line in pathlib.Path(unmeasured).read_text().splitlines()
    )
    rows = {}
    print(f"{'ms':34}{'min':>8}{'median':>8}{'mean':>8}  more, by round: median (quartiles)")
    for name, (label, base) in ROWS.items():
        if name not in data:
            print(f"{label:34}  not measured: {reasons.get(name, 'no result')}")
            continue
        times = [time for one in data[name] for time in one]
        row = {
            "min": min(times),
            "median": statistics.median(times),
            "mean": statistics.fmean(times),
            "times": data[name],
        }
        line = f"{label:34}{row['min']:8.2f}{row['median']:8.2f}{row['mean']:8.2f}"
        if base in data:
            more, low, high = difference(data[name], data[base])
            row["more_than"] = {"what": base, "median": more, "quartiles": [low, high]}
            line += f"{more:8.2f} ({low:.2f} - {high:.2f}) than {ROWS[base][0].split(':')[0]}"
        print(line)
        rows[name] = row

    judged = []
    for goal, name, base, limit in GOALS:
        if name in data and base in data:
            figure, low, high = difference(data[name], data[base])
            met = figure <= limit
            judged.append(
                {"goal": goal, "figure": figure, "quartiles": [low, high], "limit": limit, "met": met}
            )
    finish(rows, reasons, judged, json_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
