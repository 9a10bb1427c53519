#!/bin/sh
# SPDX-License-Identifier: MIT
. "${0%/*}/lib.sh"
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
made_up 300 >lines.txt
printf 'The cat. THE CAT!\nCafe\314\201 caf\303\251 caf&eacute;' >>lines.txt

run 0 'a vocabulary from lines on stdin' sh -c 'dc-vocab -m 60 -v -o a.gz <lines.txt'
said '60 merges, V = 574' '-v says its size'
check 'is gzip' gzip -t a.gz
check 'without a time or a name' sh -c 'test "$(od -An -tx1 -j3 -N5 a.gz | tr -d " ")" = 0000000000'
check 'has a version line and the merges' sh -c 'gzip -dc a.gz | awk "NR == 1 ? /#version/ : NF == 2 {n++} END {exit n != 61}"'
run 0 'made again' sh -c 'dc-vocab -m 60 -o b.gz <lines.txt'
check 'the same bytes' cmp a.gz b.gz
run 0 'from the lines in another order' sh -c 'sort lines.txt | dc-vocab -m 60 -o b.gz'
check 'the same bytes' cmp a.gz b.gz
run 0 'by size' sh -c 'dc-vocab --size 574 -o b.gz <lines.txt'
check 'the same bytes' cmp a.gz b.gz
run 0 'no merges' sh -c 'dc-vocab --size 514 -o c.gz <lines.txt'
check 'is the version line alone' test "$(gzip -dc c.gz)" = '#version: 0.2'
run 0 'more merges than there are pairs' sh -c 'dc-vocab -m 9000 -o c.gz <lines.txt'
said 'merges instead of 9000: no further pair of symbols occurs twice' 'is said'
printf 'ab ab cd cd' >ties.txt
run 0 'ties' sh -c 'dc-vocab -m 2 -o c.gz <ties.txt'
check 'go to the lowest ids' sh -c 'gzip -dc c.gz | tail -n 2 | tr "\n" , | grep -qx "a b</w>,c d</w>"'
check 'and no line feed ends the file' sh -c 'test "$(gzip -dc c.gz | wc -l)" -eq 2'
if PYTHONPATH=$top/tests/reference "${DC_TORCH_PYTHON:-false}" -c 'import stubs, open_clip, dcstream' 2>/dev/null; then
	run 0 'ids of captions' dc-tokenize --vocab a.gz --context 20 --lines lines.txt
	PYTHONPATH=$top/tests/reference "$DC_TORCH_PYTHON" -W ignore -c '
import stubs, open_clip, dcstream, numpy
want = open_clip.SimpleTokenizer("a.gz", context_length=20)(open("lines.txt").read().split("\n")).numpy()
got = numpy.concatenate([b["token.0"] for k, _, b in dcstream.read(open("out", "rb")) if k == "batch"])
assert want.shape == got.shape and (want == got).all(), (want.shape, got.shape, abs(want - got).max())' 2>err
	ok $? "are those of open_clip's tokenizer with this vocabulary"
else
	skip 'no open_clip in $DC_TORCH_PYTHON' "ids are those of open_clip's tokenizer with this vocabulary"
fi

if [ -z "$(need_python)" ]; then
	need_python
	py() { "$PYTHON" "$top/tests/reference/check_tokens.py" "$@"; }
	py samples lines.txt >samples.dcs
	run 0 'from a stream of samples' sh -c 'dc-vocab -m 60 -o b.gz <samples.dcs'
	check 'the same bytes' cmp a.gz b.gz
	check 'and nothing on stdout' test ! -s out
	py views >views.dcs
	run 0 'from a stream of views' sh -c 'dc-vocab -m 60 -o b.gz <views.dcs'
	head -c 2000 samples.dcs >cut.dcs
	run 1 'from a truncated stream' sh -c 'dc-vocab -m 60 -o none.gz <cut.dcs'
	said 'truncated' 'says so'
	check 'and writes nothing' test ! -e none.gz
	run 3 'from a pipe that ends too soon' sh -c 'py() { "$0" "$1" broken fine; }; py "$@" | dc-vocab -o none.gz' \
	    "$PYTHON" "$top/tests/reference/check_tokens.py"
else
	skip 'no Python with msgpack_numpy and xxhash' 'from a stream of samples'
fi

run 2 'no file' dc-vocab
said '--out FILE is required' 'is a mistake'
run 2 'size and merges' dc-vocab -o x.gz --size 600 --merges 86
run 2 'a size below the bytes' dc-vocab -o x.gz --size 513
run 2 'too many merges' dc-vocab -o x.gz --merges 48895
run 2 'an operand' dc-vocab -o x.gz lines.txt
run 1 'no captions' dc-vocab -o x.gz
said 'no words in 0 captions' 'is said'
run 1 'a full disk' sh -c 'dc-vocab -m 60 -o /dev/full <lines.txt'
run 1 'a directory that is not there' sh -c 'dc-vocab -m 60 -o none/x.gz <lines.txt'
said 'none/x.gz' 'is named'
done_testing
