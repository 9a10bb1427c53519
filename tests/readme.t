#!/bin/sh
# SPDX-License-Identifier: MIT
# The README's commands, as they stand there: a folder becomes a shard, a model, scores; the tour of one batch; the filter.
# flickr8k and imagenette are the real ones where there are any, else shards of scenes of those names.
. "${0%/*}/lib.sh"
readme=$top/README.md
PYTHON=$(need_python >/dev/null && echo "$PYTHON")

block() { # block SECTION N: its N-th block of indented lines
	awk -v section="## $1" -v n="$2" '
		/^## / { on = $0 == section; k = 0; inside = 0; next }
		!on { next }
		/^    / { if (!inside) k++; inside = 1; if (k == n) { while (blank-- > 0) print ""; print substr($0, 5) } blank = 0; next }
		/^$/ { if (inside) blank++; next }
		{ inside = 0; blank = 0 }' "$readme"
}
prompted() { # the commands of a block that shows what they print: after "$ ", with the lines that go on
	awk '/^\$ / { print substr($0, 3); more = /\|$/; next } more && /^ / { print; more = /\|$/; next } { more = 0 }'
}
must() { # must DESCRIPTION: run what is in the file `commands`, which must not be empty
	[ -s commands ]; ok $? "$1: the README has commands for it"
	run 0 "$1" bash -euo pipefail commands
}

# what the README stands beside
ln -s "$top/pipelines" "$top/tests" "$top/man" .
ln -s "$DC_BIN" build
mkdir my-folder demo
dc-scenes --out demo/scenes --train 100 --test 40 --shard 50 --zero-shot 20 --size 64 --seed 3 >/dev/null &&
	tar -xf demo/scenes/train-001.tar -C my-folder
ok $? 'a folder of images with captions'
flickr8k='40 images, 80 captions' imagenette='20 images, 8 classes, 56 prompts'
if [ -f "$DATA/flickr8k/dev-001.tar" ]; then
	ln -s "$DATA/flickr8k" flickr8k
	flickr8k='1000 images, 5000 captions'
else
	dc-scenes --out flickr8k --train 1 --test 40 --shard 20 --size 64 >/dev/null
	for i in 000 001; do # captions where Flickr8k's are, two of an image
		mkdir with-json && tar -xf flickr8k/test-$i.tar -C with-json
		for f in with-json/*.txt; do printf '{"captions": ["%s", "another"]}' "$(cat "$f")" >"${f%.txt}.json"; done
		tar --sort=name -cf flickr8k/dev-$i.tar -C with-json . && rm -r with-json
	done
fi
if [ -f "$DATA/imagenette/val.tar" ]; then
	ln -s "$DATA/imagenette" imagenette
	imagenette='200 images, 10 classes, 70 prompts'
else
	mkdir imagenette
	cp demo/scenes/test-shape-000.tar imagenette/val.tar
	cp demo/scenes/test-shape-000.tar imagenette/train.tar
	cp demo/scenes/shapes.txt imagenette/classes.txt
fi

block 'Train on your data' 1 >commands
must 'a folder becomes a shard, and a model'
check 'which is there' test -f runs/first/latest/open_clip_model.safetensors
block Evaluate 1 >commands
must 'recall and zero-shot'
cp out scores
said "^$flickr8k\$" "recall of $flickr8k"
said "^$imagenette\$" "zero-shot of $imagenette"
block Evaluate 2 >commands
must 'features, kept and scored again'
cp out again
check 'with the same recall' sh -c 'grep -A 20 "captions$" again >last && grep "R@" scores >a && grep "R@" last | cmp - a'
[ -f dev/key.json ] && [ -f query/text_features.0.npy ]; ok $? 'and .npy files'
block Evaluate 3 >commands
sed -i '1s#^#PATH=$PWD/build:$PATH\n#' commands
must 'a linear probe and the vote of neighbours'
said '^top-1 ' 'scores'
check 'and a sheet of them' test -s nearest.png
cp "$(ls my-folder/*.jpg | head -n 1)" photo.jpg
block 'Use a model' 1 >commands
must 'captions for a photo, and photos for words'
said '%  a dog$' 'probabilities'
check 'and a sheet of hits' test -s hits.png

mkdir -p demo/run && cp -a runs/first/. demo/run
i=1
while block 'One batch, stage by stage' $i >shown && [ -s shown ]; do
	prompted <shown >commands
	sed -i '1s#^#PATH=$PWD/build:$PATH\n#' commands
	must "one batch, command $i"
	i=$((i + 1))
done
[ $i -gt 4 ]; ok $? 'four stages'

if [ -n "$PYTHON" ] && [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null; then
	block 'A filter of your own' 1 >lengths.py
	block 'A filter of your own' 2 >commands
	sed -i '1s#^#PATH=$PWD/build:$PATH\n#' commands
	must 'a filter in the ring'
	said '^0 \[[0-9]' 'prints the lengths of captions'
else
	skip 'no /usr/bin/python3 with numpy, msgpack, msgpack_numpy, xxhash' 'a filter in the ring'
fi
done_testing
