#!/usr/bin/env bash
# Proposed masks beside known ones: DATA=<folder of sets> WEIGHTS=<folder of weights> bash results/masks.sh OUT > tables.md
set -euo pipefail
out=${1:?name a folder for runs and masks}
for name in ph2 wbc1 potato2; do
  foveate train "$DATA/$name" --out "$out/runs/$name" --weights "$WEIGHTS/tf_mobilenetv3_small_100.safetensors" --size 128 \
    --seed 0 --quarantine --epochs 8 >&2
done
python results/masks.py "$DATA" "$out/runs" "$out/masks"
foveate masks propose "$DATA/amazonbirds5" --prior box --limit 40 --out "$out/masks/amazonbirds5" >&2
