# Sourced: where things are on the lent machine. They stay between calls as long as it is warm.
here=${ATLIB_DEVICE:-/tmp/atlib}
export ATLIB_DATA=$here/data ATLIB_RUNS=$here/runs ATLIB_RESULTS=$here/results
mkdir -p "$ATLIB_DATA" "$ATLIB_RUNS" "$ATLIB_RESULTS"
[ ! -f .gpu/b/commit ] || export ATLIB_COMMIT=$(cat .gpu/b/commit)
export PYTHONPATH=$PWD
