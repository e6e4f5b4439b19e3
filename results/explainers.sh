#!/usr/bin/env bash
# bash results/explainers.sh OUT [LIMIT]: which explanation methods find the mark on the demo's insects.
# Trains the demo's two networks (unless OUT/demo holds them), measures every method against the mark, the one part that
# tells the species, and prints the tables of explainers.md.
set -euo pipefail
out=$1
limit=${2:-24}
# Sanity explains every picture about a dozen times more: the methods of one or few passes.
fast=cam,gradcam,gradcam++,xgradcam,hirescam,layercam,eigencam,eigengradcam,gradient,input_x_gradient
fast=$fast,deconvnet,guided_backprop,guided_gradcam,fullgrad,lrp,deeplift
foveate demo --out "$out/demo" >&2
for network in guided plain; do
    foveate look "$out/demo/$network" --methods all --masks "$out/demo/pictures/marks" --limit "$limit" \
        --metrics localisation,faithfulness --out "$out/$network-mark" >&2
done
foveate look "$out/demo/guided" --methods "$fast" --limit $((limit / 2)) --metrics sanity --out "$out/guided-sanity" >&2
python "$(dirname "$0")/explainers.py" "$out"
