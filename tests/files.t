#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-files, loose images as samples, against the same images in a tar; dc-pick, rows of features streams.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/photos.py" "$@"; }
streams() { "$PYTHON" "$top/tests/reference/probe_streams.py" make "$1" >"$1.dcs"; }
dc-scenes --out . --train 70 --test 1 --zero-shot 0 --size 32 >out 2>err || exit 99
mkdir a && tar -xf train-000.tar -C a && dc-decode --tail short --batch 70 train-000.tar >tar.dcs || exit 99
ls a/*.jpg >list

# --- dc-files ---
run 0 '--help' dc-files --help
run 2 'no file' dc-files
run 0 'a list' sh -c 'dc-files --from list >files.dcs'
! [ -s err ]; ok $? 'nothing on stderr'
check 'the pictures of the tar' py same files.dcs tar.dcs
run 0 'one thread, names on the command line' sh -c 'dc-files -j 1 a/*.jpg >one.dcs'
check 'the same bytes' cmp one.dcs files.dcs
run 0 'names that end with NUL' sh -c 'tr "\n" "\0" <list | dc-files -0 -f - >nul.dcs'
check 'the same bytes' cmp nul.dcs files.dcs
check 'a whole stream' dc-peek --check files.dcs
sh -c 'dc-files a/000003.jpg a/000001.jpg | dc-peek --text' >out 2>err
said 'caption  *2 strings' 'captions'
said '"a/000003.jpg"' 'are the names'
said 'slot .*\[0, 1\]' 'slots are numbers in the list'
printf '%s\n' 'the third' 'the first' >captions
sh -c 'dc-files --captions captions a/000003.jpg a/000001.jpg | dc-peek --text' >out 2>err
said '"the first"' 'or lines of a file'
run 1 'captions too few' dc-files --captions captions a/000003.jpg
said 'captions: 2 captions for 1 files' 'are an error'

# orientation 6 in an EXIF segment behind the first two bytes: a quarter turn clockwise
{ head -c 2 a/000000.jpg
printf '\377\341\000\042Exif\000\000II*\000\010\000\000\000\001\000\022\001\003\000\001\000\000\000\006\000\000\000\000\000\000\000'
tail -c +3 a/000000.jpg; } >turned.jpg
dc-files --exif turned.jpg >turned.dcs 2>err && dc-files turned.jpg >plain.dcs 2>>err
check '--exif turns upright' py same turned.dcs plain.dcs -1
head -c 300 a/000005.jpg >cut.jpg; echo text >text.jpg; mkdir folder.jpg
odd="b c'd\"e*[f]\$g.h.$(printf '\351').JPG"
cp a/000004.jpg "$odd"
run 0 'what is no image' sh -c 'dc-files --rejects rejects.tsv a/000000.jpg cut.jpg text.jpg none.jpg folder.jpg /dev/null "$1" a/000002.jpg >some.dcs' - "$odd"
[ "$(wc -l <err)" = 5 ]; ok $? 'is named, a line each'
said '^dc-files: cut.jpg: JPEG: ' 'cut off'
said '^dc-files: text.jpg: not a JPEG, PNG or WebP image' 'no image'
said '^dc-files: none.jpg: cannot be read: No such file' 'missing'
said '^dc-files: folder.jpg: is a directory' 'a directory'
said '^dc-files: /dev/null: is no regular file' 'a device'
[ "$(cut -f 1,3 rejects.tsv | tr '\t\n' ' ,')" = '1 cut.jpg,2 text.jpg,3 none.jpg,4 folder.jpg,5 /dev/null,' ]; ok $? 'and listed'
dc-peek --text some.dcs >out 2>err
said 'slot .*\[0, 6, 7\]' 'the others go on'
said "\"b c'd.*\\?\\.JPG\"" 'a name that is not UTF-8 among them'
run 1 'nothing that can be used' sh -c 'dc-files text.jpg none.jpg >x.dcs'
said '^dc-files: none of the 2 files is an image that can be used$' 'is an error'
run 1 'too many pixels' sh -c 'dc-files --max-pixels 1000 a/000000.jpg >x.dcs'
said 'a/000000.jpg: ' 'are refused'
run 1 'a list that is not there' dc-files --from nolist
run 2 '-0 without --from' dc-files -0 a/000000.jpg
dc-files a/*.jpg 2>err | true
! [ -s err ]; ok $? 'silent where the reader goes away'

# --- dc-pick ---
for s in train val some narrow texts; do streams $s || exit 99; done
run 0 'dc-pick --help' dc-pick --help
run 2 'no stream' dc-pick
run 0 'all rows of two streams' sh -c 'dc-pick train.dcs val.dcs >both.dcs'
check 'are those of both' py rows both.dcs $(seq 0 639) -- train.dcs val.dcs
check 'a whole stream' dc-peek --check both.dcs
printf '5\n639\n5\n0\n480\n' >rows
run 0 '--rows' sh -c 'dc-pick --rows rows train.dcs - <val.dcs >picked.dcs'
check 'in the order that is asked for' py rows picked.dcs 5 639 5 0 480 -- train.dcs val.dcs
run 0 'some frames have no labels' sh -c 'dc-pick some.dcs train.dcs | dc-knn --base - -k 1'
said 'rows without a label are left out' 'and so have not the rows'
run 0 'no row' sh -c 'dc-pick --rows /dev/null train.dcs | dc-peek --text'
said 'image_features.0  f32 \[0,16\]' 'is a stream too'
run 0 'captions' sh -c 'echo 3 | dc-pick --rows - texts.dcs | dc-peek --text'
said 'line .*\[4\]' 'have lines'
for rows in 640 -1 x; do
	echo $rows >rows
	run 1 "row $rows" dc-pick --rows rows train.dcs val.dcs
	said "rows: row 1: $rows: must be a whole number in \\[0, 639\\]" 'is refused'
done
run 1 'unequal width' dc-pick train.dcs narrow.dcs
said 'narrow.dcs: frame 1 .*image_features.0: 9 columns, wanted 16' 'is refused'
run 1 'images and captions' dc-pick train.dcs texts.dcs
said 'texts.dcs: frame 1 .*has no image features, unlike the frames before it' 'are refused'
run 1 'a missing file' dc-pick none.dcs
run 1 'no features' dc-pick files.dcs
said 'files.dcs: no features among the frames' 'are an error'
done_testing
