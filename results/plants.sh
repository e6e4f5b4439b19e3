#!/usr/bin/env bash
# The studies of plants.md: bash results/plants.sh OUT STUDY, in a folder that holds data/plants8 and weights/. Stopped, it goes on where it
# was. STUDY: scratch, tta, imbalance, backbones or extremes. 96 px, one thread, epochs shortened to what two slow cores allow.
set -eu
out=${1:?name a folder for the studies}
run() { foveate study run "$@" --data data/plants8 --seeds 3 --threads 1 --set base.training.precision=fp32_channels_last; }
small=(--weights weights/tf_mobilenetv3_small_100.safetensors --size 96)
short=(--set base.training.phases.0.epochs=8 --set base.training.phases.0.views=4 --set base.training.phases.1.epochs=5)

case ${2:?name a study} in
scratch)
  run plants-from-scratch "${small[@]}" "${short[@]}" --out "$out/plants-scratch" \
    --set 'arms.three convolutions.training.phases.0.epochs=6' \
    --set 'arms.inception-like.training.phases.0.epochs=5' \
    --set 'arms.inception-like.training.phases.0.schedule={schedule: one_cycle}'
  ;;
imbalance) # the head on a frozen, smaller network at 64 px, so that seven arms fit; mixing arms see new mixtures every epoch
  run plants-imbalance --weights weights/mobilenetv2_035.safetensors --size 64 --out "$out/plants-imbalance" \
    --set 'base.training.phases=[{name: head, epochs: 6, trainable: head, lr: 0.002, views: 6, schedule: cosine, restore_best: val_accuracy}]'
  ;;
tta) # the networks of "scratch", measured again
  run plants-tta "${small[@]}" "${short[@]}" --out "$out/plants-tta"
  ;;
backbones)
  all=weights/tf_mobilenetv3_small_100.safetensors,weights/mobilenetv2_035.safetensors,weights/mobilenetv2_100.safetensors,weights/tf_efficientnet_lite0.safetensors
  foveate compare-backbones data/plants8 --size 96 --backbones "$all,foveate_small_cnn:none" --csv "$out/backbones.csv" --json "$out/backbones.json"
  ;;
extremes) # full fine-tuning of the first and the last in rank
  first=weights/tf_efficientnet_lite0.safetensors last=weights/mobilenetv2_035.safetensors
  run plants-tta --weights $last --size 96 --out "$out/plants-extremes" --set "arms={mobilenetv2_035: {}, efficientnet_lite0: {model: {weights: $first}}}" \
    --set base.training.phases.0.epochs=4 --set base.training.phases.0.views=1 --set base.training.phases.1.epochs=2
  ;;
esac
