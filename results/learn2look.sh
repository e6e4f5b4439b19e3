#!/usr/bin/env bash
# The studies of learn2look.md on finer maps: bash results/learn2look.sh OUT STUDY-SET ..., in a folder that holds data/ and weights/ (the
# sets and networks of foundation.md). Stopped, it goes on where it was. 160 px (ph2: 224), bicubic, single precision, five seeds, two
# workers of one thread each; 20 training pictures a class where there are enough. Trainings: finer 60 (ph2 40), wishes 65; lite0 and scratch 15
# (five of their thirteen arms, three seeds: they take several times as long).
set -eu
out=${1:?name a folder for the studies}; shift
run() {
  foveate study run "$@" --weights "weights/$weights.safetensors" --jobs 2 --threads 1 --set base.training.precision=fp32_channels_last --out "$out/l2l-$name"
}
few=(--seeds 3)
for arm in "weight 0" "weight 1" "weight 5" "share 0.2" "1, soft IoU"; do few+=(--arm "$arm"); done
for name in "$@"; do
  weights=tf_mobilenetv3_small_100 arms=()  # the report's own
  case ${name#*-} in
    amazonbirds5) data=(--data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)' --set base.data.split.train_per_class=20 --size 160) ;;
    coffee5) data=(--data data/coffee5 --set base.data.split.train_per_class=20 --size 160) ;;
    ph2)  # 224 px take twice as long: without the arms of Adam
      data=(--data data/ph2 --size 224)
      for arm in "weight "{0.1,0.5,1,5} {middle,late}" 0.5" "1, maximum over channels"; do arms+=(--arm "$arm"); done ;;
    *) echo "no set named ${name#*-}" >&2; exit 2 ;;
  esac
  case ${name%%-*} in
    finer) run learn2look-finer "${data[@]}" "${arms[@]}" --set keep_weights=true ;;  # learn2look_maps.py draws their maps
    wishes) run learn2look-future "${data[@]}" --block MobileNetV3-Small ;;
    lite0) weights=tf_efficientnet_lite0; run learn2look-future "${data[@]}" --block "another architecture" "${few[@]}" ;;
    scratch) run learn2look-future "${data[@]}" --block "from scratch" "${few[@]}" ;;
    *) echo "no study named ${name%%-*}" >&2; exit 2 ;;
  esac
done
