#!/usr/bin/env bash
# A fresh Debian 12 in a folder, and commands in it: what the README promises, seen from a machine that has nothing.
#
#   fresh_machine.sh make ROOT         debootstrap a minimal Debian 12 with git
#   fresh_machine.sh run ROOT CMD...   run CMD in it (a private mount namespace; it shares the network of this machine)
#   fresh_machine.sh trial ROOT        clone this checkout into it, then `./dev run` and `./dev test`
# Needs root. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
self=$(readlink -f "$0")

make() {
    local root=$1
    sources() { apt-get indextargets --format "\$(RELEASE) \$(REPO_URI) \$(COMPONENT)" 'Created-By: Packages' | sort -u; }
    debootstrap --variant=minbase bookworm "$root" "$(sources | awk '$1=="bookworm"{print $2; exit}')"
    sources | awk '{print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "$2" "$1" "$3}' \
        >"$root/etc/apt/sources.list"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
    # For a network with its own certificate authority.
    cp -r /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null || true
    cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    run "$root" bash -c 'apt-get update -q && apt-get install -y -q --no-install-recommends git ca-certificates'
}

run() {
    local root=$1
    shift
    unshare --mount --propagation private bash -c 'set -eu; root=$1; shift
        mount -t proc proc "$root/proc"; mount -t sysfs -o ro sysfs "$root/sys"; mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=755 tmpfs "$root/run"; mkdir -p "$root/run/lock"
        exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb "$@"' \
        _ "$root" "$@"
}

trial() {
    local root=$1
    rm -rf "$root/root/boardbus"
    git clone -q "$here" "$root/root/boardbus"
    echo "--- ./dev run, stopped by Ctrl-C after its demo message"
    run "$root" bash -c 'cd /root/boardbus && ADVANCED_APP_PORT=18004 timeout --foreground -s INT -k 30 900 bash -c "
        set -m; ./dev run > /tmp/run.log 2>&1 & run=\$!
        until grep -q \"Ctrl-C stops\" /tmp/run.log; do kill -0 \$run || break; sleep 1; done
        kill -INT -- -\$run; wait \$run; echo \"exit code \$?\" >> /tmp/run.log"; cat /tmp/run.log'
    echo "--- ./dev test"
    run "$root" bash -c 'cd /root/boardbus && ./dev test'
}

command=${1:?make, run or trial}
[ "$(id -u)" = 0 ] || exec sudo "$self" "$@"
shift
"$command" "$@"
