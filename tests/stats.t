#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-stats: every figure of a data set made for it, as a page, a table and a picture; shards and streams say the same.
. "${0%/*}/lib.sh"
is() { [ "$2" = "$3" ] || echo "got '$2', wanted '$3'" >err; [ "$2" = "$3" ]; ok $? "$1"; }
of() { awk -F '\t' -v g="$1" -v n="$2" '$1 == g && $2 == n { print $3 }' t.tsv; }

# 40 images of 48 x 48 pixels and 30 of 64 x 64, three copies, one cut off, one text without an image, one the other way round
dc-scenes --out a --train 40 --test 1 --shard 40 --zero-shot 0 --size 48 >out 2>err &&
	dc-scenes --out b --train 30 --test 1 --shard 30 --zero-shot 0 --size 64 --seed 5 >out 2>err || exit 99
mkdir x y && tar -xf a/train-000.tar -C x && tar -xf b/train-000.tar -C y && rm x/*.cls y/*.cls || exit 99
for i in 1 2 3; do cp x/000007.jpg "x/copy$i.jpg"; echo "Don't PANIC, it is a copy" >"x/copy$i.txt"; echo 7 >"x/copy$i.cls"; done
echo '42' >x/000001.cls; echo 'none' >x/000002.cls
head -c 700 x/000009.jpg >x/cut.jpg; echo 'Собака бежит' >x/cut.txt
echo 'Собака бежит по траве' >y/000001.txt; echo '12, 34!' >y/000002.txt
echo 'no image' >y/text.txt
tar --sort=name -cf 0.tar -C x . && tar --sort=name -cf 1.tar -C y . || exit 99

run 0 'a table' sh -c 'dc-stats --tsv --top 1000 "{0,1}.tar" >t.tsv'
! [ -s err ]; ok $? 'nothing on stderr'
is 'shards' "$(of shards count), $(of shards bytes), $(of shards damaged)" "2, $(cat 0.tar 1.tar | wc -c), 0"
is 'samples' "$(of samples in) = $(of samples good) + $(of samples broken)" '75 = 74 + 1'
is 'why broken' "$(of broken no-image) $(of broken image)" '1 0'
is 'formats' "$(of format JPEG)$(of format PNG)" 74
is 'sides' "$(of width min) $(of height median) $(of side p95) $(of side max) $(of aspect max)" '48 48 64 64 1.00'
is 'the mean' "$(of width mean)" "$(awk 'BEGIN { printf "%.4f", (44 * 48 + 30 * 64) / 74 }')"
is 'bytes' "$(of bytes max)" "$(wc -c x/*.jpg y/*.jpg | sed '$d' | awk '{ if ($1 > m) m = $1 } END { print m }')"
is 'equal images' "$(of duplicates images)" 3
captions() { awk 1 x/*.txt y/0*.txt; }
is 'captions' "$(of captions count)" 74
is 'equal captions' "$(of duplicates captions)" "$(captions | LC_ALL=C tr A-Z a-z | sort | uniq -d -c | awk '{ n += $1 - 1 } END { print n }')"
is 'the longest' "$(of chars max)" "$(captions | LC_ALL=C.UTF-8 awk '{ if (length > m) m = length } END { print m }')"
is 'scripts' "$(of script Cyrillic) $(of script Latin) $(of script none)" '2 71 1'
captions | tr A-Z a-z | grep -o "[a-z']\{1,\}" | sort | uniq -c | sort -k 1,1nr -k 2,2 | awk '{ print $2 "\t" $1 }' | head -n 8 >want
grep '^word	' t.tsv | cut -f 2,3 | head -n 8 >got
check 'the most frequent words' cmp got want
is 'an apostrophe is in a word' "$(awk -F '\t' '$1 == "word" && $2 == "don'"'"'t" { print $3 }' t.tsv)" 3
is 'labels' "$(of label 7) $(of label 42) $(of labels samples) $(of labels bad)" '3 1 4 1'
is 'the caption that comes most often is counted' "$(of caption "don't panic, it is a copy")" 3
! grep -q 'vocabulary' t.tsv; ok $? 'no tokens without --vocab'

run 0 'decoded' sh -c 'dc-stats --decode --rejects r.tsv --tsv "{0,1}.tar" >t.tsv'
is 'one more is broken' "$(of samples in) = $(of samples good) + $(of samples broken): $(of broken image)" '75 = 73 + 2: 1'
grep -q '^0.tar	./cut	[0-9]*	image: JPEG' r.tsv && grep -q '^1.tar	./text	[0-9]*	no-image' r.tsv; ok $? 'and both are listed'

# --- tokens ---
captions >lines && dc-vocab --merges 100 -o v.gz <lines 2>err || exit 99
run 0 'tokens' sh -c 'dc-stats --tsv --vocab v.gz --context 16 "{0,1}.tar" >t.tsv'
if [ -z "$(need_python)" ]; then
	need_python
	dc-tokenize --vocab v.gz --context 200 --lines lines 2>err >tokens.dcs
	PYTHONPATH=$top/tests/reference "$PYTHON" -c '
import dcstream, numpy, sys
rows = numpy.concatenate([b["token.0"] for k, _, b in dcstream.read(open("tokens.dcs", "rb")) if k == "batch"])
ids = [r[1:numpy.argmax(r == 613)] for r in rows]
n = numpy.array([len(i) for i in ids])
every = numpy.concatenate(ids)
print(len(set(every)), n.sum(), (every < 256).sum(), (n > 14).sum(), n.min(), n.max())' >want 2>err
	is 'are those of dc-tokenize' "$(of vocabulary ids_used) $(of vocabulary tokens) $(of vocabulary byte_tokens) $(of vocabulary captions_cut) $(of tokens min) $(of tokens max)" "$(cat want)"
else
	skip 'no Python' 'are those of dc-tokenize'
fi

# --- the page ---
run 0 'the page' dc-stats --vocab v.gz '{0,1}.tar'
said '^Samples   75 = 74 good [+] 1 broken [(]1 no-image[)]$' 'counts samples'
said '^  the same file as one before: 3 [(]4.05 %[)]$' 'duplicates'
said '^  most letters are: Latin 71 [(]95.95 %[)], Cyrillic 2 ' 'scripts'
said '^  ids that occur: [0-9]+ of 612 ' 'the vocabulary'
said "^ +3  don't panic, it is a copy$" 'captions'
awk 'length > 400' out >long; ! [ -s long ]; ok $? 'its lines are not long'
cp out page
for j in 1 5; do
	run 0 "$j threads" sh -c 'dc-stats -j "$1" --vocab v.gz "{0,1}.tar" >again' - $j
	check 'the same page' cmp again page
done
run 0 'a stream' sh -c 'dc-decode -k --captions all --tail short "{0,1}.tar" 2>/dev/null | dc-stats --vocab v.gz >stream'
sed '1,2d; /that is no number/d' page >want; sed 1d stream >got
check 'the same page but for the shards and the broken' cmp got want
run 0 'decoded images' sh -c 'dc-decode --tail short 1.tar 2>/dev/null | dc-stats --tsv --top 0 >t.tsv'
is 'have sizes and no bytes' "$(of format decoded) $(of side max) $(of bytes max)" '30 64 '
dc-stats --caption none 1.tar >out 2>err
said '^Samples   31 = 30 good [+] 1 broken' 'images without captions'
! grep -q 'Captions\|Words' out; ok $? 'leave captions out'
run 0 'tables that are full' dc-stats --distinct 10 0.tar
said 'the same file as one before: at least [0-9]+ .*; compared with the first 10 different ones' 'say so'
if command -v gnuplot >/dev/null; then
	for e in png svg; do
		run 0 "--plot $e" dc-stats --plot "h.$e" '{0,1}.tar'
		! [ -s err ]; ok $? 'nothing on stderr'
	done
	head -c 4 h.png | grep -q PNG && grep -q '<svg' h.svg; ok $? 'are pictures'
	run 1 'a picture that cannot be written' dc-stats --plot none/h.svg 0.tar
	said 'none/h.svg: gnuplot failed' 'is an error'
else
	skip 'no gnuplot' '--plot'
fi
head -c 20000 0.tar >cut.tar
run 0 'a damaged shard' dc-stats cut.tar
said '^dc-stats: cut.tar: damaged ' 'is named'
said ', 1 of them damaged$' 'and counted'
if [ -f "$DATA/flickr8k/train-011.tar" ] && [ -f "$DATA/clip/bpe_simple_vocab_16e6.txt.gz" ]; then
	dc-stats --tsv --caption json:captions --vocab "$DATA/clip/bpe_simple_vocab_16e6.txt.gz" "$DATA/flickr8k/train-{000..011}.tar" >t.tsv 2>err
	is 'Flickr8k' "$(of samples good) $(of captions count) $(of duplicates images) $(of duplicates captions) $(of vocabulary captions_cut)" '6000 30000 1 184 0'
	is 'its words' "$(of words count) $(of words different) $(of word a) $(of word dog) $(of tokens max)" '324463 7371 46784 6160 40'
else
	skip "no flickr8k in $DATA" 'Flickr8k'
fi

# --- mistakes ---
if [ -z "$(need_python)" ]; then
	need_python
	for what in keys captions owner negative type empty image; do
		PYTHONPATH=$top/tests/reference "$PYTHON" "$top/tests/reference/curate.py" bad $what >bad.dcs
		run 1 "a frame with a wrong $what" sh -c 'dc-stats <bad.dcs'
		said '^dc-stats: <stdin>: frame 1 [(]samples[)] at byte 0: ' 'is refused'
	done
fi
run 1 'no samples' sh -c 'tar -cf empty.tar -T /dev/null && dc-stats empty.tar'
said 'no samples in the shards' 'says so'
run 1 'a shard that is not there' dc-stats none.tar
run 2 'a picture of another kind' dc-stats --plot x.pdf 0.tar
said 'x.pdf: must end in .png or .svg' 'says so'
run 2 '--context without --vocab' dc-stats --context 20 0.tar
run 2 '--caption for a stream' sh -c 'dc-stats --caption txt </dev/null'
run 1 'a full disk' sh -c 'dc-stats 0.tar >/dev/full'
run 3 'a pipe that ends too soon' sh -c 'true | dc-stats'
done_testing
