#!/bin/sh
# SPDX-License-Identifier: MIT
# The tools that make, read and clean shards, per processor second of one thread: against GNU tar where they only move bytes,
# against decoding alone (dc-decode, that is libjpeg-turbo) where they look at pixels, against Pillow where they write images.
. "${0%/*}/lib.sh"

photos=$tmp/photos
mkdir "$photos"
if [ -f "$DATA/native/native-000.tar" ]; then
	for t in "$DATA"/native/*.tar; do tar -xf "$t" -C "$photos" --wildcards '*.jpg' '*.txt'; done
	for copy in 1 2 3 4 5 6 7 8 9; do # a byte more: no two files are equal
		for f in "$photos"/[0-9]*.jpg; do
			to=$photos/c$copy-${f##*/}
			{ cat "$f"; printf '\n%s' $copy; } >"$to"
			cp "${f%.jpg}.txt" "${to%.jpg}.txt"
		done
	done
	what='photos of 500 x 375'
else
	dc-scenes --out "$tmp/drawn" --train 3000 --test 0 --zero-shot 0 || exit 1
	for t in "$tmp"/drawn/train-*.tar; do tar -xf "$t" -C "$photos"; done
	what='drawn scenes'
fi
shards=$tmp/photos.tar
tar --sort=name -cf "$shards" -C "$photos" .
tar --sort=name -cf "$tmp/a.tar" -C "$photos" --exclude='*[0-4].*' .
tar --sort=name -cf "$tmp/b.tar" -C "$photos" --exclude='*[5-9a-z].*' .
mb=$(calc "$(stat -c %s "$shards") / 1e6" 3)
count=$(dc-decode --count "$shards")

pair() { # pair OURS THEIRS: medians of their processor seconds, into $ours and $theirs
	rm -f "$tmp/ours" "$tmp/theirs"
	r=1
	while [ $r -le "$ROUNDS" ]; do
		processor_s "$1" >>"$tmp/ours"
		processor_s "$2" >>"$tmp/theirs"
		r=$((r + 1))
	done
	ours=$(median <"$tmp/ours") theirs=$(median <"$tmp/theirs")
}
moves() { # moves WHAT OURS PEER THEIRS
	pair "$2" "$4"
	row curate "$1, $what" "$(calc "$mb / $ours" 0)" MB/s/core "$3" "$(calc "$mb / $theirs" 0)" "$(calc "$theirs / $ours")" -
}
looks() { # looks WHAT OURS PEER THEIRS
	pair "$2" "$4"
	row curate "$1, $what" "$(calc "$count / $ours" 0)" images/s/core "$3" "$(calc "$count / $theirs" 0)" "$(calc "$theirs / $ours")" -
}

read="dc-decode -j1 --keep-encoded --tail short $shards"
moves 'dc-shard, a folder' "rm -rf $tmp/out; dc-shard -j1 -o $tmp/out $photos" 'tar -c' "tar --sort=name -cf $tmp/out.tar -C $photos ."
moves 'dc-decode --keep-encoded' "$read" 'tar -x, to stdout' "tar -xOf $shards"
moves 'dc-mix of two halves' "dc-mix -j1 --keep-encoded a=1:$tmp/a.tar b=1:$tmp/b.tar" 'tar -x, to stdout' "tar -xOf $tmp/a.tar; tar -xOf $tmp/b.tar"
moves 'dc-filter --same-bytes' "$read | dc-filter -j1 --same-bytes" 'tar -x, b2sum' "tar -xOf $shards | b2sum"
moves 'dc-stats' "dc-stats -j1 $shards" 'tar -x, to stdout' "tar -xOf $shards"
decode="dc-decode -j1 --tail short $shards"
looks 'dc-stats --decode' "dc-stats -j1 --decode $shards" 'decoding alone' "$decode"
looks 'dc-filter --same-pixels --near 4' "$read | dc-filter -j1 --same-pixels --near 4" 'decoding alone' "$decode"
if has_peer PIL; then
	cat >"$tmp/shrink.py" <<'P'
import glob, io, sys, tarfile
from PIL import Image
with tarfile.open(sys.argv[2], 'w') as out:
    for name in sorted(glob.glob(sys.argv[1] + '/*.jpg')):
        im = Image.open(name).convert('RGB')
        im.thumbnail((256, 256), Image.BICUBIC, reducing_gap=None)
        b = io.BytesIO()
        im.save(b, 'JPEG', quality=90)
        for suffix, data in (('.jpg', b.getvalue()), ('.txt', open(name[:-4] + '.txt', 'rb').read())):
            info = tarfile.TarInfo(name.rsplit('/', 1)[1][:-4] + suffix)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
P
	looks 'dc-shard --max-side 256 --quality 90' "rm -rf $tmp/out; dc-shard -j1 --max-side 256 --quality 90 -o $tmp/out $photos" \
	    'Pillow' "OMP_NUM_THREADS=1 $PYTHON $tmp/shrink.py $photos $tmp/out.tar"
fi
