#!/bin/sh
# SPDX-License-Identifier: MIT
# Shards of images and classes, without captions, as Imagenette has them: from the tar to every score, and what is wrong with
# them or with the names said at once and once.
. "${0%/*}/lib.sh"
need_python
PATH=$top/pipelines:$PATH
OMP_NUM_THREADS=1; export OMP_NUM_THREADS
cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
dc-scenes --out scenes --train 24 --test 40 --zero-shot 40 --shard 40 --size 24 >out 2>err
ok $? 'scenes'
mkdir folder && tar -xf scenes/test-colour-000.tar -C folder && cp -r folder with && rm folder/*.txt folder/*.json folder/000003.cls &&
	tar --sort=name -cf plain.tar -C folder . && tar --sort=name -cf with.tar -C with .
[ "$(tar -tf plain.tar | grep -v "/$" | sed "s,.*\.,," | sort -u | tr '\n' ' ')" = 'cls jpg ' ]; ok $? 'a shard of .jpg and .cls, one image without a class'
cp scenes/colours.txt names.txt
only() { # only PATTERN DESCRIPTION: one line on stderr
	[ "$(wc -l <err)" -eq 1 ] && grep -qE -- "$1" err; ok $? "$2"
}

# --- the stream ---
run 1 'captions are looked for' dc-decode plain.tar
only 'no usable sample in plain.tar: 40 read; extensions seen: .* captions in txt .*--caption none: images alone' 'and missed'
run 2 'none with others' dc-decode --caption none,txt plain.tar
said 'none stands alone' 'stands alone'
run 0 'samples without captions' sh -c 'dc-decode --caption none --tail short plain.tar >samples.dcs && dc-peek --text -n 1 samples.dcs'
said '^  caption  *0 values$' 'have none'
said '^  caption_image  *i32 \[0\]' 'of no image'
said '^  label  *i32 \[40\]  -1\.\.8' 'and their labels'
check 'the captions that others have are not read' sh -c 'dc-decode --caption none with.tar | dc-peek --text | grep -q "caption  *0 values"'
echo >folder/000000.txt; tar --sort=name -cf blank.tar -C folder .
check 'nor does a blank one matter' test "$(dc-decode --caption none --count blank.tar)" = 40
check 'all are counted' test "$(dc-decode --caption none --count plain.tar)" = 40

run 2 'training without captions' train.sh --data plain.tar --run never --caption none
said '^train.sh: --caption none: training needs captions' 'is refused'
run 1 'or on shards that have none' train.sh --data plain.tar --run never
only 'dc-decode: no usable sample in plain.tar' 'too'
[ ! -e never ]; ok $? 'before anything is made'
run 0 'a model' train.sh -q --data scenes/train-000.tar --run model --arch arch.json --merges 60 --batch 8 --steps 3 --threads 1

dc-augment --recipe eval --model model -j 1 <samples.dcs >views.dcs 2>err
ok $? 'views'
run 0 'rows of tokens' sh -c 'dc-tokenize --model model <views.dcs >batch.dcs && dc-peek --text -n 1 batch.dcs'
said '^  token.0  *i32 \[0,16\]' 'there are none'
run 0 'two views of the images' sh -c 'dc-augment --recipe declip --size 16 -j 1 <samples.dcs | dc-peek --text'
said '^  caption.1  *0 values' 'and none of captions'
for what in '' '--only images'; do
	# shellcheck disable=SC2086
	dc-encode --model model $what <views.dcs >features.dcs 2>err; ok $? "features of views ${what:-without --only}"
	# shellcheck disable=SC2086
	dc-encode --model model $what <batch.dcs >again.dcs 2>err; ok $? 'and of a batch'
	run 0 'to look at' dc-peek --text -n 1 again.dcs
	said '^  image_features.0  *f32 \[40,32\]' 'all images are there'
done
check 'the same from either' cmp features.dcs again.dcs
dc-encode --model model <batch.dcs >both.dcs 2>err
run 1 'recall' sh -c 'dc-recall <both.dcs'
only '^dc-recall: <stdin>: no captions among the frames' 'says what is missing'
run 0 'to .npy and back' sh -c 'dc-npy npy <both.dcs && dc-npy --from npy | dc-peek --text -n 1'
said '^  text_features.0  *f32 \[0,32\]' 'nothing is invented'
run 0 'a table' sh -c 'dc-peek --quiet --table table.tsv samples.dcs >all && cmp all samples.dcs && head -n 1 table.tsv | tr "\t" " "'
said '^image key label$' 'of images'
check 'a row for each' test "$(wc -l <table.tsv)" = 41
run 0 'a contact sheet' sh -c 'dc-peek --quiet --sheet sheet.png samples.dcs | cmp - samples.dcs'

# --- scores ---
run 0 'zero-shot' score.sh --tsv zeroshot model names.txt plain.tar
cp out plain.tsv
check 'of those with a class' test "$(awk -F '\t' '$1 == "top-1" { print $6 }' plain.tsv)" = 39
run 0 'with captions beside them' score.sh --tsv zeroshot model names.txt with.tar
cp out with.tsv
check 'there is one more' test "$(awk -F '\t' '$1 == "top-1" { print $6 }' with.tsv)" = 40
run 0 'a linear probe' dc-probe --train features.dcs --test features.dcs --lambda 1
said '39 to test, 9 classes' 'takes them'
run 0 'the vote of neighbours' dc-knn --base features.dcs -k 1,5
said '^39 images, neighbours among 39, 9 classes' 'too'
run 0 'nearest, to look at' dc-knn --base features.dcs -k 1 --show near.png --images samples.dcs
check 'drawn' test -s near.png
run 0 'a row of val.sh' val.sh --model model --val plain.tar --names names.txt
check 'has the score' test "$(sed -n 2p out | cut -f 3)" = "$(awk -F '\t' '$1 == "top-1" { print $2 }' plain.tsv)"

run 0 'a report' report.sh -o report.html --test plain.tar --names names.txt --samples 4 model
"$PYTHON" "$top/tests/reference/check_page.py" report.html cells Scores >cells 2>err
check 'has the scores' grep -q "^top-1	$(awk -F '\t' '$1 == "top-1" { printf "%.1f ± %.1f", 100 * $2, 100 * $3 }' plain.tsv)" cells
"$PYTHON" "$top/tests/reference/check_page.py" report.html >page.txt 2>err
! grep -q 'missing: The' page.txt; ok $? 'and nothing is missing'
check 'of four classes the prompt with five images' test "$(sed -n '/<h2>What it finds/,/<h2>Conf/p' report.html | grep -c '^<figure class="thumb')" = 20

# --- while training, and the ablation ---
run 0 'training with --val on them' train.sh -q --data scenes/train-000.tar --run run --arch arch.json --merges 60 --batch 8 --steps 3 --threads 1 \
	--val plain.tar --val-names names.txt --val-every 3
check 'a row' test "$(awk -F '\t' 'NR == 2 { print $1, NF }' run/val.tsv)" = '3 6'
if command -v make >/dev/null; then
	run 0 'ablation.mk with NAMES' make -f "$top/pipelines/ablation.mk" DATA=scenes/train-000.tar TEST=plain.tar NAMES=names.txt OUT=out.d ARCH=arch.json \
		METHODS=clip SEEDS=1 EPOCHS=1 BATCH=8 VAL_EVERY=3 THREADS=1 OPTIONS='--merges 60'
	check 'has a result' grep -q 'top_1.top_5.mean_per_class.top.version' out.d/results.tsv
fi

# --- wrong inputs: one message, by the user's name of the file ---
head -n 4 names.txt >four.txt
run 1 'fewer names than labels' score.sh zeroshot model four.txt plain.tar
only '^dc-zeroshot: .*label [4-8], but there are 4 classes' 'is one message'
run 1 'in training' train.sh -q --data scenes/train-000.tar --run never --batch 8 --steps 3 --val plain.tar --val-names four.txt
only '^val.sh: plain.tar: label 8, but four.txt has 4 names' 'comes at the start'
mkdir bare && tar -xf scenes/test-000.tar -C bare && rm bare/*.cls && tar --sort=name -cf bare.tar -C bare .
run 1 'no labels' train.sh -q --data scenes/train-000.tar --run never --batch 8 --steps 3 --val bare.tar --val-names four.txt
only '^val.sh: bare.tar: none of the 40 images has a label' 'too'
: >empty.txt; printf 'red\n\nblue\n' >gap.txt; printf 'red\nblue\nRed\n' >twice.txt
seq 13 | sed 's/^/a photo of /' >thirteen.txt
sed 5s/.*// thirteen.txt >hole.txt
try() { # try FILE OPTION VALUE: score.sh, or train.sh --val
	if [ "$how" = score.sh ]; then
		score.sh ${2:+"--$2" "$3"} zeroshot model "$1" plain.tar
	else
		train.sh -q --data scenes/train-000.tar --run never --batch 8 --steps 3 --val plain.tar --val-names "$1" ${2:+"--val-$2" "$3"}
	fi
}
for how in score.sh train.sh; do
	run 1 "$how: an empty file of names" try empty.txt
	only 'empty.txt: no class names in it' 'is one message'
	run 1 "$how: an empty class" try gap.txt
	only 'gap.txt: line 2: an empty name' 'is one message'
	run 1 "$how: a class twice" try twice.txt
	only "twice.txt: line 3: the class 'Red' is on line 1 already" 'is one message'
	run 1 "$how: prompts that do not divide" try names.txt prompts thirteen.txt
	only '^dc-zeroshot: thirteen.txt: 13 prompts do not divide among the 9 names of names.txt' "is one message with the user's file"
	run 1 "$how: an empty prompt" try names.txt prompts hole.txt
	only 'hole.txt: line 5: an empty prompt' 'is one message'
done
[ ! -e never ]; ok $? 'nothing is made'
echo 'a photo' >t.txt
run 1 'templates without {}' score.sh --templates t.txt zeroshot model names.txt plain.tar
only "^dc-zeroshot: t.txt: line 1: no [{][}] in 'a photo'" 'are one message'
run 1 'no names at all' score.sh zeroshot model absent.txt plain.tar
only 'absent.txt: No such file' 'is one message'
run 1 'labels that are missing' score.sh zeroshot model names.txt bare.tar
only 'none of the 40 images has a label' 'are one message'
run 1 'recall without captions' score.sh recall model plain.tar
only 'no usable sample in plain.tar' 'is one message'
poke() { # poke DIR TENSOR: a copy of the model with a NaN in it
	mkdir "$1" && cp -rL model/latest/. "$1" && "$PYTHON" - "$1/open_clip_model.safetensors" "$2" <<'END'
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = 8 + struct.unpack("<Q", b[:8])[0]
at = n + json.loads(b[8:n])[sys.argv[2]]["data_offsets"][0]
b[at:at + 4] = struct.pack("<f", float("nan"))
open(sys.argv[1], "wb").write(b)
END
}
poke nan-text text_projection && poke nan-image visual.proj; ok $? 'models whose features are not finite'
run 1 'recall' score.sh recall nan-text scenes/test-000.tar
only '^dc-recall: <stdin>: .*text_features.0: row 0 is not finite' 'is one message'
run 1 'zero-shot, the prompts' score.sh zeroshot nan-text names.txt plain.tar
only '^dc-zeroshot: the prompts of names.txt: .*: row 0 is not finite' 'is one message'
run 1 'zero-shot, the images' score.sh zeroshot nan-image names.txt plain.tar
only '^dc-zeroshot: <stdin>: .*image_features.0: row 0 is not finite' 'is one message'
run 1 'classify.sh, captions' classify.sh nan-text folder 'a red ring' 'a star'
only '^dc-knn: the captions: .*: row 0 is not finite' 'is one message'
run 1 'classify.sh, photos' classify.sh nan-image folder 'a red ring' 'a star'
only '^dc-knn: the photos: .*: row 0 is not finite' 'is one message'
run 1 'search.sh, a query' search.sh -q nan-text folder 'a red ring'
only '^dc-knn: the query: .*: row 0 is not finite' 'is one message'
run 1 'search.sh, photos' search.sh -q nan-image folder 'a red ring'
only '^dc-npy: <stdin>: .*image_features.0: row 0 is not finite' 'is one message'
run 0 'and with a model as it should be' search.sh -q model folder 'a red ring'
[ ! -s err ] && [ "$(wc -l <out)" = 10 ]; ok $? 'ten photos'
run 2 'templates and prompts' score.sh --templates t.txt --prompts thirteen.txt zeroshot model names.txt plain.tar
done_testing
