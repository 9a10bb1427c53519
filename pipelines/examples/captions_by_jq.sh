#!/bin/sh
# SPDX-License-Identifier: MIT
# Shards of COCO-style annotations, joined by jq: {"images": [{"id", "file_name"} ...], "annotations": [{"image_id", "caption"} ...]}
#
#	captions_by_jq.sh captions_train2017.json train2017 shards [options of dc-shard]
set -eu
[ $# -ge 3 ] || { echo "usage: captions_by_jq.sh ANNOTATIONS.json IMAGES OUT [options of dc-shard]" >&2; exit 2; }
json=$1 images=$2 out=$3; shift 3
jq -c '(.annotations | group_by(.image_id) | map({key: (.[0].image_id | tostring), value: map(.caption)}) | from_entries) as $of
    | .images[] | {path: .file_name, captions: ($of[.id | tostring] // [])}' "$json" |
    dc-shard --list - --format jsonl --root "$images" --out "$out" "$@"
