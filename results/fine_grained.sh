#!/usr/bin/env bash
# The study of fine_grained.md: bash results/fine_grained.sh OUT SET ..., in a folder that holds data/ and weights/ (the sets and the
# MobileNetV3-Small of foundation.md). Stopped, it goes on where it was. Two workers of one thread each; 160 px; single precision.
set -eu
out=${1:?name a folder for the studies}; shift
run() {
  foveate study run fine-grained-compare "$@" --weights weights/tf_mobilenetv3_small_100.safetensors --size 160 --jobs 2 --threads 1 \
    --set base.training.precision=fp32_channels_last
}
for set in "$@"; do
  case $set in
    amazonbirds5) run --data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)' --set base.data.split.train_per_class=20 --out "$out/compare-amazonbirds5" ;;
    cub10) # FBSD at its full width takes a quarter of an hour a training
      arms=()
      for arm in plain "plain, three times the epochs" "FBSD, a quarter as wide" MMAL CAL "dropout 0.5" "label smoothing" \
        "weight decay 5e-3" "bilinear pooling" attention "shuffled tiles" ArcFace; do arms+=(--arm "$arm"); done
      run --data data/cub10 --quarantine --set base.data.split.train_per_class=10 --out "$out/compare-cub10" "${arms[@]}" ;;
    *) echo "no set named $set" >&2; exit 2 ;;
  esac
done
