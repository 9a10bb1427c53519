#!/bin/sh
# SPDX-License-Identifier: MIT
# However a batch is divided into parts, and whatever of its activations is kept: the gradient of the whole batch, to 1e-6 of
# its length, for every method; and what goes to the loss is the same bytes (not with the AVX2 kernels of OpenBLAS).
. "${0%/*}/lib.sh"
need_python
cat >vit.json <<'END'
{"embed_dim": 48, "vision_cfg": {"image_size": 32, "layers": 2, "width": 96, "head_width": 32, "patch_size": 8},
 "text_cfg": {"context_length": 20, "vocab_size": 600, "width": 96, "heads": 3, "layers": 2}}
END
{
	dc-scenes --out scenes --train 60 --test 1 --zero-shot 1 --shard 60 --size 32 &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz
} >out 2>err
ok $? 'a vocabulary'
for method in clip slip filip declip defilip siglip; do
	dc-init --arch ./vit.json --vocab vocab.gz --method $method --simsiam-width 64 --simsiam-hidden 32 --simclr-hidden 64 \
		--simclr-width 32 --filip-width 32 --queue 200 --nns-after 10 --out "begun-$method" >out 2>err
	ok $? "$method"
	PYTHONPATH=$top/tests/reference "$PYTHON" "$top/tests/reference/gradient_parts.py" "begun-$method" $method >rows 2>err
	ok $? "$method, divided"
	while read -r line; do
		case $line in
		'ok '*) ok 0 "${line#ok * - }" ;;
		'not ok '*) echo "$line" >err; ok 1 "${line#not ok * - }" ;;
		esac
	done <rows
done

# the same products by OpenBLAS, where oneDNN makes them
ONEDNN_MAX_CPU_ISA=AVX2 "$DC_BIN/test_lanes" >out 2>err
ok $? 'lanes and rows without oneDNN'
done_testing
