#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-shard: folders, listings and samples frames as tar shards.
. "${0%/*}/lib.sh"
dc-scenes --out . --train 70 --test 1 --zero-shot 0 --size 32 >out 2>err || exit 99
mkdir tree && tar -xf train-000.tar -C tree || exit 99
keys() { tar -tf "$1" | sed 's/\.[^.]*$//' | uniq; }

run 0 '--help' dc-shard --help
run 2 'no folder' dc-shard -o x
run 2 'no --out' dc-shard tree
run 2 'a folder and a listing' dc-shard -o x --list y tree
run 2 '- beside others' dc-shard -o x - tree
run 2 'shares that do not add up' dc-shard -o x --split 0.5,0.4 tree
said 'the shares add up to 0.9, not to 1' 'are refused'
run 1 'a folder that is not there' dc-shard -o x none
run 1 'a folder without images' dc-shard -o x /var/empty/../../tmp/none
[ ! -e x ]; ok $? 'nothing was made'

# --- a folder ---
run 0 'a folder' dc-shard -o plain -n 30 tree
[ ! -s err ] && [ ! -s out ]; ok $? 'in silence'
keys plain/data-000000.tar >a; keys plain/data-000001.tar >>a; keys plain/data-000002.tar >>a
seq -f %06g 0 69 >b
check 'three shards, in order' cmp a b
[ "$(keys plain/data-000000.tar | wc -l)" = 30 ]; ok $? 'of 30 samples'
mkdir back && for i in 0 1 2; do tar -xf plain/data-00000$i.tar -C back; done
check 'what is in them is what was there, byte for byte' sh -c 'for f in back/*.jpg back/*.json; do cmp $f tree/${f#*/} || exit; done'
tar -tvf plain/data-000000.tar | awk '$1 != "-rw-r--r--" || $2 != "0/0" || $4 != "2000-01-01"' >out; [ ! -s out ]; ok $? 'owners, modes and times are fixed'
run 0 'dc-decode reads them' dc-decode --count 'plain/data-{000000..000002}.tar'
said '^70$' 'all'
for j in 1 3; do
	run 0 "-j $j" dc-shard -j $j -o j$j -n 30 tree
	check 'the same bytes' diff -r plain j$j
done
run 0 '--shuffle' dc-shard --shuffle 3 -o mixed tree
keys mixed/data-000000.tar >a
! cmp -s a b && sort a | cmp -s - b; ok $? 'another order of all'
run 0 'the same seed' dc-shard --shuffle 3 -o mixed2 tree
check 'the same order' diff -r mixed mixed2
run 1 'a disk that is full' sh -c 'trap "" XFSZ; ulimit -f 40; dc-shard -o full tree'
said '^dc-shard: .*File too large' 'is an error'
[ -z "$(find full -name '*.tar' 2>/dev/null)" ]; ok $? 'and no shard has its name'
run 1 'a place that cannot be written' dc-shard -o /proc/none tree
said '/proc/none' 'is named'
run 0 '--prefix' dc-shard --prefix photos -o named -n 30 tree
check 'other names' test "$(cd named && echo *.tar)" = 'photos-000000.tar photos-000001.tar photos-000002.tar'
check 'of the same bytes' cmp named/photos-000001.tar plain/data-000001.tar
run 2 '--prefix beside --split' dc-shard --prefix photos --split 0.5,0.5 -o twice tree
run 0 'a limit of bytes' sh -c 'cat tree/*.jpg >big && dc-shard -m 1 -o mb --quality 95 tree && rm big'
run 0 'shards of 100 kB' dc-shard -n 0 -m 1 -o mb1 tree
mkdir heavy && head -c 400000 /dev/zero >zeros
for i in 1 2 3 4 5; do cat tree/00000$i.jpg zeros >heavy/$i.jpg; echo $i >heavy/$i.txt; done
run 0 'images of 0.4 MB, at most 1 MB a shard' dc-shard -n 0 -m 1 -o heavy.out heavy
[ "$(for f in heavy.out/*.tar; do keys $f | wc -l; done | tr '\n' ' ')" = '2 2 1 ' ]; ok $? 'two in each'

# --- what is refused, and keys ---
mkdir odd odd/sub.dir odd/.hidden
cp tree/000001.jpg odd/sub.dir/a.b.jpg; echo one >odd/sub.dir/a.b.txt
cp tree/000002.jpg odd/sub.dir/a_b.JPEG; echo two >odd/sub.dir/a_b.txt
cp tree/000003.jpg odd/café.jpg; echo '  un café ' >odd/café.txt
cp tree/000003.jpg odd/.hidden/x.jpg; echo no >odd/.hidden/x.txt
cp tree/000004.jpg odd/none.jpg
cp tree/000004.jpg odd/blank.jpg; echo ' ' >odd/blank.txt
head -c 200 tree/000004.jpg >odd/cut.jpg; echo x >odd/cut.txt
echo text >odd/text.png; echo x >odd/text.txt
cp tree/000005.jpg odd/label.jpg; echo x >odd/label.txt; echo cat >odd/label.cls
cp tree/000005.jpg odd/bad.jpg; printf 'x\377\n' >odd/bad.txt
cp tree/000005.jpg odd/seven.png; echo seven >odd/seven.txt; echo 7 >odd/seven.cls
ln -s nowhere odd/lost.jpg; ln -s seven.png odd/again.jpg; echo link >odd/again.txt
run 0 'odd files' dc-shard -o odd.out --rejects odd.tsv odd
said '^dc-shard: 12 in = 5 out \+ 7 rejected, 1 shards$' 'are counted'
cat >want <<'END'
name	reason
bad.jpg	bad-caption: .txt is not UTF-8 text
blank.jpg	blank-caption: .txt is blank
cut.jpg	image: JPEG:
label.jpg	bad-label: the label is no whole number
lost.jpg	file: No such file or directory
none.jpg	no-caption: no member with a caption
text.png	image: not a JPEG, PNG or WebP image
END
sed 's/JPEG: .*/JPEG:/; s/ (begins.*//' odd.tsv >a
check 'and listed' cmp a want
tar -tf odd.out/data-000000.tar | sed 's/\\303\\251/é/' >a
printf '%s\n' again.jpg again.txt café.jpg café.txt seven.jpg seven.txt seven.cls sub_dir/a_b.jpg sub_dir/a_b.txt sub_dir/a_b-2.jpg sub_dir/a_b-2.txt >want
check 'names by content, keys without dots, all different' cmp a want
[ "$(tar -xOf odd.out/data-000000.tar --wildcards 'caf*.txt')" = 'un café' ]; ok $? 'blanks at the ends of a caption go'
run 0 '--captionless' dc-shard --captionless -o bare odd
said '= 6 out' 'takes images without a caption'
run 1 'nothing that can be used' dc-shard -o nothing odd/.hidden/none.txt odd
mkdir only && cp odd/text.png only
run 1 'no sample' dc-shard -o nothing2 only
said 'no sample is left of 1 images' 'is an error'
cp tree/000006.jpg long.jpg; mkdir -p deep; name=$(printf '%0120d' 7); mkdir -p "deep/$name/$name"
cp long.jpg "deep/$name/$name/$name.jpg"; echo deep >"deep/$name/$name/$name.txt"
run 0 'a name too long for a plain tar header' dc-shard -o deep.out deep
run 0 'is read and written again' sh -c 'dc-decode -k deep.out/data-000000.tar | dc-shard -o deep2 -'
check 'whole' cmp deep.out/data-000000.tar deep2/data-000000.tar

# --- listings ---
cat >list.tsv <<'END'
tree/000003.jpg	three
tree/000001.jpg	one
tree/000003.jpg	drei
tree/none.jpg	x
END
run 0 'TSV' dc-shard --list list.tsv -o tsv
said '3 in = 2 out \+ 1 rejected' 'rows of one image are one sample'
[ "$(tar -xOf tsv/data-000000.tar tree/000003.json)" = '{"captions": ["three", "drei"]}' ]; ok $? 'with several captions'
[ "$(tar -tf tsv/data-000000.tar | grep -v cls | tr '\n' ' ')" = 'tree/000001.jpg tree/000001.txt tree/000003.jpg tree/000003.txt tree/000003.json ' ]; ok $? 'in byte order'
printf 'label,caption,filepath,key\r\n3,"a ""quoted"", one\r\nof two lines",000001.jpg,k.1\r\n,plain,000002.jpg,\r\n4,"open,000003.jpg' >list.csv
run 0 'CSV with a header' dc-shard --root tree --list list.csv --rejects csv.tsv -o csv
said '3 in = 2 out \+ 1 rejected' 'its rows'
printf 'a "quoted", one\r\nof two lines' >want; tar -xOf csv/data-000000.tar k_1.txt >a
check 'quotes, commas and line ends in a field' cmp a want
[ "$(tar -xOf csv/data-000000.tar k_1.cls)" = 3 ]; ok $? 'a label, and the key that is asked for'
cp csv.tsv err; grep -q '^list.csv:5	row: a quote is not closed' csv.tsv; ok $? 'a bad row is named with its line'
cat >list.jsonl <<'END'
{"path": "000001.jpg", "captions": ["one", "eins"], "label": 5}
not json

{"file": "000002.jpg", "caption": "two", "key": "deux"}
{"caption": "lost"}
END
run 1 'an empty listing' dc-shard --list - --format jsonl -o jsonl
said 'nothing is listed' 'is an error'
run 0 'JSON lines' sh -c 'dc-shard --root tree --list - --format jsonl --rejects jsonl.tsv -o jsonl <list.jsonl'
[ "$(tar -tf jsonl/data-000000.tar | grep -v deux.cls | tr '\n' ' ')" = '000001.jpg 000001.txt 000001.json 000001.cls deux.jpg deux.txt ' ]; ok $? 'their samples'
cut -f 1 jsonl.tsv | tr '\n' ' ' >a; [ "$(cat a)" = 'name -:2 -:5 ' ]; ok $? 'and bad lines'
ls tree/*.jpg | shuf --random-source=list.tsv >names
run 0 'a list of names alone' dc-shard --list names -o names.out
[ "$(tar -xOf names.out/data-000000.tar tree/000009.txt)" = "$(cat tree/000009.txt)" ]; ok $? 'captions are looked for beside the images'

# --- splits ---
run 0 '--split' dc-shard --split 0.6,0.2,0.2 -n 10 -o split tree
for s in train val test; do for f in split/$s-*.tar; do keys $f; done >$s.keys; done
cat train.keys val.keys test.keys | sort >a
check 'each sample is in one' cmp a b
[ "$(wc -l <train.keys)" -gt 30 ] && [ "$(wc -l <val.keys)" -gt 4 ] && [ "$(wc -l <test.keys)" -gt 4 ]; ok $? 'about as asked'
mkdir more && cp -r tree more/tree && for i in $(seq 40); do cp tree/000001.jpg more/tree/000000_$i.jpg; echo n >more/tree/000000_$i.txt; done
run 0 'data are added' dc-shard --split 0.6,0.2,0.2 -n 10 -o split2 more/tree
for s in train val test; do
	for f in split2/$s-*.tar; do keys $f; done | grep -v _ >a
	check "those that were in $s stay there" cmp a $s.keys
done

# --- samples frames ---
run 0 'a stream' sh -c 'dc-decode -k --tail short --captions all --caption json:captions,txt train-000.tar | dc-shard -n 30 -o stream -'
mkdir back2 && for i in 0 1 2; do tar -xf stream/data-00000$i.tar -C back2; done
check 'the images untouched' sh -c 'for f in back2/*.jpg; do cmp $f tree/${f#*/} || exit; done'
run 1 'decoded images' sh -c 'dc-decode train-000.tar | dc-shard -o d -'
said 'quality is needed' 'need --quality'
run 0 'and get it' sh -c 'dc-decode train-000.tar | dc-shard --quality 90 -o d -'
run 0 'two epochs' sh -c 'dc-decode -k --epochs 2 train-000.tar | dc-shard -o two -'
[ "$(keys two/data-000000.tar | sort | uniq | wc -l)" = 140 ]; ok $? 'no key twice'
dc-decode -k train-000.tar >whole.dcs && head -c 20000 whole.dcs >cut.dcs
run 1 'a stream that is cut off' sh -c 'dc-shard -o cut - <cut.dcs'
[ ! -e cut/data-000000.tar ] && [ ! -e cut/data-000000.tar.part ]; ok $? 'leaves no shard'
: >empty; run 1 'no samples' sh -c 'dc-shard -o none2 - <empty'

# --- sizes ---
run 0 '--max-side' dc-shard --max-side 16 -o small tree
run 0 'smaller images' sh -c 'dc-decode small/data-000000.tar | dc-peek --text'
said 'image .*u8 \[16,16,3\]' 'as asked'
run 0 'nothing is too large' dc-shard --max-side 32 -n 30 -o same tree
check 'nothing is changed' cmp same/data-000000.tar plain/data-000000.tar
run 1 '--max-pixels' dc-shard --max-pixels 1000 -o d2 tree
said '70 rejected' 'refuses larger images'
{ head -c 2 tree/000000.jpg
printf '\377\341\000\042Exif\000\000II*\000\010\000\000\000\001\000\022\001\003\000\001\000\000\000\006\000\000\000\000\000\000\000'
tail -c +3 tree/000000.jpg; } >turned.jpg
mkdir turn && cp turned.jpg turn/a.jpg && cp tree/000001.jpg turn/b.jpg && echo a >turn/a.txt && echo b >turn/b.txt
run 0 '--exif' dc-shard --exif -o turn.out turn
mkdir back3 && tar -xf turn.out/data-000000.tar -C back3
! cmp -s back3/a.jpg turned.jpg; ok $? 'encodes anew what is turned'
check 'and nothing else' cmp back3/b.jpg turn/b.jpg

# --- killed and run again ---
run 0 'an undisturbed run' dc-shard -n 10 --split 0.8,0.2 --rejects whole.tsv -o whole tree odd
restart() { # restart DESCRIPTION: of the directory `cut`
	find cut -name '*.tar' -exec touch -d 2001-01-01 {} +
	dc-shard -n 10 --split 0.8,0.2 --rejects cut.tsv -o cut tree odd >out 2>err; ok $? "$1"
	diff -r whole cut >err && cmp cut.tsv whole.tsv >>err; ok $? 'the same bytes'
}
fresh() { rm -rf cut cut.tsv; cp -r whole cut; }
fresh; restart 'finished before'
[ "$(find cut -name '*.tar' -newermt 2002-01-01 | wc -l)" = 0 ]; ok $? 'nothing is written again'
lines=$(wc -l <whole/shards.jsonl)
for at in 1 3 $((lines - 1)); do
	fresh; head -n "$at" whole/shards.jsonl >cut/shards.jsonl; sed -n "$((at + 1))p" whole/shards.jsonl | head -c 40 >>cut/shards.jsonl
	restart "cut off in line $((at + 1)) of the journal"
	[ "$(find cut -name '*.tar' ! -newermt 2002-01-01 | wc -l)" = $((at - 1)) ]; ok $? 'what was finished is not written again'
done
fresh; head -n 2 whole/shards.jsonl >cut/shards.jsonl; rm cut/*.tar; cp whole/train-000000.tar cut/train-000000.tar.part
restart 'killed before a shard took its name'
[ "$(find cut -name train-000000.tar -newermt 2002-01-01 | wc -l)" = 1 ]; ok $? 'it takes it'
fresh; rm cut/train-000001.tar; restart 'a shard was lost'
fresh; rm -rf cut; : >log
for i in 1 2 3 4 5 6; do
	timeout -s KILL "0.0$i" dc-shard -n 10 --split 0.8,0.2 --rejects cut.tsv -o cut tree odd >>log 2>&1
done
mkdir -p cut; restart 'killed six times'
run 1 'other options' dc-shard -n 11 --split 0.8,0.2 -o whole tree odd
said 'was begun with other options' 'are refused'
run 1 'other data' dc-shard -n 10 --split 0.8,0.2 -o whole tree
said 'was begun with other data' 'are refused'
head -c 3 whole/train-000000.tar >before
run 0 'a stream again' sh -c 'rm stream/data-000002.tar && dc-decode -k --tail short --captions all --caption json:captions,txt train-000.tar | dc-shard -n 30 -o stream -'
mkdir again && dc-decode -k --tail short --captions all --caption json:captions,txt train-000.tar | dc-shard -n 30 -o again - 2>err
check 'the same bytes' diff -r again stream

if [ -n "${DC_TORCH_PYTHON:-}" ] && "$DC_TORCH_PYTHON" -c 'import webdataset' 2>/dev/null; then
	cat >read.py <<'END'
import sys, webdataset
for s in webdataset.WebDataset(sys.argv[1], shardshuffle=False):
    print(s["__key__"], len(s["jpg"]), s["txt"].decode(), s.get("cls", b"-").decode())
END
	check 'webdataset reads them' "$DC_TORCH_PYTHON" read.py odd.out/data-000000.tar
	[ "$(wc -l <out)" = 5 ]; ok $? 'all'
	said '^sub_dir/a_b-2 [0-9]+ two -$' 'key, image and caption'
	said '^seven [0-9]+ seven 7$' 'and label'
else
	skip 'no webdataset in DC_TORCH_PYTHON' 'webdataset reads them'
fi
done_testing
