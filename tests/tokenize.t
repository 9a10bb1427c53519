#!/bin/sh
# SPDX-License-Identifier: MIT
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/check_tokens.py" "$@"; }
openai=$DATA/clip/bpe_simple_vocab_16e6.txt.gz

# a vocabulary of our own, and text to tokenize
made_up() { # made_up N: N lines of made-up words, always the same
	awk -v n="$1" 'BEGIN { s = 1; split("ba ko ri tun el sha mo gre pi lan dok us wen fi ar", a, " ")
		for (i = 0; i < n; i++) {
			line = "a photo of " i
			for (w = 0; w < 6; w++) {
				line = line " "
				for (k = 0; k < 1 + s % 3; k++) { s = (s * 1103 + 12345) % 65521; line = line a[1 + s % 15] }
			}
			print line " &amp; it is, on the grass"
		} }'
}
made_up 150 >lines.txt
printf 'the last line, without its end, and caf\303\251 \360\237\220\266' >>lines.txt
dc-vocab --size 600 -o bpe.txt.gz <lines.txt 2>err || echo 'no vocabulary' >&2
py views >views.dcs
py views reversed >order.dcs

# --- lines ---
run 0 '--lines' dc-tokenize --vocab bpe.txt.gz --lines lines.txt
mv out lines.dcs
check 'makes parts of 64 rows with their line numbers' py lines lines.txt lines.dcs 600
run 0 'from stdin with -' sh -c 'dc-tokenize --vocab bpe.txt.gz --lines - <lines.txt'
mv out again.dcs
check 'the same' cmp again.dcs lines.dcs
run 0 'with four threads' dc-tokenize -j 4 --vocab bpe.txt.gz --lines lines.txt
mv out again.dcs
check 'the same bytes' cmp again.dcs lines.dcs
run 0 'a small context' dc-tokenize --context 5 --vocab bpe.txt.gz --lines lines.txt -v
said '151 captions longer than 5 ids, cut' 'cuts, and -v says how many'
mv out short.dcs
check 'at the end token' py lines lines.txt short.dcs 600
run 0 'an empty file' dc-tokenize --vocab bpe.txt.gz --lines /dev/null
printf 'bytes \377\376 that are not UTF-8\n\n<|endoftext|> <|startoftext|>\n' >odd.txt
run 0 'damaged text, an empty line, literal special tokens' dc-tokenize --vocab bpe.txt.gz --lines odd.txt
mv out odd.dcs
check 'have proper rows' py lines odd.txt odd.dcs 600

# --- text ---
printf 'The Caf\303\203\302\251 &amp;amp; \342\200\234BAR\342\200\235\342\200\250x\n\n  a  B' >broken.txt
run 0 '--print repaired' dc-tokenize --lines broken.txt --print repaired
mv out text.out
printf 'The Caf\303\251 & "BAR" x\n\n  a  B\n' >want
check 'shows what was broken put right' cmp want text.out
run 0 '--print clean' sh -c 'dc-tokenize --lines - --print clean <broken.txt'
mv out text.out
printf 'the caf\303\251 & "bar" x\n\na b\n' >want
check 'shows the text that is split' cmp want text.out
run 0 '--print decoded' dc-tokenize --vocab bpe.txt.gz --lines broken.txt --print decoded
mv out text.out
printf 'the caf\303\251 & " bar " x \n\na b \n' >want
check 'shows what comes back of the ids' cmp want text.out
run 2 '--print decoded without a vocabulary' dc-tokenize --lines broken.txt --print decoded
run 2 '--print without lines' dc-tokenize --print clean
run 2 '--print with a vocabulary' dc-tokenize --print clean --lines broken.txt --vocab bpe.txt.gz
run 1 '--print to a full disk' sh -c 'dc-tokenize --print clean --lines lines.txt >/dev/full'
run 3 '--print to a reader that went away' sh -c '{ i=0; while [ $i -lt 200 ]; do cat lines.txt; i=$((i + 1)); done; } >text.txt
	{ dc-tokenize --print clean --lines text.txt; echo $? >status; } | head -c 9 >/dev/null; exit "$(cat status)"'

# --- the stream ---
run 0 'views' sh -c 'dc-tokenize --vocab bpe.txt.gz --seed 3 <views.dcs'
mv out batch.dcs
check 'become batch frames; the rest travels' py batch views.dcs batch.dcs 600 0.15
run 0 'with four threads' sh -c 'dc-tokenize -j 4 --vocab bpe.txt.gz --seed 3 <views.dcs'
mv out again.dcs
check 'the same bytes' cmp again.dcs batch.dcs
run 0 'in another order and other parts' sh -c 'dc-tokenize --vocab bpe.txt.gz --seed 3 <order.dcs'
mv out order-batch.dcs
check 'each sample has the same rows' py same batch.dcs order-batch.dcs
run 0 'another seed' sh -c 'dc-tokenize --vocab bpe.txt.gz --seed 4 <views.dcs'
mv out seed.dcs
check 'masks otherwise' sh -c '! cmp -s batch.dcs seed.dcs'
run 0 '--mlm 0' sh -c 'dc-tokenize --vocab bpe.txt.gz --mlm 0 <views.dcs'
mv out plain.dcs
check 'makes no masked rows' py batch views.dcs plain.dcs 600 0
run 0 '--mlm 0.7' sh -c 'dc-tokenize --vocab bpe.txt.gz --mlm 0.7 <views.dcs'
mv out more.dcs
check 'masks more' py batch views.dcs more.dcs 600 0.7
py all >all.dcs
run 0 'several captions an image' sh -c 'dc-tokenize --vocab bpe.txt.gz --mlm 0.5 <all.dcs'
mv out all-batch.dcs
check 'are masked each on its own' py masks all-batch.dcs
run 0 '--as released' sh -c 'dc-tokenize --vocab bpe.txt.gz --as released --mlm 1 <views.dcs'
mv out released.dcs
check 'draws other ids' sh -c 'dc-tokenize --vocab bpe.txt.gz --mlm 1 <views.dcs | cmp -s - released.dcs && exit 1; exit 0'

# --- what is wrong ---
bad() { # bad PATTERN WHAT: views with something wrong
	py broken "$2" >broken.dcs
	run 1 "no good: $2" sh -c 'dc-tokenize --vocab bpe.txt.gz <broken.dcs >/dev/null'
	said "$1" 'says so'
}
bad '<stdin>: frame 1 \(views\) .*id' id
bad '2 captions, but 4 in id' captions
bad 'caption_image\[3\] = 4, of 4 images' image
bad 'caption\.0' none
head -c 3000 views.dcs >cut.dcs
run 1 'a truncated stream' sh -c 'dc-tokenize --vocab bpe.txt.gz <cut.dcs >/dev/null'
said 'truncated' 'says so'
run 3 'a stream from a pipe that ends before end' sh -c 'py() { "$0" "$1" broken fine; }; py "$@" | dc-tokenize --vocab bpe.txt.gz >/dev/null' \
    "$PYTHON" "$top/tests/reference/check_tokens.py"
check 'and no message' test ! -s err
run 1 'a full disk' sh -c 'dc-tokenize --vocab bpe.txt.gz --lines lines.txt >/dev/full'
i=0; while [ $i -lt 200 ]; do cat lines.txt; echo; i=$((i + 1)); done >many.txt
run 3 'a reader that went away' sh -c '{ dc-tokenize --vocab bpe.txt.gz --lines many.txt; echo $? >status; } | head -c 9 >/dev/null; exit "$(cat status)"'
run 2 'no vocabulary' dc-tokenize
said '--vocab FILE or --model DIR is required' 'is a mistake'
run 2 'an operand' dc-tokenize --vocab bpe.txt.gz lines.txt
run 2 'a share above 1' dc-tokenize --vocab bpe.txt.gz --mlm 1.5
run 2 'a context without room' dc-tokenize --vocab bpe.txt.gz --context 2
run 2 '--lines and --mlm' dc-tokenize --vocab bpe.txt.gz --lines lines.txt --mlm 0.2
run 1 'a missing vocabulary' dc-tokenize --vocab none.gz --lines lines.txt
said '^dc-tokenize: none.gz: No such file' 'is named'
run 1 'a vocabulary that is none' dc-tokenize --vocab lines.txt --lines lines.txt
said 'lines.txt: not a vocabulary' 'is named'
head -c 200 bpe.txt.gz >half.gz
run 1 'a damaged vocabulary' dc-tokenize --vocab half.gz --lines lines.txt
said 'half.gz' 'is named'
run 1 'missing lines' dc-tokenize --vocab bpe.txt.gz --lines none.txt
said 'none.txt: No such file' 'are named'

# --- a model directory ---
arch() { # arch CONTEXT: a tiny architecture
	printf '{"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 64, "layers": 1},
	"text_cfg": {"context_length": %d, "vocab_size": 600, "width": 64, "heads": 1, "layers": 1}},
	"preprocess_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1]}}' "$1"
}
mkdir model; arch 9 >model/open_clip_config.json
run 1 'a model without a vocabulary' dc-tokenize --model model --lines lines.txt
said 'model/bpe.txt.gz: no such file: give the vocabulary with --vocab' 'asks for one'
run 0 'which may be given' dc-tokenize --model model --vocab bpe.txt.gz --lines lines.txt
mv out given.dcs
cp bpe.txt.gz model
run 0 'or be in it' dc-tokenize --model model --lines lines.txt
mv out again.dcs
check 'the same' cmp again.dcs given.dcs
check 'as with the options it stands for' sh -c 'dc-tokenize --vocab bpe.txt.gz --context 9 --lines lines.txt | cmp - given.dcs'
run 2 'another context' dc-tokenize --model model --context 10 --lines lines.txt
said '--context 10: the model.s is 9' 'contradicts it'
dc-vocab --size 599 -o other.gz <lines.txt
run 2 'another vocabulary' dc-tokenize --model model --vocab other.gz --lines lines.txt
said 'not the model.s vocabulary' 'contradicts it'
cp other.gz model/bpe.txt.gz
run 1 'a vocabulary of another size' dc-tokenize --model model --lines lines.txt
said 'the vocabulary has 599 ids, the model 600' 'is an error'
if [ -x "$DC_BIN/dc-init" ] && arch 9 >arch.json && dc-init --arch arch.json --as released --vocab bpe.txt.gz --queue 8 --nns-after 4 \
    --simsiam-width 8 --simsiam-hidden 4 --out released >/dev/null 2>err; then
	run 0 'a run' sh -c 'dc-tokenize --model released --mlm 1 <views.dcs'
	mv out from-run.dcs
	check 'says how it reads DeCLIP' sh -c 'dc-tokenize --vocab bpe.txt.gz --context 9 --mlm 1 --as released <views.dcs | cmp - from-run.dcs'
	run 2 '--as paper there' dc-tokenize --model released --as paper --lines lines.txt
	said '--as paper: the model.s run says released' 'contradicts it'
else
	skip 'no dc-init' 'a run says how it reads DeCLIP'
fi

# --- against OpenAI's vocabulary and an independent tokenizer ---
set -- "$DATA"/text/captions.*.txt
if [ -f "$openai" ] && [ -f "$1" ]; then
	cat "$@" >captions.txt
	run 0 "the captions of $# files" dc-tokenize --vocab "$openai" --lines captions.txt
	mv out captions.dcs
	check 'have proper rows' py lines captions.txt captions.dcs 49408
	for REF in ${DC_TORCH_PYTHON:-} "$PYTHON"; do
		"$REF" -c 'import regex, sys; sys.path.insert(0, sys.argv[1]); import simple_tokenizer as s; assert s.ftfy
import numpy, msgpack, msgpack_numpy, xxhash' "$top/tests/reference" 2>/dev/null && break
		REF=
	done
	if [ "${REF:-}" ]; then
		check 'and the ids of an independent tokenizer, all of them' \
		    "$REF" "$top/tests/reference/check_tokens.py" against "$openai" captions.txt captions.dcs
	else
		skip 'no Python with regex and ftfy (DC_TORCH_PYTHON names one)' 'and the ids of an independent tokenizer'
	fi
else
	skip "no captions and OpenAI's vocabulary in $DATA" "OpenAI's ids"
fi
done_testing
