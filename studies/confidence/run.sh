#!/usr/bin/env bash
# What fused features gain where maps say how sure they are, and where they are repaired by `dsap fuse` (docs/evidence.md).
# Every step resumes: run it again after an interruption. studies/tables/run.sh makes the dataset, the trunk, and the rows without.
#
#   make env && studies/confidence/run.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
jobs="${1:-2}" params="--params studies/confidence/params.yaml" all="artifacts/confidence"

# one folder of artifacts a way: `way NAME repair|keep SETTING…` trains its five seeds
way() {
    local name="$1" repair="$2" settings=()
    shift 2
    for setting in "$@"; do settings+=(--set "$setting"); done
    export DSA_ARTIFACTS="$all/$name"
    dsa-data prepare $params
    densepose-extract run $params "${settings[@]}" --jobs "$jobs"
    local maps="$all/$name/synthetic-tables/iuv.h5"
    if [ "$repair" = repair ]; then
        dsap fuse $params "${settings[@]}" --jobs "$jobs"
        maps="$all/$name/synthetic-tables/fused.h5"
    fi
    dsap build $params "${settings[@]}" --iuv "$maps" --jobs "$jobs"
    dsa-train ablation $params "${settings[@]}" --jobs "$jobs" --out "$all/$name.json"
}

sure=(extract.confidence=true warp.collision=surest)
way weighted keep "${sure[@]}" train.guidance.confidence=weight
way repaired-weighted repair "${sure[@]}" train.guidance.confidence=weight
way repaired repair
way weighted-90 keep "${sure[@]}" extract.errors.known=0.9 train.guidance.confidence=weight
way dropped keep "${sure[@]}" train.guidance.confidence=drop
