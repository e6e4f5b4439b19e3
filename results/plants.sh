#!/usr/bin/env bash
# The studies of plants.md: bash results/plants.sh OUT STUDY [SEEDS [OPTION ...]], in a folder that holds data/plants8 and weights/. Stopped, it goes on
# where it was; with more seeds, it adds them. STUDY: scratch, tta, imbalance, final, backbones or extremes. 96 px, one thread, epochs
# shortened to what two cores allow.
set -eu
out=${1:?name a folder for the studies} seeds=${3:-3} more=("${@:4}")
run() { foveate study run "$@" "${more[@]}" --data data/plants8 --seeds "$seeds" --jobs 1 --threads 1 --set base.training.precision=fp32_channels_last; }
small=(--weights weights/tf_mobilenetv3_small_100.safetensors --size 96)
short=(--set base.training.phases.0.epochs=8 --set base.training.phases.0.views=4 --set base.training.phases.1.epochs=8)

case ${2:?name a study} in
scratch)
  run plants-from-scratch "${small[@]}" "${short[@]}" --out "$out/plants-scratch" \
    --set 'arms.three convolutions.training.phases.0.epochs=10' \
    --set 'arms.inception-like.training.phases.0.epochs=14' \
    --set 'arms.inception-like.training.phases.0.schedule={kind: one_cycle}'
  ;;
imbalance) # "plain" is the fine-tuned network of "scratch"; every arm trains the head, then everything
  run plants-imbalance "${small[@]}" "${short[@]}" --out "$out/plants-imbalance"
  ;;
tta) # the fine-tuned networks of "scratch", measured again
  run plants-tta "${small[@]}" "${short[@]}" --out "$out/plants-tta"
  ;;
final) # a quarter of the epochs: 4, 8 and 2, and half a cycle in 1.25
  stages=(--set base.training.phases.0.epochs=4 --set base.training.phases.1.epochs=8 --set base.training.phases.2.epochs=2)
  for k in 0 1 2; do stages+=(--set base.training.phases.$k.schedule.half_cycle_epochs=1.25); done
  stages+=(--set base.training.phases.1.schedule.offset_epochs=4 --set base.training.phases.2.schedule.offset_epochs=12)
  one='arms.head first, one cycle.training.phases'
  run plants-final "${small[@]}" "${stages[@]}" --out "$out/plants-final" \
    --set "$one.0.epochs=8" --set "$one.0.views=4" --set "$one.1.epochs=8"
  ;;
backbones)
  all=weights/tf_mobilenetv3_small_100.safetensors,weights/mobilenetv2_035.safetensors,weights/mobilenetv2_100.safetensors,weights/tf_efficientnet_lite0.safetensors
  foveate compare-backbones data/plants8 --size 96 --backbones "$all,foveate_small_cnn:none" --csv "$out/backbones.csv" --json "$out/backbones.json"
  ;;
extremes) # full fine-tuning of the first and the last pretrained network in rank
  first=weights/tf_efficientnet_lite0.safetensors last=weights/mobilenetv2_100.safetensors
  run plants-tta --weights $last --size 96 --out "$out/plants-extremes" --set "arms={mobilenetv2_100: {}, efficientnet_lite0: {model: {weights: $first}}}" \
    --set base.training.phases.0.epochs=4 --set base.training.phases.0.views=2 --set base.training.phases.1.epochs=4
  ;;
esac
