#!/usr/bin/env bash
# The studies of learn2look.md on finer maps: bash results/learn2look.sh OUT STUDY-SET ..., in a folder that holds data/ and weights/ (the
# sets and networks of foundation.md). Stopped, it goes on where it was. 160 px (ph2: 224), bicubic, single precision, five seeds, two
# workers of one thread each; 20 training pictures a class where there are enough.
set -eu
out=${1:?name a folder for the studies}; shift
run() {
  foveate study run "$@" --weights weights --jobs 2 --threads 1 --set base.training.precision=fp32_channels_last --out "$out/l2l-$name"
}
for name in "$@"; do
  case ${name#*-} in
    amazonbirds5) data=(--data data/amazonbirds5 --set 'base.data.layout.group=regex:(frame[0-9]+)' --set base.data.split.train_per_class=20 --size 160) ;;
    coffee5) data=(--data data/coffee5 --set base.data.split.train_per_class=20 --size 160) ;;
    ph2) data=(--data data/ph2 --size 224) ;;
    *) echo "no set named ${name#*-}" >&2; exit 2 ;;
  esac
  case ${name%%-*} in
    weights | taps | optimizers) run "learn2look-${name%%-*}" "${data[@]}" ;;
    wishes) run learn2look-future "${data[@]}" --block MobileNetV3-Small ;;
    lite0) run learn2look-future "${data[@]}" --block "another architecture" ;;
    scratch) run learn2look-future "${data[@]}" --block "from scratch" ;;
    *) echo "no study named ${name%%-*}" >&2; exit 2 ;;
  esac
done
