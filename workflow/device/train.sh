#!/usr/bin/env bash
# On the lent machine: unpack the data, train and measure for so many minutes, four networks at a time, and pack up.
#   bash workflow/device/train.sh MINUTES [BLOCKS] [PROCESSES]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source workflow/device/places.sh
minutes=$1 blocks=${2:-g,h} processes=${3:-4}
[ -f "$ATLIB_DATA/cifar10.npz" ] || python3 workflow/device/unpack.py .gpu "$ATLIB_DATA/cifar10.npz"
python3 -m atlib.campaign bare --blocks "$blocks" --processes "$processes" --minutes "$minutes" || true
grep -h "images/s" "$ATLIB_RUNS"/*/*/job.log | sed 's/^/speed: /' || true
bash workflow/device/collect.sh
