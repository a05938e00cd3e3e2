#!/usr/bin/env bash
# On the lent machine: put into $OUT all rows and records, and the weights of the next networks that haven't gone yet.
# At most 8 files of 16 MiB and 64 MiB together come back from a call; a network of width 64 has 22 MB.
#   bash workflow/device/collect.sh [NETWORKS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source workflow/device/places.sh
networks=${1:-2} part=$((15 << 20))
touch "$here/sent"
(cd "$here" && find results runs -name '*.tmp' -prune -o -type f \
  \( -path 'results/*' -o -name '*.json' -o -name '*.csv' -o -name '*.npz' -o -name job.log \) ! -path '*/.campaign/*' -print0 |
  tar --null -T - -czf - | split -b $part - "$OUT/rows.tgz.")
# in the order in which they were trained, so the grid's
next=$(cd "$here" && ls -tr runs/*/*/training.json 2>/dev/null | xargs -r -n1 dirname | sed 's|$|/weights.safetensors|' |
  grep -vxF -f sent | head -n "$networks" || true)
if [ -n "$next" ]; then
  (cd "$here" && tar -cf - $next) | split -b $part - "$OUT/weights.tar."
  echo "$next" >> "$here/sent"
fi
echo "sent: rows, and the weights of ${next:-no network}"
echo "left to send: $(cd "$here" && ls runs/*/*/weights.safetensors 2>/dev/null | grep -cvxF -f sent || true) networks"
