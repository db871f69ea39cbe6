#!/usr/bin/env bash
# The cluster test on a real SLURM of one node: starts it, runs check.py, stops it, whatever happens.
# Everything lies in a temporary folder and listens on 127.0.0.1; SLURM of the machine is not touched.
# Usage: tests/slurm/run.sh PYTHON [LOG]
set -euo pipefail
python=$(realpath -s "$1")
log=${2:-}
cd "$(dirname "$0")/../.."

fail() { echo "make test-slurm: $*" >&2; exit 1; }

if ! command -v slurmctld slurmd munged > /dev/null; then
    command -v apt-get > /dev/null || fail "SLURM is missing and there is no apt-get; install slurmctld, slurmd and munge."
    [ "$(id -u)" = 0 ] || fail "SLURM is missing; run as root, or first: sudo apt-get install slurm-wlm munge"
    echo "Installing slurm-wlm and munge."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } \
        > /dev/null || fail "apt-get could not install slurm-wlm and munge."
fi
[ "$(id -u)" = 0 ] || fail "the daemons of the test need root."
"$python" -c 'import submitit' 2> /dev/null || "$python" -m pip install --quiet 'submitit>=1.5' \
    || fail "the package submitit could not be installed."

folder=$(mktemp -d /tmp/vaaffect-slurm-XXXXXX)
mkdir "$folder"/{munge,state,spool,shared}
chmod 755 "$folder" "$folder/munge"
# A zombie has ended; in a container nobody may come to fetch it.
running() { [ -s "$1" ] && ps -o stat= -p "$(cat "$1")" | grep -qv '^Z'; }
stop() {
    status=$?
    trap - EXIT INT TERM
    scancel --user=root 2> /dev/null || true
    for daemon in slurmd slurmctld munge/munged; do
        pid=$folder/$daemon.pid
        running "$pid" && kill "$(cat "$pid")"
        for _ in $(seq 50); do running "$pid" || break; sleep 0.2; done
        running "$pid" && kill -9 "$(cat "$pid")"
    done
    [ $status = 0 ] || tail -n 20 "$folder"/*.log >&2 || true
    rm -rf "$folder"
    exit $status
}
trap stop EXIT
trap 'exit 130' INT TERM

export SLURM_CONF=$folder/slurm.conf
base=$((20000 + RANDOM % 10000))
sed -e "s|@FOLDER@|$folder|; s|@CTLD@|$base|; s|@D@|$((base + 1))|; s|@CPUS@|$(nproc)|" \
    tests/slurm/slurm.conf > "$SLURM_CONF"
dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
chmod 600 "$folder/munge/key"
munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/munged.log" \
    --seed-file="$folder/munge/seed" 2> /dev/null
slurmctld 2> "$folder/start.log"
slurmd -N localhost 2>> "$folder/start.log"
for _ in $(seq 100); do
    [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] && break
    sleep 0.2
done
[ "$(sinfo --noheader --format=%T)" = idle ] || fail "the node did not come up."

PYTHONPATH=$PWD "$python" tests/slurm/check.py "$folder/shared" | tee "$folder/passed.txt"
if [ -n "$log" ]; then cp "$folder/passed.txt" "$log"; fi
