#!/usr/bin/env bash
# Use 1, the command line: prune, look, draw, export. Everything below is about a run's folder.
# examples/command_line.sh [FOLDER]; `tfimp run` without any option is the full-sized version of this.
set -euo pipefail
run=${1:-runs/example}

tfimp run --preset photos --set prune.rounds=3 --set train.steps=100 --no-figures --out "$run"

tfimp show "$run"
tfimp show "$run" --json > "$run.json"
tfimp plot "$run" --figure receptive-field-masks --out "$run-figures"
tfimp export "$run" --round last --ticket --out "$run-networks"
tfimp verify "$run"
