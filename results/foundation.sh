#!/usr/bin/env bash
# One ordinary training run on each of ten real sets: bash results/foundation.sh OUT [SET ...], in a folder that holds data/ (the sets) and
# weights/. Stopped, it goes on where it was. The default recipe: head on stored features of the frozen backbone, then everything, one
# cycle; single precision and one thread, so that another machine with the same processor gives the same figures.
set -eu
out=${1:?name a folder for the runs}; shift
[ $# -gt 0 ] || set -- ph2 wbc1 cub10 potato2 coffee5 amazonbirds5 pets37 plants8 flowers17 scene15
export OMP_NUM_THREADS=1
for name in "$@"; do
  flags=(--size 160)
  case $name in
    wbc1 | cub10 | scene15) flags+=(--quarantine) ;;
    amazonbirds5) flags+=(--group 'regex:(frame\d+)') ;;
    plants8) flags=(--size 96) ;;
  esac
  [ -f "$out/$name/result.json" ] || foveate train "data/$name" --out "$out/$name" --weights weights/tf_mobilenetv3_small_100.safetensors \
    --seed 0 --set training.precision=fp32_channels_last "${flags[@]}"
done
