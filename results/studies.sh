#!/usr/bin/env bash
# bash results/studies.sh OUT: the studies of learn2look.md and guidance.md. Needs data/ and weights/ in this folder (the sets and
# the weights that foundation.md names). Stopped, it goes on where it was. Two cores: about two hours.
set -eu
out=$1
common=(--weights weights/tf_mobilenetv3_small_100.safetensors --size 112 --jobs 2)
birds=(--data data/amazonbirds5 --set "base.data.layout.group=regex:(frame[0-9]+)")
run() { foveate study run "$@" "${common[@]}"; }
