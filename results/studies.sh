#!/usr/bin/env bash
# The studies of learn2look.md and guidance.md: bash results/studies.sh OUT, in a folder that holds data/ and weights/ (the sets and
# the MobileNetV3-Small of foundation.md). Stopped, it goes on where it was. 112 px, two workers of one thread each.
set -eu
out=${1:?name a folder for the studies}
# Bilinear, as they were recorded; the recipes have become bicubic since (see plants.md).
common=(--weights weights/tf_mobilenetv3_small_100.safetensors --size 112 --jobs 2 --threads 1 --set base.data.augment.interpolation=bilinear)
birds=(--data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)')
fifty=(--set base.data.split.train_per_class=50)
twenty=(--block "20 a class")
fixed=(--set base.training.precision=fp32_channels_last)
run() { foveate study run "$@" "${common[@]}"; }

run learn2look-weights --data data/ph2 --out "$out/weights-ph2"
run learn2look-weights --data data/potato2 "${fifty[@]}" --out "$out/weights-potato2"
run learn2look-weights --data data/wbc1 --quarantine --out "$out/weights-wbc1"
run learn2look-weights "${birds[@]}" --set base.data.split.train_per_class=20 --out "$out/weights-amazonbirds5"
run learn2look-taps --data data/potato2 "${fifty[@]}" --out "$out/taps-potato2"
run learn2look-taps --data data/ph2 --out "$out/taps-ph2"
run learn2look-taps --data data/wbc1 --quarantine --set base.training.precision=fp32_channels_last --out "$out/taps-wbc1"
run learn2look-second-set "${birds[@]}" --set base.data.split.train_per_class=20 --out "$out/second-amazonbirds5"
run learn2look-future --data data/potato2 "${fifty[@]}" --block MobileNetV3-Small --out "$out/future-potato2"

run guidance-all --data data/potato2 "${twenty[@]}" --out "$out/guidance-potato2"
run guidance-all "${birds[@]}" "${twenty[@]}" "${fixed[@]}" --arm backgrounds+class-map --out "$out/guidance-amazonbirds5"
run guidance-all --data data/potato2 "${twenty[@]}" "${fixed[@]}" --arm backgrounds+class-map --seeds 10 --out "$out/guidance-potato2-ten"
run guidance-all --data data/potato2 "${fixed[@]}" --arm backgrounds+class-map --block "10 a class" --block "50 a class" --seeds 2 --out "$out/guidance-potato2-sizes"
