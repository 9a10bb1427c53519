#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-filter: every rule on samples made for it, the account, and the same result for any number of threads.
. "${0%/*}/lib.sh"
need_python
PYTHONPATH=$top/tests/reference; export PYTHONPATH
py() { "$PYTHON" "$top/tests/reference/curate.py" "$@"; }
reasons() { tail -n +2 "$1" | cut -f 5 | sort | uniq -c | awk '{ printf "%s%s=%d", s, $2, $1; s = " " }'; }
is() { [ "$2" = "$3" ] || echo "got '$2', wanted '$3'" >err; [ "$2" = "$3" ]; ok $? "$1"; }

# --- encoded images: a shard with known duplicates ---
dc-scenes --out . --train 60 --test 1 --shard 60 --zero-shot 0 --size 48 >out 2>err || exit 99
mkdir a && tar -xf train-000.tar -C a || exit 99
for i in 03 17 17 41; do
	j=$((${j:-60} + 1))
	cp "a/0000$i.jpg" "a/0000$j.jpg"; echo "a copy, number $j" >"a/0000$j.txt"
done
{ head -c 2 a/000005.jpg; printf '\377\376\000\005abc'; tail -c +3 a/000005.jpg; } >a/000065.jpg  # a comment: the same pixels
echo 'the same pixels' >a/000065.txt
head -c 700 a/000007.jpg >a/000066.jpg; echo 'cut off' >a/000066.txt
tar --sort=name -cf dup.tar -C a . && dc-decode -k --name-shards --tail short dup.tar >dup.dcs 2>err || exit 99

run 0 'no rules' sh -c 'dc-filter <dup.dcs >same.dcs'
check 'change nothing' cmp same.dcs dup.dcs
! [ -s err ]; ok $? 'and say nothing'
run 0 'same bytes' sh -c 'dc-filter --same-bytes --rejects r.tsv --kept k.tsv <dup.dcs >clean.dcs'
said '^dc-filter: samples: 66 in = 62 out [+] 4 dropped [(]4 same-bytes[)]$' 'are counted'
said '^dc-filter: captions: 66 in = 62 out [+] 4 dropped [(]4 with-image[)]$' 'with their captions'
is 'listed with the first of them' "$(tail -n +2 r.tsv | cut -f 1,2,3,5,6 | tr '\t\n' ' ,')" \
	'60 dup.tar ./000061 same-bytes of 3,61 dup.tar ./000062 same-bytes of 17,62 dup.tar ./000063 same-bytes of 17,63 dup.tar ./000064 same-bytes of 41,'
is 'the head line says what is what' "$(head -n 1 r.tsv | tr '\t' ' ')" 'number shard key caption reason detail'
check 'the others are there, every row of them' py rows dup.dcs clean.dcs k.tsv
check 'a whole stream' dc-peek --check clean.dcs
is 'the end frame has the counts' "$(py counts clean.dcs)" "dropped=0 in=66 out=62 rejected=4 skipped=0 unused=0 same-bytes=4"
run 0 'again' sh -c 'dc-filter --same-bytes <clean.dcs >again.dcs'
check 'drops nothing more' cmp again.dcs clean.dcs

run 0 'same pixels' sh -c 'dc-filter --same-pixels --rejects r.tsv <dup.dcs >pixels.dcs'
is 'and the one that does not decode' "$(reasons r.tsv)" 'image=1 same-pixels=5'
grep -q '	same-pixels	of 5$' r.tsv; ok $? 'a comment in the file makes no difference'
run 0 'bytes, then pixels' sh -c 'dc-filter --same-bytes --same-pixels --near 0 --rejects r.tsv <dup.dcs >all.dcs'
is 'the first reason counts' "$(reasons r.tsv)" 'image=1 same-bytes=4 same-pixels=1'
run 0 '--decode' sh -c 'dc-filter --decode --rejects r.tsv <dup.dcs >x.dcs'
is 'drops what does not decode' "$(reasons r.tsv)" 'image=1'
run 0 'limits of bytes' sh -c 'dc-filter --min-bytes 701 --rejects r.tsv <dup.dcs >x.dcs'
is 'of the files' "$(reasons r.tsv)" 'min-bytes=1'
run 0 'all of it' sh -c 'dc-filter --max-bytes 10 -v --rejects r.tsv <dup.dcs >none.dcs'
said '66 in = 0 out' 'can go'
check 'and the stream is whole' dc-peek --check none.dcs
dc-decode --tail short train-000.tar >plain.dcs 2>err
run 1 'decoded images have no bytes' sh -c 'dc-filter --same-bytes <plain.dcs >x.dcs'
said 'image 0 is decoded: --same-bytes needs dc-decode --keep-encoded' 'and that is said'
run 0 'but pixels' sh -c 'dc-filter --same-pixels <plain.dcs >x.dcs'
dc-decode -k --epochs 2 train-000.tar >two.dcs 2>err
run 1 'two epochs' sh -c 'dc-filter --same-bytes <two.dcs >x.dcs'
said 'epoch 1: duplicates are looked for in one epoch only' 'are refused'
run 0 'unless nothing is compared' sh -c 'dc-filter --min-side 10 <two.dcs >x.dcs'

run 0 'from shards to shards' sh -c 'dc-decode -k --captions all --tail short dup.tar | dc-filter --decode --same-bytes | dc-shard --out clean -'
dc-stats --decode --tsv clean/*.tar >t.tsv 2>err
is 'without them' "$(awk -F '\t' '$1 == "samples" && $2 == "good" || $1 == "duplicates" && $2 == "images" { printf "%s ", $3 }' t.tsv)" '61 0 '

# --- against another set ---
dc-decode -k --tail short --batch 50 --steps 1 train-000.tar >known.dcs 2>err
run 0 '--against' sh -c 'dc-filter --same-bytes --against known.dcs --rejects r.tsv <dup.dcs >x.dcs'
is 'drops what is in it' "$(reasons r.tsv)" 'same-bytes=54'
grep -q '^3	dup.tar	./000003		same-bytes	of 3 of --against$' r.tsv; ok $? 'and says of which'
run 0 'near too' sh -c 'dc-filter --near 0 --against known.dcs --rejects r.tsv <dup.dcs >x.dcs'
[ "$(grep -c 'of --against' r.tsv)" -ge 54 ]; ok $? 'by the perceptual hash'

# --- near duplicates ---
py pictures >pictures.dcs
for d in 0 3 8; do
	run 0 "--near $d" sh -c 'dc-filter --near "$1" --rejects r.tsv --kept k.tsv <pictures.dcs >near.dcs' - $d
	tail -n +2 r.tsv | cut -f 1,5,6 >got
	py greedy $d <pictures.dcs >want
	[ -s want ]; ok $? "$(wc -l <want) are near"
	check 'the same as comparing with all, in numpy' cmp got want
	check 'and the others are there' py rows pictures.dcs near.dcs k.tsv
	cp near.dcs first.dcs; cp r.tsv first.tsv
	run 0 'one thread, five threads' sh -c 'dc-filter -j 1 --near "$1" --rejects 1.tsv <pictures.dcs >1.dcs && dc-filter -j 5 --near "$1" --rejects 5.tsv <pictures.dcs >5.dcs' - $d
	check 'the same bytes' sh -c 'cmp 1.dcs first.dcs && cmp 5.dcs first.dcs && cmp 1.tsv first.tsv && cmp 5.tsv first.tsv'
done
py scaled >scaled.dcs
run 0 'scaled, cropped, brightened' sh -c 'dc-filter --near 9 --rejects r.tsv --kept k.tsv <scaled.dcs >x.dcs'
is 'are near, others are not' "$(reasons r.tsv), $(cut -f 1 k.tsv | tail -n 12 | tr '\n' ' ')" 'near=36, 48 49 50 51 52 53 54 55 56 57 58 59 '

# --- captions ---
cat >lines <<'END'
A dog runs over the grass
Собака бежит по траве
Ένας σκύλος τρέχει στο γρασίδι
一只狗在草地上奔跑
كلب يركض على العشب
घास पर दौड़ता कुत्ता
Ein Hund läuft über die Wiese
a dog RUNS over  the grass
a dog runs over the grass.
dog
-a dog runs over the grass
-Cheap VIAGRA, New-York
Click here! New &amp; York
2024 / 12
END
py texts lines >texts.dcs
texts() { # texts WANT OPTION...: the numbers of the samples kept
	want=$1; shift
	dc-filter "$@" --kept k.tsv --rejects r.tsv <texts.dcs >kept.dcs 2>err
	is "$*" "$(tail -n +2 k.tsv | cut -f 1 | tr '\n' ' ')" "$want"
}
texts '0 6 7 8 9 10 ' --script Latin
texts '1 ' --script Cyrillic
texts '2 ' --script grek
texts '3 ' --script Han,Hiragana
texts '4 ' --script Arabic
texts '5 ' --script Devanagari
texts '0 1 2 3 4 5 6 7 8 9 10 ' --script Latin --script-share 0
texts '0 7 8 9 10 11 ' --charset ascii
texts '0 6 7 8 9 10 11 ' --charset latin1
texts '0 1 2 4 5 6 7 8 9 10 ' --min-words 4
texts '3 9 11 ' --max-words 3
texts '0 1 2 4 5 6 7 8 9 10 ' --min-chars 18
texts '3 9 11 ' --max-chars 11
texts '0 1 2 3 4 5 6 8 9 10 11 ' --max-repeats 1
is 'of equal captions the first' "$(tail -n +2 r.tsv | cut -f 1,4,5 | tr '\t\n' ' ,')" '7  max-repeats,9 1 max-repeats,'
texts '0 1 2 3 4 5 6 7 8 9 10 11 ' --max-repeats 2
is 'of three the third' "$(tail -n +2 r.tsv | cut -f 1,4,5 | tr '\t\n' ' ,')" '9 1 max-repeats,'
printf '# bad words\n\nviagra\nNEW YORK\nclick here\r\nwiese\n' >block
texts '0 1 2 3 4 5 7 8 9 11 ' --block block
is 'what was found' "$(tail -n +2 r.tsv | cut -f 1,4,5,6 | tr '\t\n' ' ,')" '6  block wiese,9 2 block viagra,10  block click here,'
is 'captions are counted' "$(sed -n 's/.*captions: //p' err)" '14 in = 11 out + 3 dropped (3 block)'
texts '9 ' --block block --script Latin --max-words 1 --min-chars 3
is 'the first reason counts' "$(reasons r.tsv)" 'max-words=7 script=6'
texts '11 ' --block block --min-side 2 --max-chars 10 --charset ascii --min-words 2
is 'also here' "$(reasons r.tsv)" 'charset=1 max-chars=9 min-words=1'
texts '' --min-side 3
texts '' --max-side 1
texts '0 1 2 3 4 5 6 7 8 9 10 11 ' --max-side 2 --min-side 2 --max-aspect 1
check 'equal captions are equal to the tokenizer' test "$(dc-filter --max-repeats 1 <texts.dcs 2>/dev/null | dc-peek --text | grep -c 'the *grass"')" = 1

if [ -f "$DATA/text/captions.de.txt" ]; then
	for l in en de fr cs; do head -n 300 "$DATA/text/captions.$l.txt"; done >lines
	many=$(wc -l <lines)
	py texts lines >texts.dcs
	run 0 'captions in English, German, French, Czech' sh -c 'dc-filter --script Latin <texts.dcs | dc-filter --script Cyrillic >x.dcs'
	said "captions: $many in = $many out|captions: [0-9]* in = 0 out" 'are Latin and not Cyrillic'
else
	skip "no text in $DATA" 'real captions in four languages'
fi
if [ -f "$DATA/flickr8k/train-011.tar" ]; then
	run 0 'Flickr8k' sh -c 'dc-decode -k --name-shards --tail short --caption json:captions --captions all "$1/train-{000..011}.tar" |
		dc-filter --same-bytes --near 6 --max-repeats 1 --rejects r.tsv >x.dcs' - "$DATA/flickr8k"
	said '^dc-filter: samples: 6000 in = 5999 out [+] 1 dropped [(]1 same-bytes[)]$' 'holds one image twice'
	said '^dc-filter: captions: 30000 in = 29[0-9]* out [+] [0-9]* dropped [(][0-9]* max-repeats, 5 with-image[)]$' 'and captions more than once'
else
	skip "no flickr8k in $DATA" 'Flickr8k'
fi

# --- mistakes ---
usage() { # usage MESSAGE OPTION...
	want=$1; shift
	run 2 "dc-filter $*" sh -c 'dc-filter "$@" <texts.dcs' - "$@"
	said "$want" 'says why'
}
usage 'no operands: samples come on stdin' train-000.tar
usage "Unicode has no script 'Klingon' with letters" --script Latin,Klingon
usage 'names of scripts' --script ''
usage '--script-share: of which --script' --script-share 0.5
usage '--min-words 5 is above --max-words 4' --min-words 5 --max-words 4
usage '--max-aspect' --max-aspect 0.5
usage 'must be .*ascii' --charset utf8
usage '--against: no rule compares samples' --against known.dcs
usage 'none.txt' --block none.txt
printf 'fine\n...\n' >block
usage 'block: line 2: no word in it' --block block
run 1 'nothing to be against' sh -c 'dc-filter --near 1 --against /dev/null <texts.dcs'
run 1 'lists that cannot be written' sh -c 'dc-filter --rejects none/r.tsv <texts.dcs'
run 1 'a full disk' sh -c 'dc-filter --min-side 3 --rejects /dev/full <texts.dcs >x.dcs'
said '/dev/full' 'is said'
for what in keys captions owner negative shape type empty shards image; do
	py bad $what >bad.dcs
	run 1 "a frame with a wrong $what" sh -c 'dc-filter --near 3 --max-repeats 1 <bad.dcs >x.dcs'
	said '^dc-filter: <stdin>: frame 1 [(]samples[)] at byte 0: ' 'is refused'
done
py bad fine >bad.dcs
run 0 'a frame with nothing wrong' sh -c 'dc-filter --near 3 --max-repeats 1 <bad.dcs >x.dcs'
head -c 3000 texts.dcs >cut.dcs
run 1 'a truncated stream' sh -c 'dc-filter --near 3 <cut.dcs >x.dcs'
run 3 'a pipe that ends too soon' sh -c 'py() { head -c 0; }; py | dc-filter >x.dcs'
done_testing
