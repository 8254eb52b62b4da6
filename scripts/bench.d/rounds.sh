# Shared by the benchmarks; sourced, never run. From outside come $work, $root,
# $rounds and $runs, the arrays as_user and settings (more options of hyperfine),
# the table command, `run NAME WORD...`, which runs a command where it belongs,
# and `die`.
# shellcheck shell=bash

# crun and runc get a bundle of their own making; seven namespaces and one id, the
# caller's, like the rest. Where no ids are mapped crun has newuidmap map all that
# the caller may use, and one of the maps without the other is refused by some.
bundle() {
    local runtime=$1
    (cd "$work/bundle" && rm -f config.json && "${as_user[@]}" "$runtime" spec --rootless)
    python3 - "$work/bundle/config.json" "$work/bundle/$runtime.json" \
        "$("${as_user[@]}" id -u)" "$("${as_user[@]}" id -g)" <<'END'
import json, sys

path, wanted, uid, gid = sys.argv[1:]
with open(path) as made:
    config = json.load(made)
config["process"].update(terminal=False, args=["/bin/true"])
config["root"] = {"path": "rootfs", "readonly": False}
kinds = ("user", "pid", "mount", "uts", "ipc", "network", "cgroup")
config["linux"]["namespaces"] = [{"type": kind} for kind in kinds]
for field, caller in (("uidMappings", uid), ("gidMappings", gid)):
    config["linux"][field] = [{"containerID": 0, "hostID": int(caller), "size": 1}]
with open(wanted, "w") as file:
    json.dump(config, file)
END
    mkdir -p "$work/$runtime/rootfs"
    cp -a "$root/." "$work/$runtime/rootfs"
    mv "$work/bundle/$runtime.json" "$work/$runtime/config.json"
}

# measure NAME...: in every round a few runs of each, in an order drawn anew, to
# $work/results/ROUND.NAME.json; load_before and load_after say how busy it was.
measure() {
    local round name
    load_before=$(cut -d' ' -f1 /proc/loadavg)
    for ((round = 1; round <= rounds; round++)); do
        [[ -t 2 ]] && printf '\rround %d of %d' "$round" "$rounds" >&2
        for name in $(shuf -e "$@"); do
            run "$name" hyperfine -N --style none --warmup 2 --runs "$runs" "${settings[@]}" \
                --export-json "$work/results/$round.$name.json" "${command[$name]}" >/dev/null 2>&1 ||
                die "$name failed in round $round, having worked before: ${command[$name]}"
        done
    done
    [[ -t 2 ]] && printf '\r%20s\r' '' >&2
    load_after=$(cut -d' ' -f1 /proc/loadavg)
}
