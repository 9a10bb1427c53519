#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-npy: what it writes is what NumPy reads, what NumPy writes is what it reads, and it believes no header.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/npy_streams.py" "$@"; }
to() { # to STATUS DESCRIPTION STREAM DIR [OPTION...]: a stream through a pipe into a directory
	code=$1 desc=$2 stream=$3 dir=$4; shift 4
	got=0
	cat "$stream.dcs" | dc-npy "$@" "$dir" >out 2>err || got=$?
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}
checked() { py check "$1" "$2" ${3:+"$3"} >out 2>err; ok $? "$4"; }

py streams || exit 99
run 0 'dc-npy --help' dc-npy --help
run 2 'needs a directory' dc-npy
run 2 'not two' dc-npy a b
run 2 '--normalize is for one direction' dc-npy --from a --normalize
for s in whole parts images captions lines one_each late_labels; do
	to 0 "$s to .npy" $s $s.d
	! [ -s err ] && ! [ -s out ]; ok $? 'in silence'
	checked $s $s.d '' 'NumPy reads what the stream has'
done
to 0 'normalised' parts unit.d --normalize -v
said '^dc-npy: unit.d: 150 images, 375 captions' 'counts'
checked parts unit.d normalized 'rows of norm 1'
check 'whole and parts give the same files' diff -r whole.d parts.d

# --- back ---
for s in parts images captions lines; do
	run 0 "$s back" sh -c "dc-npy --from $s.d >back.dcs"
	check 'has the same rows' "$PYTHON" "$top/tests/reference/npy_streams.py" same $s.dcs back.dcs
	run 0 'and again' sh -c 'dc-npy again.d <back.dcs'
	check 'gives the same files' diff -r $s.d again.d
done
run 0 'its scores' sh -c 'dc-recall --tsv <parts.dcs >a.tsv && dc-npy --from parts.d | dc-recall --tsv >b.tsv'
check 'are the same' cmp a.tsv b.tsv

# --- the directory ---
to 0 'a directory of columns is replaced' lines images.d
checked lines images.d '' 'wholly'
mkdir precious; touch precious/thesis.txt
to 1 'one with other files is not' lines precious
said "^dc-npy: precious: holds 'thesis.txt' and would be replaced" 'and says why'
[ "$(ls precious)" = thesis.txt ]; ok $? 'nothing of it is touched'
touch file
to 1 'nor is a file' lines file
said 'file: is there and is not a directory' 'says so'
to 1 'nor below a directory that is not there' lines none/d
to 0 'a slash at the end' lines slash.d/
cp -r lines.d kept.d
to 1 'a stream that fails' narrow kept.d
check 'leaves the old directory' diff -r lines.d kept.d
[ -z "$(find . -name '.*tmp*')" ]; ok $? 'and nothing beside it'

# --- wrong streams ---
while read -r s status says; do
	to "$status" "$s" $s bad.d
	[ -z "$says" ] || said "$says" "says: $says"
	! [ -e bad.d ] && [ "$(wc -l <err)" -le 1 ]; ok $? 'one line, no directory'
done <<'END'
narrow 1 text_features.0: 23 columns, wanted 24 as before
lost 1 has no id, unlike the frames before
found 1 has id, unlike the frames before
short 1 id has 19 rows for 20 images
outside 1 caption_image 20: outside the part's 20 images
two_models 1 logit_scale 3.5, before 2.5
no_owner 1 captions for 20 images and no caption_image
nothing 1 no features among the frames
neither 1 has no features, ids, labels or keys
noend 3
END
to 0 'a row of zeros as it is' zero zero.d
to 1 'cannot be normalised' zero bad.d --normalize
said 'image_features.1: row 0 is all zeros and has no direction' 'and is named'
to 1 'nor can NaN' nan bad.d --normalize
said 'image_features.1: row 0 is not finite' 'and is named'

# --- files of NumPy ---
py files plain types version2 fortran big huge whole_numbers floats large_label flat fewer unsorted outside no_owner keys bad_keys object cut longer stump magic long_header overflow zero_overflow negative code || exit 99
run 0 'files of numpy.save' sh -c 'dc-npy --from plain.f >plain.dcs'
run 0 'of other types' sh -c 'dc-npy --from types.f >types.dcs && dc-npy types.d <types.dcs'
run 0 'version 2.0' sh -c 'dc-npy --from version2.f >v2.dcs'
check 'is read as version 1.0' cmp plain.dcs v2.dcs
check 'half precision, and whole numbers of other sizes' "$PYTHON" -c '
import numpy as np
a, b = ({k: np.load("%s/%s.npy" % (d, k)) for k in ("image_features.0", "image_features.1", "label", "epoch", "slot", "caption_image")}
        for d in ("types.f", "types.d"))
for k in a: assert np.array_equal(a[k].astype(b[k].dtype), b[k]), k
assert b["image_features.1"].dtype == "<f4" and b["label"].dtype == "<i4"'
while read -r s says; do
	run 1 "$s" dc-npy --from "$s.f"
	grep -qF -- "$says" err && [ "$(wc -l <err)" -eq 1 ] && ! [ -s out ]; ok $? "says: $says"
done <<'END'
fortran image_features.0.npy: Fortran order; write it with numpy.ascontiguousarray
big image_features.0.npy: type >f4 is big-endian; write it with x.astype('<f4')
huge image_features.0.npy: row 0: a number too large for single precision
whole_numbers image_features.0.npy: type <i4, wanted <f4, <f2 or <f8
floats label.npy: type <f4, wanted whole numbers
large_label is too large
flat image_features.0.npy: 1 dimensions, wanted 2
fewer id.npy: 149 rows, but image_features.0.npy has 150
unsorted captions must stand in the order of their images
outside image 150 of 150
no_owner caption_image.npy: missing, for 375 captions of 150 images
keys key.json: 149 rows, but image_features.0.npy has 150
bad_keys key.json: element 1 is not a string
object id.npy: type |O; wanted little-endian f2 f4 f8, or whole numbers
cut image_features.0.npy: 14399 bytes of data, but its shape and type take 14400
longer image_features.0.npy: 14401 bytes of data, but its shape and type take 14400
stump image_features.0.npy: shorter than a .npy file's header says
magic image_features.0.npy: not a .npy file of version 1, 2 or 3
long_header image_features.0.npy: a header of 2147483647 bytes
overflow image_features.0.npy: its shape overflows
zero_overflow image_features.0.npy: its shape overflows
negative image_features.0.npy: its header is not that of an array of plain numbers
code image_features.0.npy: its header is not that of an array of plain numbers
END
run 1 'no directory' dc-npy --from none
said '^dc-npy: none: No such file' 'is named'
mkdir empty
run 1 'an empty one' dc-npy --from empty
said 'empty: no image_features.0.npy, text_features.0.npy or other column in it' 'is named'
run 1 'a full output device' sh -c 'dc-npy --from parts.d >/dev/full'
done_testing
