#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-encode --model: images, captions, or both; what is known of each row goes with it. And score.sh, which joins it all.
. "${0%/*}/lib.sh"
PATH=$top/pipelines:$PATH
cat >tiny.json <<'END'
{"embed_dim": 16, "quick_gelu": true,
 "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 32, "width": 64, "heads": 1, "layers": 1}}
END
dc-scenes --out . --train 20 --test 90 --shard 50 --zero-shot 20 --size 48 --seed 5 >/dev/null &&
	dc-vocab --merges 50 -o bpe.txt.gz <shape-prompts.txt 2>err &&
	dc-init --arch ./tiny.json --method clip --vocab bpe.txt.gz --model model >/dev/null
ok $? 'a model'
views() { dc-decode --captions all test-000.tar test-001.tar | dc-augment --recipe eval --size 32 --jobs 1; }
tokens() { views | dc-tokenize --model model --mlm 0; }
encode() { # encode NAME OPTION...: stdin -> the directory NAME
	name=$1; shift
	dc-encode --model model "$@" >"$name.dcs" 2>err && dc-npy "$name" <"$name.dcs" 2>>err
}
# one pipe after the other, so that what is run is seen here
tokens >batch.dcs; views >views.dcs
encode both <batch.dcs; ok $? 'images and captions'
encode images <views.dcs; ok $? 'images alone, without dc-tokenize'
encode images2 --only images <batch.dcs; ok $? '--only images'
encode captions --only captions <batch.dcs; ok $? '--only captions'
for k in image_features.0 id slot epoch label; do check "the same $k.npy" cmp both/$k.npy images/$k.npy; done
check 'and keys' cmp both/key.json images/key.json
check '--only images gives the same' diff -r images images2
! [ -e images/text_features.0.npy ] && ! [ -e images/caption_image.npy ]; ok $? 'nothing of captions'
for k in text_features.0 caption_image id slot label; do check "the same $k.npy" cmp both/$k.npy captions/$k.npy; done
! [ -e captions/image_features.0.npy ]; ok $? 'no images'
run 0 'logit_scale and position are there' sh -c 'dc-peek --text <captions.dcs >peek'
grep -q logit_scale peek && grep -q position peek; ok $? 'in each frame'
run 1 '--only captions of views' sh -c 'dc-encode --model model --only captions <views.dcs | cat >/dev/null; exit 1'
said '^dc-encode: <stdin>: frame 1 .views. at byte 0: has no token.0: dc-tokenize makes it' 'is an error'
run 2 '--only belongs to --model' dc-encode --loop x --only images
run 2 '--hidden with captions' dc-encode --model model --hidden --only captions
run 0 '--hidden' sh -c 'dc-encode --model model --hidden <batch.dcs >hidden.dcs'
if need_python 2>/dev/null; then
	check 'times the projection gives the features' "$PYTHON" "$top/tests/reference/photos.py" hidden hidden.dcs both.dcs model/open_clip_model.safetensors
else
	skip 'no Python' 'times the projection gives the features'
fi
run 2 '--only dogs' dc-encode --model model --only dogs

# captions from lines of text
printf 'a red circle\n\na blue star on a dark ground\n' >lines
run 0 'lines of text' sh -c 'dc-tokenize --model model --lines - <lines | dc-encode --model model >lines.dcs && dc-npy lines.d <lines.dcs'
check 'have line numbers and nothing else' test "$(ls lines.d | tr '\n' ' ')" = 'line.npy logit_scale.npy text_features.0.npy '
run 0 'one of them' sh -c 'head -n 1 lines | dc-tokenize --model model --lines - | dc-encode --model model | dc-npy one.d'
check 'is one row' test "$(wc -c <one.d/text_features.0.npy)" -eq $((128 + 16 * 4))

# --- score.sh ---
mkdir scratch; TMPDIR=$tmp/scratch; export TMPDIR
run 0 'recall' score.sh recall model 'test-{000..001}.tar'
said '^90 images, 90 captions$' 'of all images'
cp out table
check 'is that of the features' sh -c 'dc-recall <both.dcs | cmp - table'
run 0 'with folds, for programs' score.sh -t --folds 3 --features kept.dcs recall model 'test-{000..001}.tar'
said '^t2i_R@10	' 'has names'
check 'the features are kept' cmp kept.dcs both.dcs
run 0 'zero-shot by names' score.sh --per-class --confusion c.tsv zeroshot model shapes.txt test-shape-000.tar
said '^20 images, 8 classes, 56 prompts$' 'with seven templates'
[ -f c.tsv ] && [ "$(wc -l <c.tsv)" -eq 9 ] && [ "$(awk -F '\t' 'NR > 1 { for (i = 2; i <= NF; i++) n += $i } END { print n }' c.tsv)" -eq 20 ]
ok $? 'and a confusion matrix of 20 images'
cp out by-names
run 0 'options behind the command' score.sh zeroshot --per-class --confusion behind.tsv model shapes.txt test-shape-000.tar
cmp -s out by-names && cmp -s c.tsv behind.tsv; ok $? 'do what they do before it'
run 0 'names from a pipe' sh -c 'cat shapes.txt | score.sh zeroshot --per-class model /dev/stdin test-shape-000.tar'
cmp -s out by-names; ok $? 'are as those of a file'
run 1 'a name twice from a pipe' sh -c 'cat shapes.txt shapes.txt | score.sh zeroshot model /dev/stdin test-shape-000.tar'
said '^dc-zeroshot: /dev/stdin: line 9: ' 'is told with the name that was given'
mkfifo 'R&D | names'
cat shapes.txt shapes.txt >'R&D | names' &
run 1 'from a named one' score.sh zeroshot model 'R&D | names' test-shape-000.tar
said '^dc-zeroshot: R&D . names: line 9: ' 'whatever its name'
wait
run 0 'by prompts' score.sh --prompts shape-prompts.txt -t zeroshot model shapes.txt test-shape-000.tar
said '^top-1	' 'has names'
echo 'a {} here' >here
run 0 'by templates' score.sh --templates=here zeroshot model shapes.txt test-shape-000.tar
said '^20 images, 8 classes, 8 prompts$' 'one each'
echo 'a thing' >here
run 1 'a template without {}' score.sh --templates here zeroshot model shapes.txt test-shape-000.tar
said '^dc-zeroshot: here: line 1: no .. in .a thing' 'is said'
run 1 'fewer names than labels' sh -c 'head -n 2 shapes.txt >two; score.sh zeroshot model two test-shape-000.tar'
said 'sample [^ ]*: label [2-7], but there are 2 classes' 'is said, with the first sample'
for args in '' recall 'recall model' 'zeroshot model shapes.txt' 'guess model test-000.tar' '--folds' '--nothing 1 recall model x' \
	'--templates here --prompts here zeroshot model shapes.txt test-000.tar'; do
	# shellcheck disable=SC2086
	run 2 "score.sh $args" score.sh $args
done
cp -r model bilinear && sed 's/"bicubic"/"bilinear"/' model/open_clip_config.json >bilinear/open_clip_config.json
run 0 'the interpolation of the configuration' score.sh --features bilinear.dcs recall bilinear 'test-{000..001}.tar'
dc-decode --captions all test-000.tar test-001.tar | dc-augment --recipe eval --size 32 --interpolation bilinear |
	dc-tokenize --model model --mlm 0 | dc-encode --model model >want.dcs
! cmp -s want.dcs both.dcs && cmp -s want.dcs bilinear.dcs; ok $? 'is used'
cp -r model longest && sed 's/"shortest"/"longest"/' model/open_clip_config.json >longest/open_clip_config.json
dc-decode test-000.tar 2>err | dc-augment --recipe eval --size 32 --resize longest >want.dcs
dc-decode test-000.tar 2>err | dc-augment --recipe eval --model longest >got.dcs; ok $? 'its resize_mode'
cmp want.dcs got.dcs >err; ok $? 'is used'
sed 's/"shortest"/"middle"/' model/open_clip_config.json >longest/open_clip_config.json
run 1 'an unknown resize_mode' dc-augment --recipe eval --model longest
said "resize_mode 'middle' is not supported" 'is said'
for what in 'recall model' 'zeroshot model shapes.txt'; do
	run 1 "score.sh $what, no such shards" score.sh $what none.tar
	said '^dc-decode: .*none.tar' 'the tool at fault says it'
done
run 2 'an option that dc-decode does not take' score.sh --caption json: recall model test-000.tar
mkdir ends && printf '#!/bin/sh\nexit "$(grep "${0##*/}" "%s" | cut -d " " -f 2)"\n' "$tmp/ends/status" >ends/dc-decode && chmod +x ends/dc-decode
for tool in dc-augment dc-tokenize dc-encode dc-recall; do ln -s dc-decode ends/$tool; done
while read -r want status; do # the first who did not just find a neighbour gone
	echo "decode augment tokenize encode recall $status" | awk '{ for (i = 1; i <= 5; i++) print "dc-" $i, $(i + 5) }' >ends/status
	run "$want" "tools that end with $status" env DC_BIN="$tmp/ends" "$top/pipelines/score.sh" recall model test-000.tar
done <<'END'
2 3 3 3 3 2
2 0 3 3 3 2
1 0 1 3 3 3
1 0 0 3 1 0
1 3 3 3 3 3
0 0 0 0 0 0
END
run 2 'options behind the model' score.sh recall model test-000.tar --folds 2
said '^score.sh: --folds: options stand before MODEL' 'is said'
run 2 'options of the other command' score.sh recall --templates here model test-000.tar
said '^score.sh: --templates is for zeroshot' 'is said'
run 1 'no model' score.sh recall none test-000.tar
said '^score.sh: none: no such model' 'is said'
[ -z "$(ls scratch)" ]; ok $? 'nothing is left in TMPDIR'
done_testing
