# Hands a job to a guest, a machine or a container, and takes its results;
# sourced by the scripts that start one. guest/job is the other side.
# shellcheck shell=bash

# usage: prints the comment at the top of the script.
usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 125
}

# make_work NAME: a directory of this run, WORK, with the console's text in it.
make_work() {
    WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/$1.XXXXXX")
    touch "$WORK/console"
    mkdir -p "$WORK/in/.machine"
}

# broken WHAT: the guest, not the job, went wrong; shows what it said last.
broken() {
    printf 'error: %s; the end of its console:\n' "$1" >&2
    tr -cd "[:print:]\n" <"$WORK/console" | tail -n 40 | sed 's/^/    | /' >&2
    exit 125
}

# pack FILES COMMAND...: a tar of the files and the command, $WORK/files.
pack() {
    local files=$1
    shift
    printf '%q ' exec "$@" >"$WORK/in/.machine/command"
    tar -cf "$WORK/files" --owner=0 --group=0 -C "$files" . -C "$WORK/in" .machine
}

# unpack_results OUT: fills OUT from $WORK/out and exits as the job did.
unpack_results() {
    local out=$1 how status
    tar -xf "$WORK/out" -C "$WORK" exit 2>/dev/null || broken "the guest stopped without a result"
    read -r how status <"$WORK/exit"
    mkdir -p "$out"
    tar -xf "$WORK/out" --no-same-owner --strip-components=1 -C "$out" out
    case $how in
        exited) exit "$status" ;;
        killed | dumped) exit $((128 + $(kill -l "$status"))) ;;
        *) broken "the job could not be started" ;;
    esac
}
