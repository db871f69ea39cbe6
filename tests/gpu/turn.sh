#!/usr/bin/env bash
# What to do with a GPU that is lent for some minutes: check the CUDA path, go on with the study of
# profile gpu, and measure with what is left. The results come as files into the folder OUT, also
# where something fails; gpu.tar.xz of an earlier turn, if it is in OUT or named, is gone on with.
#
# Usage: tests/gpu/turn.sh OUT MINUTES [EARLIER.tar.xz]
# Environment: PYTHON (python3); STUDY, more arguments of the study, such as
#   "--out reports/small --set SIZE=32 WILD.clips=40" for a rehearsal; PARTS (check study bench);
#   BENCH_SECONDS, which the study leaves to bench (0: only what the study does not need).
set -uo pipefail
out=$(mkdir -p "$1" && realpath "$1")
minutes=$2
earlier=$(realpath "${3:-$out/gpu.tar.xz}")
python=${PYTHON:-python3}
parts=${PARTS:-check study bench}
report=$(grep -oP '(?<=--out )\S+' <<< "${STUDY:-}" || true)
cd "$(dirname "$0")/../.."

left() { echo $((60 * minutes - SECONDS)); }  # seconds
say() { echo "[$SECONDS s] $*"; }
failed=0

"$python" -c 'import platform, torch, torchvision, pandas
print("Python", platform.python_version(), "torch", torch.__version__, "torchvision", torchvision.__version__,
      "pandas", pandas.__version__)
print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU")'

if [[ $parts = *check* ]]; then
    say "checks"
    timeout 90 "$python" -m pytest -rs -p no:cacheprovider tests/gpu > "$out/checks.txt" 2>&1 || failed=1
    tail -n 15 "$out/checks.txt"
fi

if [[ $parts = *study* ]]; then
    [ -f "$earlier" ] && "$python" -m vaaffect unpack "$earlier" ${report:+--out "$report"}
    say "how many trainings at a time"
    jobs=1
    if timeout 90 "$python" tests/gpu/at_once.py > "$out/at_once.txt" 2>&1; then
        jobs=$(tail -n 1 "$out/at_once.txt")
    fi
    tail -n 8 "$out/at_once.txt"
    bench=0
    [[ $parts = *bench* ]] && bench=${BENCH_SECONDS:-0}
    # Half a minute to end a training's epoch, and to pack.
    for_study=$("$python" -c "print(max(0.5, ($(left) - 30 - $bench) / 60))")
    say "the study, $for_study minutes, $jobs at a time"
    # shellcheck disable=SC2086  # STUDY is several words
    "$python" -m vaaffect study --profile gpu --only trainings 03 06 07 --resume \
        --minutes "$for_study" --jobs "$jobs" ${STUDY:-} > "$out/study.txt" 2>&1
    code=$?
    tail -n 25 "$out/study.txt"
    [ $code = 0 ] || [ $code = 75 ] || failed=1
    "$python" -m vaaffect pack "$out/gpu.tar.xz" --profile gpu ${report:+--out "$report"} || failed=1
fi

if [[ $parts = *bench* ]]; then
    for what in train study; do
        seconds=$(($(left) - 15))
        [ $seconds -gt 30 ] || { say "no time is left for bench $what"; continue; }
        say "bench $what, at most $seconds seconds"
        timeout "$seconds" "$python" -m vaaffect bench $what --out "$out" > "$out/bench-$what.txt" 2>&1 || failed=1
        tail -n 12 "$out/bench-$what.txt"
    done
fi
say "done"
exit $failed
