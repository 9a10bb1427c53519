# SPDX-License-Identifier: MIT
# Sourced by tests/classify.t and tests/search.t after lib.sh: 12 photos in photos/, a model of random weights in model/,
# another in other/, and the photos' features in photos.dcs, from a tar.
# shellcheck shell=sh
PATH=$top/pipelines:$PATH
cat >tiny.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
{ dc-scenes --out . --train 12 --test 1 --zero-shot 0 --size 48 &&
	dc-decode --captions all --keep-encoded train-000.tar | dc-vocab --merges 100 --out bpe.txt.gz &&
	dc-init --arch tiny.json --method clip --vocab bpe.txt.gz --seed 1 --model model &&
	dc-init --arch tiny.json --method clip --vocab bpe.txt.gz --seed 2 --model other &&
	mkdir photos && tar -xf train-000.tar -C photos && rm photos/*.txt &&
	dc-decode --tail short train-000.tar | dc-augment --recipe eval --model model | dc-encode --model model >photos.dcs
} >out 2>err || { cat err >&2; exit 99; }
