#!/usr/bin/env bash
# Here: put what came back from one call into runs/ and results/.
#   bash workflow/device/home.sh FILES_AT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for name in rows.tgz weights.tar; do
  ls "$1/$name".* > /dev/null 2>&1 || continue
  zip=; [ $name = weights.tar ] || zip=z
  cat "$1/$name".* | tar -x${zip}f -
  echo "unpacked $name"
done
