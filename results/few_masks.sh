#!/usr/bin/env bash
# Guidance from few masks, at several sizes, and under a total shortcut: bash results/few_masks.sh OUT STUDY-SET ..., in a folder that
# holds data/ and weights/ as guidance.sh has them. Stopped, it goes on where it was. 112 px, MobileNetV3-Small, single precision, two
# workers of one thread each. Trainings: budget 130 (ten seeds; 70 where masks are boxes, from which no others are learned), sizes 60,
# shortcut 50, of which 15 only fit a last layer (five seeds).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?name a folder for the studies}; shift
run() {
  foveate study run "$@" --weights weights/tf_mobilenetv3_small_100.safetensors --size 112 --jobs 2 --threads 1 \
    --set base.training.precision=fp32_channels_last
}
# About 200 training pictures, so that 50 masks are few.
budget() { run guidance-budget --data "data/$1" --out "$out/budget-$1" --set "base.data.split.train_per_class=$2" "${@:3}"; }
sizes() { run guidance-sizes --data "data/$1" --out "$out/sizes-$1" "${@:2}"; }
shortcut() {
  [ -f "$out/pictures-$1/pictures.csv" ] || python "$here/total_shortcut.py" "${@:2}" "$out/pictures-$1"
  run total-shortcut --data "$out/pictures-$1" --out "$out/shortcut-$1"
}
frames='base.data.layout.group=regex:(frame[0-9]+)'
for name in "$@"; do
  case $name in
    budget-potato2) budget potato2 100 ;;
    budget-coffee5) budget coffee5 50 ;;
    budget-amazonbirds5)
      arms=(--arm none)
      for masks in 10 50 all; do arms+=(--arm "$masks masks" --arm "$masks masks, placebo"); done
      budget amazonbirds5 40 --set "$frames" "${arms[@]}" ;;
    sizes-potato2) sizes potato2 ;;
    sizes-coffee5) sizes coffee5 ;;
    sizes-amazonbirds5) sizes amazonbirds5 --set "$frames" ;;
    shortcut-drawn) shortcut drawn drawn ;;
    shortcut-coffee5) shortcut coffee5 data/coffee5 data/scene15 ;;
    shortcut-potato2) shortcut potato2 data/potato2 data/scene15 ;;
    *) echo "no study named $name" >&2; exit 2 ;;
  esac
done
