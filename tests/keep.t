#!/bin/sh
# SPDX-License-Identifier: MIT
# A limit on the activations that are kept, and blocks computed again: every method trains to the same bytes.
. "${0%/*}/lib.sh"
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
mkdir "$DC_SHM_DIR"
cat >vit.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}}
END
cat >resnet.json <<'END'
{"embed_dim": 24, "vision_cfg": {"image_size": 32, "layers": [1, 2, 1, 1], "width": 4, "patch_size": null, "head_width": 32},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 1}}
END
{
	dc-scenes --out scenes --train 140 --test 1 --zero-shot 1 --shard 140 --size 32 &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz
} >out 2>err
ok $? 'shards and a vocabulary'

ring() { # ring RUN OPTION...: two steps of 70, which is a part of 64 and one of 6
	d=$1; shift
	cp -r "$begun" "$d" &&
		timeout -s KILL 300 "$top/pipelines/train.sh" -v --run "$d" --data "$tmp/scenes/train-000.tar" --vocab vocab.gz --queue 40 \
			--nns-after 30 --batch 70 --shuffle 1 --threads 2 --steps 2 --warmup 1 --lr 2e-3 $options "$@" >rows 2>err </dev/null
}
twice() { sed -n "s/^dc-encode: \([0-9]*\) of the last batch's \([0-9]*\) parts computed twice\$/\1 \2/p" err; }
same() { # same NAME INIT-OPTION...: a run with everything kept, and the others against it
	name=$1 begun=begun-$1; shift
	dc-init --vocab vocab.gz --queue 40 --nns-after 30 --simsiam-width 32 --simsiam-hidden 16 --simclr-hidden 64 --simclr-width 16 \
		--filip-width 16 --out "$begun" "$@" 2>err >out && ring "$name" && [ -z "$(twice)" ]
	ok $? "$name: everything is kept where there is room"
	ring "$name-0" --keep-activations 0 && cp err said && diff -r "$name/latest/" "$name-0/latest/" >err; ok $? "$name: nothing kept, the same bytes"
	mv said err
	# shellcheck disable=SC2046
	set -- $(twice)
	[ $# = 2 ] && [ "$1" -gt 3 ] && [ "$1" = "$2" ]; ok $? "$name: everything was computed twice"
}
for method in clip slip filip declip defilip siglip; do
	options="--arch vit.json --method $method"
	# shellcheck disable=SC2086
	same $method $options
done
for method in declip filip; do
	options="--arch vit.json --method $method --as released"
	# shellcheck disable=SC2086
	same $method-released $options
	ring $method-blocks --recompute --keep-activations 1 && diff -r $method-released/latest/ $method-blocks/latest/ >err
	ok $? "$method-released: blocks computed again, the same bytes"
done
options='--arch resnet.json --method declip --part 30' # of several frames, and of one
# shellcheck disable=SC2086
same resnet $options
options='--arch resnet.json --method clip --freeze bn'
# shellcheck disable=SC2086
same resnet-fixed $options
begun=begun-clip options='--arch vit.json --method clip'
ring clip-changed --steps 1 --keep-activations 3 && [ ! -e clip-changed/step-00000002 ]; ok $? 'a run begun with a limit'
mkdir ahead && ln -s "$DC_BIN"/dc-* ahead/ && rm ahead/dc-encode && printf '#!/bin/sh\nexec "%s/dc-encode" --read-ahead 0 "$@"\n' "$DC_BIN" >ahead/dc-encode
chmod +x ahead/dc-encode
(DC_BIN=$tmp/ahead; export DC_BIN; ring clip-ahead) && diff -r clip/latest/ clip-ahead/latest/ >err; ok $? 'a batch that is not read ahead, the same bytes'
run 2 'a limit belongs to training' dc-encode --model begun-clip --keep-activations 10
said '--keep-activations, --share and --recompute belong to --loop' 'is said'
done_testing
