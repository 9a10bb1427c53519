#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-decode: which samples, in which order, in which batches; what it refuses; how it ends.
. "${0%/*}/lib.sh"
need_python
PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE
ref=$top/tests/reference
"$PYTHON" "$ref/shards.py" || exit 99
S='s-{000..002}.tar'

frames() { "$PYTHON" "$ref/frames.py" "$@"; }

# listed DESCRIPTION ARGUMENTS...: run dc-decode and list its frames in `list`, its messages in `err`
listed() {
	desc=$1; shift
	rm -f list err; code=0
	dc-decode "$@" >stream 2>err </dev/null || code=$?
	[ "$code" -eq 0 ] && frames <stream >list 2>>err; ok $? "$desc"
}
# col N FILE: one column of the samples, joined by blanks
col() { grep '^sample' "${2:-list}" | cut -f"$1" | paste -sd ' ' -; }
is() { # is GOT WANT DESCRIPTION
	[ "$1" = "$2" ] || printf 'got  %s\nwant %s\n' "$1" "$2" >err
	[ "$1" = "$2" ]; ok $? "$3"
}
counts() { grep '^end' list | sed 's/.*"counts": {\([^}]*\)}.*/\1/'; }

# --- the command line ---
run 0 'help' dc-decode --help
run 2 'no shard' dc-decode
run 2 'a rank beyond the world' dc-decode --rank 2 --world 2 s-000.tar
run 2 'an address' dc-decode http://localhost/a.tar
said 'curl' 'and how to read it'
run 2 'a bad caption source' dc-decode --caption json: s-000.tar
run 2 'standard input twice over' dc-decode --epochs 2 -
said 'once only' 'and why'
run 1 'a missing shard' dc-decode s-000.tar gone.tar
said '^dc-decode: gone.tar: No such file' 'is named'
[ ! -s out ]; ok $? 'before anything is sent'
run 1 'images of another extension' dc-decode --image webp,gif "$S"
said 'looked for images in webp,gif' 'are looked for as --image says'
check 'and found' test "$(dc-decode --image webp,png --count "$S" 2>err)" = 27
run 1 'a directory' dc-decode .
said 'directory' 'is told'

# --- one epoch ---
listed 'a pass over three shards' --batch 10 "$S"
is "$(col 5)" 'd.x/k00 d.x/k01 d.x/k02 d.x/k03 d.x/k04 d.x/k05 d.x/k06 d.x/k07 d.x/k08 d.x/k09 d.x/k10 m0 m1 m2 m3 m4 m5 m6 z0 z1 z2 z3 z1 z1 z9' \
	'every usable sample, in order'
is "$(col 3)" '0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 24 25 26' 'images that fail leave their slots empty'
is "$(grep -c '^frame samples' list) $(grep -c 'position 3 part 0 1 N 5' list)" '3 1' 'in three batches'
is "$(counts)" '"dropped": 0, "in": 33, "out": 25, "rejected": 8, "skipped": 0, "unused": 0' 'the counts close'
is "$(sed -n 's/.*"rejected_by": {\([^}]*\)}.*/\1/p' list)" \
	'"bad-caption": 2, "blank-caption": 1, "empty-image": 1, "image": 2, "no-caption": 1, "no-image": 1' 'and say why'
said '33 in = 25 out \+ 8 rejected \(.*2 image\) \+ 0 skipped \+ 0 dropped \+ 0 unused$' 'which is printed'
said '1 samples have a .cls that is no whole number' 'a bad label is told'
is "$(col 9 | cut -d' ' -f1-12)" '0 1 2 3 4 5 6 7 8 9 10 -1' 'labels; -1 where there is none'
is "$(cut -f6 list | grep -v '^[fe]' | sort | uniq -d)" '' 'no id twice'
is "$(dc-decode --count "$S" 2>/dev/null)" 27 '--count is the slots that a run takes'
listed 'a batch of two parts, with a label in one' --batch 100 labels.tar
is "$(sed -n 's/^frame.* part //p' list | paste -sd, -)|$(col 9 | tr ' ' '\n' | sort | uniq -c | xargs)" '0 2 N 64,1 2 N 7|70 -1 1 5' \
	'has them in both'
listed 'batches without a label' --batch 10 --skip 1 labels.tar
is "$(col 9 | tr ' ' '\n' | sort -u)" '-' 'have none'
listed 'a pass at batches of 64' s-000.tar
[ ! -s err ]; ok $? 'is silent'

for f in pax gnu; do
	listed "names in a $f tar" names-$f.tar
	is "$(col 5)" "café/日本 $(printf '%090d' 0 | tr 0 x)/$(printf '%090d' 0 | tr 0 y)" 'of any language and length'
	said '1 bad-key' 'save those that are not UTF-8'
done
odd=$(printf 'c\377t.tar'); cp cut.tar "$odd"
listed 'a damaged shard whose name is not UTF-8' "$odd"
grep -qF '"damaged": ["c?t.tar: damaged' list; ok $? 'is named as far as can be'

# --- threads, parts, shuffling ---
for j in 1 4; do dc-decode -j $j --batch 8 --epochs 3 --shuffle 6 --seed 5 "$S" >j$j 2>err; done
check 'four threads send the bytes of one' cmp j1 j4
frames <j1 >list
for e in 0 1 2; do
	awk -F'\t' -v e=$e '$1 == "sample" && $4 == e { print $6 }' list | sort >ids$e
	awk -F'\t' -v e=$e '$1 == "sample" && $4 == e { print $6 }' list >order$e
done
check 'every epoch has the same samples' cmp ids0 ids1
check 'and so has the third' cmp ids0 ids2
! cmp -s order0 order1 && ! cmp -s order0 ids0; ok $? 'in another order'
dc-decode --batch 8 --epochs 3 --shuffle 6 --seed 6 "$S" 2>err | cmp -s - j1; [ $? -eq 1 ]; ok $? 'another seed, another order'
dc-decode --batch 2000 --epochs 6 "$S" 2>err >stream; frames <stream >list
is "$(sed -n 's/^frame.* part //p' list | paste -sd, -)" '0 3 N 60,1 3 N 60,2 3 N 30' 'parts hold 64 slots'

# --- tails ---
listed 'carry over two epochs' --batch 10 --epochs 2 s-000.tar s-001.tar
is "$(col 2)" '0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1 2 2 2 2 2 2 2 2 2 2 3 3 3 3 3 3' 'fills batches across them'
is "$(col 3)" "$(seq -s ' ' 0 35)" 'slots without a gap'
listed 'short over two epochs' --tail short --batch 10 --epochs 2 s-000.tar s-001.tar
is "$(col 3)" "$(seq -s ' ' 0 17) $(seq -s ' ' 20 37)" 'ends each with a short batch'
is "$(sed -n 's/^frame.* N //p' list | paste -sd ' ' -)" '10 8 10 8' 'of what is left'
listed 'drop over two epochs' --tail drop --batch 10 --epochs 2 s-000.tar s-001.tar
is "$(col 3)" "$(seq -s ' ' 0 19)" 'sends whole batches'
is "$(counts)" '"dropped": 16, "in": 48, "out": 20, "rejected": 12, "skipped": 0, "unused": 0' 'and counts what it drops'
run 1 'drop where an epoch is less than a batch' dc-decode --tail drop --steps 5 s-000.tar
said 'fewer than --batch 64' 'fails and says so'
listed 'steps go through as many epochs as it takes' --batch 10 --steps 7 --shuffle 4 s-000.tar
is "$(col 2 | tr ' ' '\n' | uniq -c | awk '{ print $1 }' | paste -sd ' ' -)" '10 10 10 10 10 10 10' 'seven batches'
is "$(counts)" '"dropped": 0, "in": 74, "out": 70, "rejected": 0, "skipped": 0, "unused": 4' 'what was read ahead is unused'
listed 'epochs bound the steps' --batch 10 --steps 7 --epochs 2 s-000.tar
said 'gave 3 batches, fewer than --steps 7' 'which is told'

# --- skipping ---
wrong=0
for tail in carry short drop; do
	for shuffle in 0 6; do
		dc-decode --batch 8 --epochs 3 --shuffle $shuffle --tail $tail "$S" >whole 2>err || wrong=1
		for k in 1 4 9; do
			dc-decode --batch 8 --epochs 3 --shuffle $shuffle --tail $tail --skip $k "$S" 2>>err >part || wrong=1
			frames raw $k <whole >a 2>>err; frames raw 0 <part >b
			cmp a b >>err || { wrong=1; echo "tail $tail shuffle $shuffle skip $k" >>err; }
		done
	done
done
ok $wrong '--skip sends the rest byte for byte'
listed 'the counts with --skip' --batch 8 --epochs 2 --skip 5 "$S"
is "$(counts)" '"dropped": 0, "in": 60, "out": 12, "rejected": 8, "skipped": 40, "unused": 0' 'close too'
listed '--skip beyond the end' --batch 8 --skip 40 "$S"
is "$(cut -c1-6 list)" 'end 40' 'sends the end alone'

# --- ranks ---
dc-decode --batch 8 --epochs 2 --shuffle 6 "$S" 2>err >stream; frames <stream | grep '^sample' | sort >whole
for r in 0 1 2; do
	dc-decode --batch 8 --epochs 2 --shuffle 6 --rank $r --world 3 "$S" >stream 2>>err; frames <stream >rank$r
done
cat rank? | grep '^sample' | sort >all
awk -F'\t' -v OFS='\t' '{ $9 = ""; print }' whole >want; awk -F'\t' -v OFS='\t' '{ $9 = ""; print }' all >got # labels are a batch's
check 'ranks share the samples of one process' cmp got want
for r in 0 1 2; do grep -c '^frame' rank$r; done >n
is "$(paste -sd ' ' n)" '7 7 7' 'in equally many batches'
is "$(awk -F'\t' '$1 == "sample" && $3 % 3 != 1' rank1)" '' 'by the slot'
is "$(sed -n 's/.*"counts": {\([^}]*\)}.*/\1/p' rank1)" \
	'"dropped": 0, "in": 66, "other_ranks": 36, "out": 17, "rejected": 13, "skipped": 0, "unused": 0' 'counted'
listed 'more ranks than samples' --rank 5 --world 8 --batch 3 --steps 1 s-000.tar
is "$(sed -n 's/^frame.* N //p' list)" 0 'send empty batches'

# --- standard input ---
dc-decode --batch 8 - <s-000.tar 2>err >stream; frames <stream >list
is "$(col 5 | wc -w)" 11 'a shard on standard input'
dc-decode --batch 4 --shuffle 3 - <s-000.tar 2>err >whole
dc-decode --batch 4 --shuffle 3 --skip 2 - <s-000.tar 2>err >part
frames raw 2 <whole >a; frames raw 0 <part >b
check 'skipping there' cmp a b
is "$(dc-decode --count - <s-000.tar)" 11 'counting there'
cat s-000.tar s-001.tar | dc-decode --batch 8 - 2>err >stream; frames <stream >list
is "$(col 5 | wc -w)" 18 'two shards one after another'

# --- captions ---
listed 'captions from JSON' --caption json:captions --captions first --batch 64 s-000.tar
is "$(col 10 | cut -c1-30)" '["d.x/k00 a"] ["d.x/k01 a"] ["' 'the first'
listed 'all of them' --caption json:captions --captions all s-000.tar
is "$(grep -c '\["d.x/k.. a", "d.x/k.. b", "d.x/k.. c", "d.x/k.. d", "d.x/k.. e"\]' list)" 11 'five for each'
listed 'one drawn for each epoch' --caption json:captions --epochs 8 s-000.tar
[ "$(awk -F'\t' '$5 == "d.x/k03" { print $10 }' list | sort -u | wc -l)" -gt 2 ]; ok $? 'differs between epochs'
listed 'a string' --caption json:one s-000.tar
is "$(awk -F'\t' '$5 == "d.x/k03" { print $10 }' list)" '["one é d.x/k03"]' 'is a caption too'
run 1 'a number is none' dc-decode --caption json:number s-000.tar
run 1 'nor is a blank' dc-decode --caption json:blank s-000.tar
listed 'the next source where one gives none' --caption json:blank,txt s-000.tar
is "$(awk -F'\t' '$5 == "d.x/k03" { print $10 }' list)" '["caption of d.x/k03"]' 'is taken, trimmed'

# --- encoded images ---
listed 'images as they are' --keep-encoded --batch 64 "$S"
mkdir enc dec; frames pixels enc <stream; tar xf s-001.tar
check 'byte for byte' cmp enc/m3.bin m3.png
dc-decode "$S" 2>err | frames pixels dec
check 'or their pixels' sh -c "printf 'P6 7 5 255\n' | cmp -n 11 - dec/m3.ppm"
is "$(col 5 | wc -w)" 26 'a header that is too large is refused there too'

# --- EXIF ---
mkdir asis upright
dc-decode turned.tar 2>err | frames pixels asis
dc-decode --exif turned.tar 2>err | frames pixels upright
heads() { for f in "$1"/*.ppm; do head -n 1 "$f" | cut -d' ' -f2,3; done | paste -sd, -; }
is "$(heads asis)" '4 2,4 2,4 2,4 2,4 2,4 2,4 2,4 2,4 2,4 2' 'an orientation in EXIF is ignored'
is "$(heads upright)" '4 2,4 2,4 2,4 2,4 2,2 4,2 4,2 4,2 4,4 2' 'and applied with --exif'
is "$(cksum <asis/9.ppm) $(cksum <upright/1.ppm)" "$(cksum <upright/0.ppm) $(cksum <asis/1.ppm)" 'where it makes sense'
is "$(cksum upright/*.ppm | cut -d' ' -f1 | sort -u | wc -l)" 8 'eight images'
reversed=$(tail -c 24 asis/3.ppm | od -An -v -tx1 -w3 | tac | paste -sd ' ' - | tr -s ' ')
is "$(tail -c 24 upright/3.ppm | od -An -v -tx1 -w3 | paste -sd ' ' - | tr -s ' ')" "$reversed" 'half a turn reverses the pixels'
dc-decode --exif turned.tar 2>err | dc-augment --recipe eval --size 5 >decoded.dcs 2>>err
dc-decode --exif --keep-encoded turned.tar 2>>err | dc-augment --recipe eval --size 5 >encoded.dcs 2>>err
check 'the same views come of encoded images' cmp decoded.dcs encoded.dcs
dc-decode turned.tar 2>err | dc-augment --recipe eval --size 5 | cmp -s - decoded.dcs; [ $? -eq 1 ]; ok $? 'which without --exif differ'

# --- rejects ---
dc-decode --epochs 2 --batch 8 --rejects rej.tsv "$S" >stream 2>err
is "$(awk -F'\t' 'NR > 1 { print $1, $2, $4 }' rej.tsv | sed 's/: .*//' | sort | paste -sd, -)" \
	's-001.tar blank blank-caption,s-001.tar latin bad-caption,s-001.tar no-image no-image,s-001.tar no-text no-caption,s-001.tar nul bad-caption,s-001.tar zero empty-image,s-002.tar broken image,s-002.tar huge image' \
	'--rejects lists each once'
is "$(awk -F'\t' 'NF != 4' rej.tsv)" '' 'in four columns'
off=$(awk -F'\t' '$2 == "no-text" { print $3 }' rej.tsv)
is "$(dd if=s-001.tar bs=1 skip="$off" count=11 2>/dev/null)" 'no-text.png' 'the offset is that of the first member'
cp rej.tsv before.tsv; printf 's-002.tar\thalf a li' >>rej.tsv
dc-decode --epochs 2 --batch 8 --skip 3 --rejects rej.tsv "$S" >stream 2>err
is "$(grep -v half rej.tsv)" "$(cat before.tsv)" 'a run that goes on adds nothing twice'

# --- max-pixels ---
listed 'a limit on the pixels' --max-pixels 30 --rejects rej.tsv s-000.tar
said 'rejected \([0-9]+ image\)' 'refuses larger images'
grep -q 'more than 30' rej.tsv; ok $? 'and says so'

# --- damage ---
listed 'a cut shard' cut.tar s-001.tar
said 'cut.tar: damaged at byte [0-9]+: [Tt]runcated' 'is named with its place'
grep -q '"damaged": \["cut.tar: damaged at' list; ok $? 'also in end'
is "$(col 5 | tr ' ' '\n' | grep -c '^m')" 7 'the other shard is used'
[ "$(col 5 | tr ' ' '\n' | grep -c '^d')" -ge 5 ]; ok $? 'and what comes before the cut'
is "$(dc-decode --count cut.tar s-001.tar 2>err)" "$(col 5 | wc -w)" '--count agrees'
run 1 '--strict fails on it' dc-decode --strict cut.tar s-001.tar
said 'cut.tar: damaged' 'and names it'
for f in garbage empty; do
	listed "$f, then a good shard" $f.tar s-000.tar
	said "^dc-decode: $f.tar: damaged at byte 0" 'is named'
	run 1 "$f alone" dc-decode $f.tar
	said "no usable sample in $f.tar: 0 read" 'fails'
done
run 1 'a key of JSON that no sample has' dc-decode --caption json:none s-000.tar
said 'no usable sample in s-000.tar: [0-9]+ read; extensions seen: .*\.txt' 'says what there is'
run 1 '--count' dc-decode --count --caption json:none s-000.tar
said 'no usable sample in s-000.tar: [0-9]+ read; extensions seen: .*\.txt' 'says the same'
gzip -c s-000.tar >g.tar.gz
listed 'a compressed shard' g.tar.gz
is "$(col 5 | wc -w)" 11 'is read'
head -c 1500 g.tar.gz >h.tar.gz
listed 'a cut one' h.tar.gz s-001.tar
said 'h.tar.gz: damaged' 'is named'
run 1 'a shard without samples' dc-decode --steps 5 nothing.tar
said 'extensions seen: .bin .meta;' 'fails and lists the extensions'
tar -cf apart.tar m1.png m2.png m1.txt m2.txt
run 1 'samples in pieces' dc-decode apart.tar
said 'must stand next to each other.*--sort=name' 'fail with advice'
run 1 'a count of nothing' dc-decode --count nothing.tar
run 1 'images that are none' dc-decode --steps 100 allbad.tar
said 'no image could be decoded' 'fail and do not go round for ever'

# --- the pipe ---
{ { dc-decode --steps 1000000 s-000.tar 2>err; echo $? >code; } | head -c 100 >out; }
is "$(cat code) $(cat err)" '3 ' 'a reader that goes away ends it, silently'
unread; dc-decode s-000.tar >&4 2>err; echo $? >code; exec 4>&-
is "$(cat code) $(cat err)" '3 ' 'and so does one that is gone before the first shard is open'
rm code
# its input stays open until it has ended
tries=600
{ cat s-000.tar; until [ -s code ] || [ $((tries -= 1)) -eq 0 ]; do sleep 0.1; done; [ -s code ] || : >late; } | { dc-decode --batch 4 - 2>err; echo $? >code; [ -f late ] && echo late >>code; } | head -c 10 >out
is "$(cat code) $(cat err)" '3 ' 'also while it waits for data'
run 1 'a full disk is an error' sh -c 'dc-decode s-000.tar >/dev/full'

# --- real images ---
accepted() { # accepted: the files of hard/ that dc-decode takes, in order
	dc-decode "$1" 2>err | frames | awk -F'\t' '$1 == "sample" { print $5 }' | sort
}
if [ -f "$DATA/hard/MANIFEST.tsv" ]; then
	mkdir hard; cp "$DATA"/hard/*.jpg hard; chmod u+w hard/*
	for f in hard/*.jpg; do echo "a caption" >"${f%.jpg}.txt"; done
	tar --sort=name -cf hard.tar hard
	awk -F'\t' 'NR > 1 && $NF == "ok" { sub(/\.jpg$/, "", $1); print "hard/" $1 }' "$DATA/hard/MANIFEST.tsv" | sort >want
	accepted hard.tar >got
	[ -s want ]; ok $? 'hard images'
	check 'are taken and refused as the manifest says' diff want got
else
	skip "no hard images in $DATA" 'are taken and refused as the manifest says'
fi
for REF in ${DC_TORCH_PYTHON:-} "$PYTHON" ''; do
	"${REF:-false}" -c 'import PIL, numpy' 2>/dev/null && break
done
if [ -n "$REF" ] && [ -f hard.tar ]; then
	cat >compare.py <<-'END'
	import glob, io, sys, tarfile, numpy as np
	from PIL import Image
	n = 0
	for path in sys.argv[2:]:
	    for m in tarfile.open(path):
	        if m.name.endswith(".jpg"):
	            try:
	                got = open("%s/%s.ppm" % (sys.argv[1], m.name[:-4].replace("/", "_")), "rb")
	            except FileNotFoundError:
	                continue
	            want = Image.open(io.BytesIO(tarfile.open(path).extractfile(m).read())).convert("RGB")
	            if not np.array_equal(np.asarray(want), np.asarray(Image.open(got))):
	                sys.exit("%s: %s differs from Pillow" % (path, m.name))
	            n += 1
	print(n)
	sys.exit(n < 60)
	END
	mkdir px
	for f in "$DATA/native/native-000.tar" hard.tar; do dc-decode "$f" 2>err | frames pixels px; done
	check 'their pixels are those of Pillow' "$REF" compare.py px "$DATA/native/native-000.tar" hard.tar
else
	skip 'no Pillow or no images' 'their pixels are those of Pillow'
fi
done_testing
