#!/usr/bin/env bash
# The compose stack as a user would type it, on Debian 12 without an image registry: the committed state of this checkout is cloned, built
# and started by Debian's docker.io and docker-compose with a private engine in a temporary folder, and looked at from inside and outside.
#
#   containers.sh
#       BASE=FILE     tarball of a bare Debian 12, made there when it is absent (default: in the temporary folder)
#       IMAGES=DIR    keep the engine's images there for a next run (default: in the temporary folder)
# Needs root, port 8004 and, for the first build, about 3 GB and 5 minutes. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=BASE,IMAGES "$0" "$@"

PATH=/usr/sbin:/usr/bin:/sbin:/bin  # Debian's client: another one may lack a builder.
folder=$(mktemp -d /tmp/boardbus-containers.XXXXXX)
base=${BASE:-$folder/base.tar.gz}
images=${IMAGES:-$folder/images}
engine=
reason=
export DOCKER_HOST=unix://$folder/docker.sock DOCKER_CONFIG=$folder/client DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-1}
services=(advanced-app advanced-worker redis rabbitmq)
grace_seconds=15  # `stop_grace_period` in docker-compose.yml.

step() { printf '\n== %3d s  %s\n' "$SECONDS" "$*"; }
fail() {
    reason=$*
    exit 1
}
compose() { (cd "$folder/boardbus" && docker-compose -f docker-compose.yml -f deploy/trial/docker-compose.trial.yml "$@"); }
container() { compose ps -q "$1"; }
inspect() { docker inspect --format "$2" "$(container "$1")"; }
interfaces() { ls /sys/class/net; }

finish() {
    local status=$?
    trap - EXIT INT TERM
    set +e
    step "take down"
    if [ -n "$engine" ]; then
        if [ -d "$folder/boardbus" ] && kill -0 "$engine" 2>/dev/null; then
            [ $status = 0 ] || compose logs --no-color --tail 30
            compose down -v --remove-orphans || status=1
        fi
        step "stop the engine"
        kill "$engine"
        timeout 60 tail --pid="$engine" -f /dev/null || kill -9 "$engine"
        wait "$engine"
        [ $status = 0 ] || tail -n 20 "$folder/engine.log"
    fi
    step "see what is left"
    if pgrep -af "$folder"; then
        echo "still running: the above"
        status=1
    fi
    if [ "$(interfaces)" != "$interfaces_before" ]; then
        echo "network interfaces differ: $(interfaces | xargs)"
        status=1
    fi
    rm -rf --one-file-system "$folder" || status=1
    if [ $status = 0 ]; then
        echo "OK after $SECONDS s"
    else
        echo "FAILED after $SECONDS s: ${reason:-exit code $status}"
    fi
    exit $status
}
interfaces_before=$(interfaces)
trap finish EXIT
trap 'reason=${reason:-"line $LINENO: $BASH_COMMAND"}' ERR
trap 'exit 130' INT TERM

install_packages() {
    local missing=()
    [ -x /usr/sbin/dockerd ] || missing+=(docker.io)
    [ -x /usr/bin/docker-compose ] || missing+=(docker-compose)
    [ -e "$base" ] || [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
    [ ${#missing[@]} = 0 ] && return
    # Where services can start by themselves the package would start an engine of its own: not this trial's business.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

make_base() {
    [ -e "$base" ] && return
    "$here/deploy/trial/fresh_machine.sh" make "$folder/root" >"$folder/base.log" 2>&1 || fail "$(tail -n 5 "$folder/base.log")"
    chroot "$folder/root" apt-get clean
    tar --numeric-owner --xattrs -C "$folder/root" -c . | gzip -1 >"$base.part"
    mv "$base.part" "$base"
    rm -rf --one-file-system "$folder/root"
}

start_engine() {
    mkdir -p "$images" "$DOCKER_CONFIG"
    cat >"$folder/daemon.json" <<JSON
{"hosts": ["$DOCKER_HOST"], "data-root": "$images", "exec-root": "$folder/exec", "pidfile": "$folder/docker.pid",
 "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "storage-driver": "overlay2",
 "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 20000, "Hard": 20000}}}
JSON
    dockerd --config-file "$folder/daemon.json" >"$folder/engine.log" 2>&1 &
    engine=$!
    timeout 30 sh -c 'until docker version >/dev/null 2>&1; do sleep 0.2; done' || fail "the engine does not answer"
    docker version --format 'engine {{.Server.Version}}, client {{.Client.Version}}'
    docker-compose version --short
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 || docker import "$base" debian:bookworm-slim
}

wait_healthy() {
    local deadline=$((SECONDS + 120)) states
    while :; do
        states=$(compose ps -q | xargs docker inspect --format '{{.Name}} {{.State.Status}} {{.State.Health.Status}}')
        [ "$(grep -c ' running healthy$' <<<"$states")" = ${#services[@]} ] && break
        [ $SECONDS -lt $deadline ] || fail "not healthy after 120 s: $states"
        sleep 1
    done
    echo "$states"
}

# What the image and the compose file promise of a process of ours, read from the kernel.
look_at_process() {
    local service=$1 pid program status
    pid=$(inspect "$service" '{{.State.Pid}}')
    program=$(pgrep -P "$pid")  # `init: true`: ours is the only child of the container's first process.
    status=$(</proc/"$program"/status)
    grep -E '^(Name|Uid|Gid|CapEff|NoNewPrivs):' <<<"$status" | tr -s '\t\n' ' '
    echo
    grep -qP '^Uid:\t10001\t10001\t10001\t10001$' <<<"$status" || fail "$service: the user is not 10001"
    grep -qP '^CapEff:\t0+$' <<<"$status" || fail "$service: it has capabilities"
    grep -qP '^NoNewPrivs:\t1$' <<<"$status" || fail "$service: it may gain privileges"
    ! compose exec -T "$service" sh -c 'echo >/tmp/x' 2>/dev/null || fail "$service: the file system can be written"
}

# Health must be able to say no: without Redis the worker and the app are not ready, and they come back by themselves.
look_at_outage() {
    compose exec -T advanced-worker boardbus health --role worker
    compose stop redis
    timeout 15 bash -c 'while "$@" 2>/dev/null; do sleep 0.5; done' _ \
        docker exec "$(container advanced-worker)" boardbus health --role worker || fail "the worker says ready without Redis"
    compose exec -T advanced-worker boardbus health --role worker || true
    compose start redis
    compose exec -T advanced-worker boardbus health --role worker --wait 30
    compose exec -T advanced-app boardbus health --wait 30
}

look_at_stop() {
    local service begun=$SECONDS
    compose stop advanced-app advanced-worker
    echo "stopped within $((SECONDS - begun)) s of $grace_seconds s"
    [ $((SECONDS - begun)) -lt $grace_seconds ] || fail "the stop took the whole grace"
    for service in advanced-app advanced-worker; do
        echo "$service: $(inspect "$service" '{{.State.Status}}, exit code {{.State.ExitCode}}')"
        [ "$(inspect "$service" '{{.State.Status}} {{.State.ExitCode}}')" = "exited 0" ] || fail "$service did not stop well"
        docker logs "$(container "$service")" 2>&1 | tail -n 2
    done
}

step "packages"
install_packages
! (exec 3<>/dev/tcp/127.0.0.1/8004) 2>/dev/null || fail "port 8004 is taken"

step "base image"
make_base
start_engine

step "clone and check the compose files"
git clone -q "$here" "$folder/boardbus"
git -C "$folder/boardbus" log -1 --format='%h %s'
(cd "$folder/boardbus" && docker-compose -f docker-compose.yml config -q)
compose config -q

step "docker-compose up -d --build ${services[*]}"
compose up -d --build "${services[@]}" >"$folder/up.log" 2>&1 || fail "$(tail -n 40 "$folder/up.log")"
grep -E '^(Creating|Starting) .*done' "$folder/up.log" || tail -n 8 "$folder/up.log"
docker images --format '{{.Repository}} {{.Size}}' | sort -u

step "health"
wait_healthy

step "boardbus demo, inside the app's container"
compose exec -T advanced-app boardbus demo --url http://127.0.0.1:8004

if [ -x "$here/build/release/boardbus" ]; then
    step "boardbus demo, from the host"
    (cd "$folder" && "$here/build/release/boardbus" demo --url http://127.0.0.1:8004)
fi

step "user, capabilities, file system"
look_at_process advanced-app
look_at_process advanced-worker

step "Redis away and back"
look_at_outage
compose exec -T advanced-app boardbus demo

step "dead letters"
compose exec -T advanced-worker boardbus dlq list

step "SIGTERM"
look_at_stop
