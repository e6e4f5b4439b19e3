#!/usr/bin/env bash
# The studies of proxy_attention.md: bash results/proxy_attention.sh OUT STUDY ..., in a folder that holds data/ and weights/ (the sets and
# the MobileNetV3-Small of foundation.md). Stopped, it goes on where it was. Two workers of one thread each; single precision; bicubic.
# The published network, batches of 128 and constant 8e-5 are made for 10,000 pictures: here MobileNetV3-Small, batches of 16 and a cosine from 3e-4.
set -eu
out=${1:?name a folder for the studies}; shift
common=(--weights weights/tf_mobilenetv3_small_100.safetensors --jobs 2 --threads 1
  --set base.training.precision=fp32_channels_last --set base.training.batch_size=16 --set base.training.phases.0.restore_best=null)
# As published: a constant rate, under which many training pictures are still answered wrong when proxies are made.
published=(--size 112 --set base.data.augment.interpolation=bicubic)
small=(--size 160 --set base.training.phases.0.lr=3e-4 --set base.training.phases.0.schedule.kind=cosine --set base.data.augment.interpolation=bicubic)
birds=(--data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)')
run() { foveate study run "$@" "${common[@]}"; }

for study in "$@"; do
  case $study in
    schedules-coffee5) run proxy-schedules --data data/coffee5 "${small[@]}" --out "$out/schedules-coffee5" ;;
    published-amazonbirds5) run proxy-schedules "${birds[@]}" "${published[@]}" --out "$out/published-amazonbirds5" ;;
    published-coffee5) run proxy-schedules --data data/coffee5 "${published[@]}" --out "$out/published-coffee5" ;;
    published-pets37) run proxy-schedules --data data/pets37 "${published[@]}" --out "$out/published-pets37" ;;
    # All wrong pictures, early: kept to the end, or renewed at every other epoch.
    dose-amazonbirds5) run proxy-dose "${birds[@]}" "${published[@]}" --out "$out/dose-amazonbirds5" ;;
    # All wrong pictures, four times; beside the best two of the zoo and mixing fed by the explainer of the proxies.
    combined-amazonbirds5) run proxy-combined "${birds[@]}" "${published[@]}" --seeds 3 --out "$out/combined-amazonbirds5" ;;
    schedules-amazonbirds5) run proxy-schedules "${birds[@]}" "${small[@]}" --out "$out/schedules-amazonbirds5" ;;
    # 20 training pictures a class, 60 epochs; no validation pictures, the last epoch is kept.
    zoo) run augmentation-zoo "${birds[@]}" --size 112 --set base.data.split.train_per_class=20 --set base.data.split.test=0.3 \
      --set base.data.split.val=0 --set base.training.phases.0.epochs=60 --seeds 3 --out "$out/zoo" ;;
    *) echo "no study named $study" >&2; exit 2 ;;
  esac
done
