#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-augment: its views are Pillow's byte for byte, whatever the threads, the order and the container of the samples.
. "${0%/*}/lib.sh"
need_python
if ! "$PYTHON" -c 'import PIL' 2>/dev/null; then
	skip_all 'no Python with Pillow (Debian: python3-pil)'
fi
py() { "$PYTHON" "$top/tests/reference/views.py" "$@"; }
real=
for shard in "$DATA/native/native-000.tar" "$DATA/flickr8k/dev-000.tar"; do
	[ ! -f "$shard" ] || real="$real $shard"
done
eda=
[ -f /usr/share/wordnet/index.noun ] || eda='--eda swap,delete'

# --- the command line ---
run 0 '--help exits 0' dc-augment --help
said '^usage: dc-augment' 'and shows the usage'
run 0 '--version exits 0' dc-augment --version
refused() { # refused REASON OPTION...
	reason=$1; shift
	run 2 "$* is refused" dc-augment "$@"
	said "$reason" 'and says why'
}
refused 'must be one of' --recipe simclr
refused 'must be a whole number' --size 0
refused 'must be 2 numbers' --scale 0.5
refused 'must not be above' --scale 0.5,0.2
refused 'must be a number in' --scale 0.5,2
refused 'must be 4 numbers' --jitter 1,1,1
refused 'the hue' --jitter 1,1,1,1
refused 'must be a number in \[0, 1\]' --jitter-p 1.5
refused 'must be a list of' --eda swap,turn
refused 'must be a list of' --eda swap,swap,turn
refused 'must be a whole number' --caption-views 3
refused 'draws no crop' --recipe eval --scale 0.1,0.2
refused 'it is for eval' --recipe clip --resize squash
refused 'give --blur-p too' --recipe clip --blur 1,2
refused 'give --caption-views 2 too' --recipe clip --eda swap
refused 'takes no operands' samples.dcs
run 1 'without WordNet it fails' dc-augment --wordnet /nonexistent
said '^dc-augment: /nonexistent/index.noun: No such file' 'names the file'
said 'wordnet-base.*--eda swap,delete' 'the package and the way without'
run 3 'no stream at all: the neighbour died' dc-augment --eda swap
[ ! -s err ]; ok $? 'and says why itself'

# --- the views ---
# shellcheck disable=SC2086
py make $real >samples.dcs 2>err; ok $? "samples, made ones${real:+ and real ones}"
views() { # views OUT OPTIONS...: dc-augment of samples.dcs
	views_out=$1; shift
	# shellcheck disable=SC2086
	dc-augment $eda "$@" <samples.dcs >"$views_out" 2>err
}
for recipe in declip clip openclip slip eval; do
	options=
	[ "$recipe" = declip ] || options=--recipe=$recipe
	eda_here=$eda; [ "$recipe" = declip ] || eda=
	# shellcheck disable=SC2086
	views "$recipe.dcs" --trace --size 64 $options && [ ! -s err ]; ok $? "$recipe: runs, silent"
	eda=$eda_here
	py check samples.dcs "$recipe.dcs" "$recipe" 64 >out 2>err; ok $? "$recipe: $(tail -n 1 out)"
done
views jitter.dcs --trace --size 33 --jitter 1,1.5,2,0.5 --jitter-p 1 --gray-p 0 --blur 0,9 --blur-p 1 --flip-p 1 \
	--scale 0.01,0.1 --ratio 0.1,10 --interpolation bicubic --seed 9
py check samples.dcs jitter.dcs declip 33 >out 2>err; ok $? "strong options: $(tail -n 1 out)"

# --- nothing else decides ---
views one.dcs --trace --size 48 -j 1
views four.dcs --trace --size 48 -j 4
check '-j 1 and -j 4 give the same bytes' cmp one.dcs four.dcs
views seed.dcs --trace --size 48 --seed 1
! cmp -s one.dcs seed.dcs; ok $? 'another seed gives others'
# shellcheck disable=SC2086
py reverse <samples.dcs | dc-augment $eda --size 48 >reversed.dcs 2>err; ok $? 'samples in another order'
check 'have the same views' py same one.dcs reversed.dcs
# shellcheck disable=SC2086
py make encoded $real >encoded.dcs
# shellcheck disable=SC2086
dc-augment $eda --trace --size 48 <encoded.dcs >from_encoded.dcs 2>err; ok $? 'encoded images are decoded here'
check 'to the same views' cmp one.dcs from_encoded.dcs

# --- images that do not decode ---
# shellcheck disable=SC2086
py make broken $real >broken.dcs
# shellcheck disable=SC2086
dc-augment $eda --trace --size 16 <broken.dcs >kept.dcs 2>err; ok $? 'images that do not decode are no failure'
said '^dc-augment: made1x1: .*the sample is dropped, further ones are counted$' 'the first is named'
said '^dc-augment: [0-9]+ samples dropped' 'the rest are counted'
check 'their rows are gone, the counts closed' py broken broken.dcs kept.dcs
# shellcheck disable=SC2086
dc-augment $eda --max-pixels 100000 --size 16 -v <encoded.dcs >small.dcs 2>err; ok $? '--max-pixels drops larger ones'
[ -z "$real" ] || { said 'pixels, more than 100000; the sample is dropped' 'and says so'; }
said '^dc-augment: [0-9]+ samples, [0-9]+ batches' '-v prints statistics'

# --- damaged frames ---
damage() { # damage MESSAGE PYTHON: change the body b of the first frame
	"$PYTHON" - "$2" <<-'END' >damaged.dcs
		import os, sys
		sys.path.insert(0, os.environ['top'] + '/tests/reference')
		import dcstream, numpy as np
		for kind, step, b in dcstream.read(open('samples.dcs', 'rb')):
		    exec(sys.argv[1])
		    dcstream.write(sys.stdout.buffer, kind, step, b)
		    break
	END
	dc-augment --eda swap --size 8 <damaged.dcs >/dev/null 2>err
	[ $? -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qE "^dc-augment: <stdin>: frame 1 \(samples\) at byte 0: .*$1" err
	ok $? "refused: $1"
}
export top
damage "has no 'id'" 'del b["id"]'
damage 'images and 1 ids' 'b["id"] = b["id"][:1]'
damage 'images and 0 keys' 'b["key"] = []'
damage 'image 1: its shape \[2,2,4\]' 'b["image"][1] = np.zeros((2, 2, 4), np.uint8)'
damage 'image 1: its shape \[0,2,3\]' 'b["image"][1] = np.zeros((0, 2, 3), np.uint8)'
damage 'image 1: its shape \[1,65536,3\]' 'b["image"][1] = np.zeros((1, 65536, 3), np.uint8)'
damage 'image 0: wanted u8' 'b["image"][0] = np.zeros((2, 2, 3), np.float32)'
damage 'image: not a tensor' 'b["image"][0] = 5'
damage 'caption 2 is of image 99 of' 'b["caption_image"] = np.where(np.arange(len(b["caption"])) == 2, 99, b["caption_image"])'
damage 'caption 0 is of image -1 of' 'b["caption_image"] = b["caption_image"] - np.int32(1)'
damage 'captions for' 'b["caption"] = b["caption"][1:]'
damage 'images and [0-9]+ ids' 'b["id"] = dcstream.Ref("<u8", b["id"].shape, "file", "name")'
damage 'captions for' 'b["caption_image"] = dcstream.Ref("<i4", b["caption_image"].shape, "file", "name")'
damage 'slot: not one value for each' 'b["slot"] = b["slot"][1:]'
head -c 5000 samples.dcs | dc-augment --eda swap >/dev/null 2>err; [ $? -eq 1 ]; ok $? 'a truncated frame: exit 1'
dc-augment --eda swap --size 64 <samples.dcs >/dev/full 2>err; [ $? -eq 1 ]; ok $? 'a full disk: exit 1'
said 'No space left' 'and says so'
done_testing
