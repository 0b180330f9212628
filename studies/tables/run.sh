#!/usr/bin/env bash
# The paper's tables on rendered people, with controls (docs/evidence.md). Every step resumes: run it again after an
# interruption. One dataset pre-trains the main stream, in place of ImageNet; another is for all the rest.
#
#   make env && studies/tables/run.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
jobs="${1:-2}"
pretrain="--params studies/tables/pretrain.yaml" tables="--params studies/tables/params.yaml"

dsa-data prepare $pretrain --jobs "$jobs" --overwrite
dsa-train run $pretrain --overwrite
dsa-data prepare $tables --jobs "$jobs" --overwrite
densepose-extract run $tables --jobs "$jobs" --overwrite
dsap build $tables --jobs "$jobs" --overwrite
dsa-train ablation $tables --jobs "$jobs" --out artifacts/synthetic-tables/tables.json
