#!/usr/bin/env bash
# Region pooling on rendered people, and on partly hidden ones (docs/evidence.md). Every step resumes: run it again after an
# interruption. The main stream starts from the trunk that studies/tables/run.sh trains first.
#
#   make env && studies/regions/rendered.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
jobs="${1:-2}" pretrain="--params studies/tables/pretrain.yaml"

dsa-data prepare $pretrain --jobs "$jobs"
dsa-train run $pretrain
for study in rendered guided occluded; do
    settings="--params studies/regions/$study.yaml"
    dsa-data prepare $settings --jobs "$jobs"
    densepose-extract run $settings --jobs "$jobs"
    dsap build $settings --jobs "$jobs"
    dsa-train ablation $settings --jobs "$jobs" --out "artifacts/regions_$study.json"
done
