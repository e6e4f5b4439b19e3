#!/usr/bin/env bash
# The controls of guidance.md: bash results/guidance.sh OUT SET ..., in a folder that holds data/ and weights/ (the sets and the
# MobileNetV3-Small of foundation.md). Stopped, it goes on where it was. 20 training pictures a class, 112 px, five seeds, two workers of one
# thread each; bicubic, single precision.
set -eu
out=${1:?name a folder for the studies}; shift
run() {
  foveate study run guidance-controls "$@" --weights weights/tf_mobilenetv3_small_100.safetensors --size 112 --jobs 2 --threads 1 \
    --set base.data.split.train_per_class=20 --set base.training.precision=fp32_channels_last
}
for set in "$@"; do
  case $set in
    potato2) run --data data/potato2 --out "$out/controls-potato2" ;;
    coffee5) run --data data/coffee5 --out "$out/controls-coffee5" ;;
    amazonbirds5) run --data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)' --out "$out/controls-amazonbirds5" ;;
    *) echo "no set named $set" >&2; exit 2 ;;
  esac
done
