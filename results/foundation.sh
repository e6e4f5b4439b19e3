#!/usr/bin/env bash
# One ordinary training run on each of nine real sets: DATA=<folder of sets> WEIGHTS=<folder of weights> bash results/foundation.sh OUT
# Every run uses the default recipe: head on stored features of the frozen backbone, then everything, one cycle. Augmented bilinearly, as
# it was recorded; the recipe has become bicubic since (see plants.md).
set -uo pipefail
out=${1:?name a folder for the runs}
mobilenet=$WEIGHTS/tf_mobilenetv3_small_100.safetensors
train() { # set, further flags
  set_name=$1
  shift
  foveate train "$DATA/$set_name" --out "$out/$set_name" --weights "$mobilenet" --seed 0 --set data.augment.interpolation=bilinear "$@" || exit 1
}
train ph2 --size 160
train wbc1 --size 160 --quarantine
train cub10 --size 160 --quarantine
train potato2 --size 160
train amazonbirds5 --size 160 --group 'regex:(frame\d+)'
train pets37 --size 160
train plants8 --size 96
train flowers17 --size 160
train scene15 --size 160 --quarantine
