# Shared by the scripts beside it; sourced, never run.
# shellcheck shell=bash

# Files are made for other users to read (binaries for the tests' user, roots).
umask 022

# The tree that these scripts belong to.
TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What may be thrown away at any time, but is dear to make again.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sublet

# The ordinary user that tests run as, and that root's containers belong to.
TEST_USER=tester

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# die WHAT [HINT...]: ends the script, in the form that sublet itself uses.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local hint
    for hint in "$@"; do printf ' hint: %s\n' "$hint" >&2; done
    exit 1
}

# Runs a command as root, whoever calls.
as_root() {
    if [[ $EUID == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "root is needed for: $*" "run this script as root, or install sudo"
    fi
}

# as_user NAME COMMAND...: runs a command as that user, without a login.
as_user() {
    local user=$1
    shift
    if [[ $(id -un) == "$user" ]]; then
        "$@"
    elif [[ $EUID == 0 ]]; then
        runuser -u "$user" -- "$@"
    else
        sudo -u "$user" -- "$@"
    fi
}

# The ordinary user behind this call: the caller, who called sudo, or TEST_USER.
ordinary_user() {
    if [[ $EUID != 0 ]]; then
        id -un
    elif [[ -n ${SUDO_USER:-} && $SUDO_USER != root ]]; then
        echo "$SUDO_USER"
    else
        echo "$TEST_USER"
    fi
}

# Runs a command of the toolchain as the owner of the tree: under sudo the
# caller has the toolchain and must stay able to remove what was built.
as_builder() {
    if [[ $EUID == 0 && -n ${SUDO_USER:-} && $(stat -c %U "$TREE") == "$SUDO_USER" ]]; then
        sudo -u "$SUDO_USER" -H -- env "PATH=$PATH" "$@"
    else
        "$@"
    fi
}

# home_of USER
home_of() { getent passwd "$1" | cut -d: -f6; }

# Puts rustup's usual place on PATH: neither sudo nor cron has it there.
find_cargo() {
    local home
    for home in "$HOME" "$(home_of "${SUDO_USER:-$(id -un)}")"; do
        if [[ -x $home/.cargo/bin/cargo ]]; then
            PATH=$home/.cargo/bin:$PATH
            return
        fi
    done
}

# at_least A B: true if version A is at least B.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

# missing_packages NAME...: prints those of the packages that are not installed.
missing_packages() {
    # dpkg-query fails over names that it has never heard of, and tells of the rest.
    comm -23 <(printf '%s\n' "$@" | sort -u) \
        <({ dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
            awk '$1 == "installed" { print $2 }' | sort -u)
}

# install_packages NAME...: installs what is missing, and only that.
install_packages() {
    local missing
    command -v apt-get >/dev/null ||
        die "no apt-get here" "on other systems install what corresponds to: $*"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    # Somebody else may hold apt's lock on a machine that has just booted.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    as_root "${apt[@]}" update >/dev/null
    as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null
}

# Where Debian's packages come from: as this host's own apt is set up, if it is
# a Debian; else the public mirror. Same for the way there (proxy, retries).
debian_mirror() {
    local uri
    # shellcheck disable=SC2016 # apt's own variables
    uri=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    echo "${uri:-http://deb.debian.org/debian}"
}

# Prints the host's transport settings for apt, one option a line.
apt_transport() { apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' || true; }

# make_tree SUITE DIR MMDEBSTRAP-OPTION...: a minimal Debian, owned by root.
make_tree() {
    local suite=$1 dir=$2 option options=()
    shift 2
    while read -r option; do options+=("--aptopt=$option"); done < <(apt_transport)
    as_root mmdebstrap --quiet --mode=root --variant=minbase "${options[@]}" "$@" \
        "$suite" "$dir" "$(debian_mirror)"
}

# make_busybox DIR: a root filesystem of busybox and links to it.
make_busybox() {
    local root=$1 applet
    mkdir -p "$root"/{bin,dev,etc,home,proc,root,run,sbin,sys,tmp,usr/bin,usr/sbin,var/tmp}
    chmod 1777 "$root/tmp" "$root/var/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh user:x:1000:1000::/home:/bin/sh \
        nobody:x:65534:65534:nobody:/nonexistent:/bin/false >"$root/etc/passwd"
    printf '%s\n' root:x:0: tty:x:5: user:x:1000: nogroup:x:65534: >"$root/etc/group"
}

# built KIND NAME CARGO-ARG...: builds, and prints where cargo put the program.
built() {
    local kind=$1 name=$2
    shift 2
    (cd "$TREE" && as_builder cargo "$@" --message-format=json-render-diagnostics) |
        sed -n "s|.*\"kind\":\[\"$kind\"\].*\"name\":\"$name\".*\"executable\":\"\([^\"]*\)\".*|\1|p"
}

# musl_target: the target that release binaries are built for. Starting with
# musl costs half a millisecond less than with glibc (docs/performance.md).
musl_target() { as_builder rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1-unknown-linux-musl/p'; }

# has_musl: whether the toolchain can build for it.
has_musl() { [[ -d $(as_builder rustc --print sysroot)/lib/rustlib/$(musl_target)/lib ]]; }

# release_binary: builds sublet, and prints where it is. For musl if that is to
# be had, else for this host's own C library.
release_binary() {
    local target=()
    if has_musl; then
        target=(--target "$(musl_target)")
    else
        note "without musl, a start takes half a millisecond longer: rustup target add $(musl_target)" >&2
    fi
    built bin sublet build --release --bin sublet "${target[@]}"
}

# recipe_hash FILE...: names what is made from these files and nothing else.
recipe_hash() { cat "$@" | sha256sum | cut -c1-16; }

# cached KIND HASH MAKER: prints the path of CACHE/KIND-HASH, made by `MAKER PATH`
# if it is not there yet. Only one caller makes it, and half of it is never seen.
cached() {
    local kind=$1 maker=$3 path=$CACHE/$1-$2
    mkdir -p "$CACHE"
    (
        flock 9
        if [[ ! -d $path ]]; then
            as_root rm -rf "$path.part"
            mkdir "$path.part"
            "$maker" "$path.part" >&2
            mv "$path.part" "$path"
        fi
        touch "$path"
        # Other recipes' results, unless somebody still works with them.
        find "$CACHE" -maxdepth 1 -name "$kind-*" -mtime +14 -exec rm -rf {} +
    ) 9>"$CACHE/$kind.lock"
    echo "$path"
}
