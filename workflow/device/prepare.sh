#!/usr/bin/env bash
# Ten minutes of a lent GPU (the device tool): block g, then h, with CIFAR-10 carried as the parts that
# ../shared/data/cifar10 has. This script makes the working tree small enough to travel. It runs here, before any call:
#
#   bash workflow/device/prepare.sh          # and afterwards: git checkout notebooks models results
#
#   call 1, carry .gpu/a, 60 s:              ls .gpu/a | wc -l; nvidia-smi
#   call 2, at once, carry .gpu/b, 570 s:    bash workflow/device/train.sh 8.5
#   while the machine is warm, 60 s each:    bash workflow/device/collect.sh        (two more networks' weights a call)
#   then give_back, and for each call here:  bash workflow/device/home.sh FILES_AT
#
# A machine goes back after 30 s of idling, and all calls together have 15 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=${1:-../shared/data}
# also what git doesn't know yet: below, folders are emptied that `git checkout` fills again
[ -z "$(git status --porcelain)" ] || { echo "error: commit first: rows of uncommitted code aren't published"; exit 1; }
exclude=$(git rev-parse --git-path info/exclude)
grep -qx '/.gpu/' "$exclude" 2>/dev/null || echo '/.gpu/' >> "$exclude"
rm -rf .gpu && mkdir -p .gpu/a .gpu/b
for part in "$data"/cifar10/*; do
  case $(basename "$part") in
    train-0[0-5]?.webp | train-06[0-4].webp) cp "$part" .gpu/a/ ;;
    *) cp "$part" .gpu/b/ ;;
  esac
done
git rev-parse HEAD > .gpu/b/commit # .git doesn't travel
rm -rf notebooks models
find results -type f ! -name '*.json' -delete
mib=$((1 << 20))
tree=$(git ls-files -z | xargs -0 -I{} sh -c '[ ! -f "{}" ] || stat -c %s "{}"' | awk '{ sum += $1 } END { print sum + 0 }')
for half in a b; do
  bytes=$((tree + $(find .gpu/$half -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')))
  echo "call with .gpu/$half: $((bytes / mib)) MiB of 64"
  [ $bytes -lt $((64 * mib)) ] || { echo "error: too much to travel"; exit 1; }
done
