#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-peek: what it prints of every kind, that it changes nothing, that it finds every damage, and its sheets.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/peek_streams.py" "$@"; }
py make . || exit 99

# run with a file as stdin through a real pipe; stdout -> out, stderr -> err
piped() { # piped STATUS DESCRIPTION FILE COMMAND...
	code=$1 desc=$2 file=$3; shift 3
	got=0
	cat "$file" | "$@" >out 2>err || got=$?
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code: $*" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}
silent() { [ ! -s err ]; ok $? "$1"; }
line() { grep -qxF -- "$1" text; ok $? "${2:-prints: $1}"; }

# --- passing on ---

piped 0 'a stream through a pipe' all.dcs dc-peek
cmp -s out all.dcs; ok $? 'comes out byte for byte'
mv err passing
run 0 'the same text on stdout' dc-peek --text all.dcs
cmp -s out passing; ok $? 'is what stands on stderr otherwise'
mv out text
piped 0 'quiet' all.dcs dc-peek --quiet
silent 'prints nothing'
cmp -s out all.dcs; ok $? 'and passes everything'
piped 0 'one kind, two frames' all.dcs dc-peek --kind views -n 1 --items 1
cmp -s out all.dcs; ok $? 'passes everything too'
[ "$(grep -c '^frame' err)" -eq 1 ]; ok $? 'and prints the one'
said '^frame 3: views, step 3, [0-9]* bytes, part 0 of 2$' 'which is the first of its kind'
said '\.\.\. 2 more' 'with one caption, and how many more there are'
piped 0 'two in a row' all.dcs sh -c 'dc-peek -q | dc-peek -q --refs shm'
cmp -s out all.dcs; ok $? 'change nothing'
mkfifo hold
sleep 100 >hold & sleeper=$!
{ dc-peek -q <hold 2>err; echo $? >code; } | true
[ "$(cat code)" = 3 ] && kill -0 $sleeper && [ ! -s err ]; ok $? 'a reader that goes away ends it at once, silently, with status 3'
kill $sleeper; wait $sleeper 2>/dev/null
if command -v script >/dev/null; then
	script -qec 'dc-peek all.dcs' /dev/null </dev/null >tty.txt 2>&1
	grep -q '^frame 1: state' tty.txt && ! grep -q dcs1 tty.txt; ok $? 'on a terminal it prints there and passes nothing'
else
	skip 'no script(1)' 'on a terminal it prints there and passes nothing'
fi

# --- what is printed ---

line '  config            "{\"method\":\"declip\"}"'
line '  nn_queue          f32 [4,2]  0..0  mean 0'
line '  id                u64 [2]  [5, 18446744073709551615]'
line '  image             2 tensors u8 [20..30,20..30,3]  0..255  mean 81.4'
line '    "a dog\x1b[31m"' 'escape sequences are shown, not sent'
line '  caption           3 strings'
line '  caption_image     i32 [3]  [0, 1, 1]'
line '  image.0           u8 [3,16,16,3]  0..255  mean 113.8'
line '    "one é"'
line '    "quote \""'
line '  token.0           i32 [2,8]  0..515  mean 203.6'
line '  image_features.0  f32 [4,10]  -1..3  mean 1.062  2 NaN  1 infinite'
line '  logit_scale       2.75'
line '  mlm_nll           f32 [0]  []'
line '  loss              clip 4.125  total 9.5'
line '  accuracy          i2t 0.25  t2i 0.5'
line '  skip              true'
line '    proj  f32 [3,4]  in gradients.safetensors, proj'
line '  raw               5 bytes'
line '  counts            in 5  out 4'
line 'frame 10: end, step 0, 27 bytes'
run 0 'with the vocabulary' dc-peek --text --vocab vocab.txt --kind batch all.dcs
mv out text
line '    "x red"'
line '    "x [mask]"' 'a mask is shown as [mask]'
line '    2:"red"' 'what is asked for is shown with its place'
line '    -' 'and where nothing is asked'
run 0 'with the references' dc-peek --text --refs shm --kind gradients all.dcs
mv out text
line '    proj  f32 [3,4]  in gradients.safetensors, proj  -2..9  mean 3.5'
line '    other  f32 [2]  in gradients.safetensors, missing  (the file has no such tensor)'
run 0 'a directory without the file' dc-peek --text --refs . --kind gradients all.dcs
said 'proj  \(.*gradients.safetensors' 'is said where it matters'

# --- checking ---

run 0 'a whole stream' dc-peek --check all.dcs
said '^all.dcs: whole: 10 frames, [0-9]* bytes: state 1, samples 1, views 2, batch 1' 'is summed up in a line'
silent 'and nothing else'
py frames <all.dcs >frames
[ "$(wc -l <frames)" -eq 10 ]; ok $? 'ten frames to cut'
cuts=0 unsaid=0 lines=0 silent_pipe=0
while read -r at body _; do
	for cut in "$at" $((at + 3)) $((body - 1)) "$body" $((body + 2)); do
		head -c "$cut" all.dcs >cut.dcs
		dc-peek -t cut.dcs >out 2>err; [ $? -eq 1 ] || cuts=$((cuts + 1))
		grep -q '^dc-peek: cut.dcs: .*truncated' err || unsaid=$((unsaid + 1))
		[ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] || lines=$((lines + 1))
	done
	head -c "$at" all.dcs | dc-peek -q >out 2>err
	[ $? -eq 3 ] && [ ! -s err ] || silent_pipe=$((silent_pipe + 1))
done <frames
: >err
[ "$cuts" -eq 0 ]; ok $? 'cut at or inside every frame: status 1'
[ "$unsaid" -eq 0 ]; ok $? 'and said to be truncated'
[ "$lines" -eq 0 ]; ok $? 'in one line'
[ "$silent_pipe" -eq 0 ]; ok $? 'a pipe that ends between frames before its end is a neighbour lost: 3, silent'
piped 1 'except where checking is the task' /dev/null dc-peek --check
said '^dc-peek: <stdin>: truncated: it ends after 0 frames' 'which says so'
head -c 100 all.dcs >cut.dcs
piped 1 'a frame cut short in a pipe' cut.dcs dc-peek -q
said '^dc-peek: <stdin>: frame 1 \(state\) at byte 0: truncated in its body' 'is named'
run 1 'a file that ends before its end frame' sh -c 'head -c "$(sed -n 10p frames | cut -d" " -f1)" all.dcs >cut.dcs; dc-peek -q cut.dcs'
said '^dc-peek: cut.dcs: truncated: it ends after 9 frames' 'is truncated'

third=$(sed -n 3p frames | cut -d' ' -f2)
for row in 'flip|frame 3 .views. at byte [0-9]+: damaged: the checksum' \
	'version|frame 1 at byte 0: stream version .dcs7., this program reads .dcs1.' \
	'length|frame 1 .views. at byte 0: body of 1099511627776 bytes announced, the limit is 1073741824'; do
	py break "${row%%|*}" $((third + 700)) <all.dcs >bad.dcs
	for how in -t -q; do
		piped 1 "${row%%|*} $how: status 1" bad.dcs dc-peek $how
		said "^dc-peek: <stdin>: ${row#*|}" 'with its message'
		[ "$(wc -l <err)" -eq 1 ]; ok $? 'and only that'
	done
done
[ "$(wc -c <out)" -eq 0 ]; ok $? 'nothing of a bad frame is passed on'
py break object <all.dcs >bad.dcs
piped 1 'pickled objects' bad.dcs dc-peek -t
said "x: tensors of kind 'O' are refused" 'are refused by --check'
piped 0 'and in passing' bad.dcs dc-peek --text
said "x +\(bad: .*kind 'O' are refused\)" 'shown as bad'
py break after <all.dcs >bad.dcs
piped 1 'bytes after the end' bad.dcs dc-peek -t
said 'something follows the end frame|truncated' 'are found by --check'
run 1 'a file that is no stream' dc-peek -t vocab.txt
said '^dc-peek: vocab.txt: frame 1 at byte 0: not a dc stream' 'is told'

# --- sheets ---

# width and height of a PNG; its checksums are checked too
png_size() {
	"$PYTHON" - "$1" <<-'EOF'
	import struct, sys, zlib
	p = open(sys.argv[1], "rb").read()
	assert p[:8] == b"\x89PNG\r\n\x1a\n"
	at, data, kinds = 8, b"", []
	while at < len(p):
	    n, = struct.unpack(">I", p[at:at + 4])
	    assert zlib.crc32(p[at + 4:at + 8 + n]) == struct.unpack(">I", p[at + 8 + n:at + 12 + n])[0]
	    kinds.append(p[at + 4:at + 8])
	    if kinds[-1] == b"IDAT":
	        data += p[at + 8:at + 8 + n]
	    at += 12 + n
	w, h = struct.unpack(">II", p[16:24])
	assert kinds[-1] == b"IEND" and p[24:26] == b"\x08\x02" and len(zlib.decompress(data)) == h * (3 * w + 1)
	print(w, h)
	EOF
}
size() { # size FILE WIDTH HEIGHT
	got=$(png_size "$1" 2>err); [ "$got" = "$2 $3" ] || echo "got $got" >>err
	[ "$got" = "$2 $3" ]; ok $? "$1 is a PNG of $2 by $3"
}
piped 0 'a sheet of the first images' all.dcs dc-peek -q --sheet first.png
cmp -s out all.dcs; ok $? 'does not change the stream'
size first.png 566 196     # one picture in a cell of 140, 4 columns; one row of 128 + 4 * 11 + 18
piped 0 'a sheet of a given step' all.dcs dc-peek -q --sheet views.png --sheet-step 3
size views.png 1102 386    # six samples of two views: two rows
piped 0 'rows and columns' all.dcs dc-peek -q --sheet small.png --sheet-step 3 --columns 2 --rows 1
size small.png 554 196
piped 0 'tokens' all.dcs dc-peek -q --sheet tokens.png --sheet-step 4 --vocab vocab.txt
size tokens.png 1102 218   # two lines more for the masked caption
run 0 'JPEG' dc-peek -q --text --sheet a.jpg all.dcs
[ "$(head -c 3 a.jpg | od -An -tx1 | tr -d ' ')" = ffd8ff ]; ok $? 'is JPEG'
left=$(ls -- *.part 2>/dev/null)
[ -z "$left" ]; ok $? 'no part is left'
"$PYTHON" -c 'import PIL' 2>/dev/null && {
	"$PYTHON" -c 'from PIL import Image
p = Image.open("views.png").convert("RGB").getpixel
assert p((6 + 120, 6 + 120)) == (200, 0, 0) and p((6 + 3, 6 + 3)) == (255, 255, 255), p((126, 126))
assert p((6 + 134 + 120, 6 + 120)) == (0, 200, 0)' 2>err; ok $? 'the pictures are where they belong'
} || skip 'no Pillow' 'the pictures are where they belong'
piped 1 'a step that never comes' all.dcs dc-peek -q --sheet none.png --sheet-step 99
said '^dc-peek: no images came in that step: none.png was not written' 'is told'
cmp -s out all.dcs; ok $? 'when all has been passed on'
piped 1 'a sheet that cannot be written' all.dcs dc-peek -q --sheet no/where.png
said '^dc-peek: no/where.png.part: No such file' 'is told'
cmp -s out all.dcs; ok $? 'and stops nothing'

# --- images and tables ---

piped 0 'all images and a table' all.dcs dc-peek -q --images images --table samples.tsv
cmp -s out all.dcs; ok $? 'change nothing'
silent 'and say nothing'
[ "$(cd images && echo *)" = '000000.0.jpg 000001.0.jpg' ]; ok $? 'the images of the first kind that came'
for f in images/*; do [ "$(head -c 3 "$f" | od -An -tx1 | tr -d ' ')" = ffd8ff ] || echo "$f"; done >err
silent 'are JPEG'
printf 'image\tkey\tlabel\tcaption\n0\tk0\t-\ta dog [31m\n1\tk1\t-\tzwei\n1\tk1\t-\tdrei\n' >want
check 'a row a caption, without control characters' diff want samples.tsv
py only views <all.dcs >views.dcs
piped 0 'views' views.dcs dc-peek -q --images views --table views.tsv
[ "$(cd views && echo *)" = "$(for i in 0 1 2 3 4 5; do echo 00000$i.0.jpg 00000$i.1.jpg; done | tr '\n' ' ' | sed 's/ $//')" ]; ok $? 'every view, numbered through the parts'
printf 'image\tkey\tlabel\tcaption.0\tcaption.1\n0\t\t-\tone \303\251\tT2\n' >want
head -n 2 views.tsv >have; check 'a column for each view' diff want have
py only batch <all.dcs >batch.dcs
piped 0 'tokens' batch.dcs dc-peek -q --table batch.tsv --vocab vocab.txt
printf 'image\tkey\tlabel\ttoken.0\ttoken.1\tmasked\tasked\n0\t\t-\tx red\tred\tx</w> [mask]\t2:red</w>\n1\t\t-\tx\tx\tx</w>\t\n' >want
check 'with what is masked and asked' diff want batch.tsv
py few >few.dcs
piped 1 'captions that say no image' few.dcs dc-peek -q --table few.tsv
said '^dc-peek: <stdin>: frame 1 .*3 captions, 2 images and no caption_image' 'are told'
cmp -s out few.dcs; ok $? 'and passed on'
piped 1 'a directory that cannot be made' all.dcs dc-peek -q --images no/where
said '^dc-peek: no/where: No such file' 'is named'

# --- the manual ---

page=$top/man/dc-stream.5
sed -n '/^import os, msgpack/,/^\.Ed/p' "$page" | sed '/^\.Ed/d; s/\\e/\\/g' >reader.py
grep -q max_buffer_size=0 reader.py; ok $? 'dc-stream(5) has a reader in Python'
piped 0 'which reads every frame' all.dcs "$PYTHON" reader.py
sed -n 's/^frame [0-9]*: \([a-z]*\), step \([0-9]*\),.*/\1 \2/p' passing >want
cut -d' ' -f1,2 out | cmp -s - want; ok $? 'as dc-peek does'
py break flip $((third + 700)) <all.dcs >bad.dcs
piped 1 'finds damage' bad.dcs "$PYTHON" reader.py
said 'a frame is damaged' 'and says so'
head -c "$third" all.dcs >cut.dcs
piped 1 'and truncation' cut.dcs "$PYTHON" reader.py
py break object <all.dcs >bad.dcs
piped 1 'refuses pickled objects' bad.dcs "$PYTHON" reader.py
said 'only plain tensors' 'before they are loaded'
(cat all.dcs; exec sleep 100) >hold 2>/dev/null & sleeper=$!
timeout 60 "$PYTHON" reader.py <hold >out 2>err; ok $? 'waits for no more than the frame it reads'
kill $sleeper; wait $sleeper 2>/dev/null
{ sed -n '/^import os, msgpack/,/^unpacker/p' reader.py
	echo 'import sys; out = sys.stdout.buffer; kind, step, body = "views", 3, {"x": msgpack_numpy.np.ones((2, 3), "<f4")}'
	sed -n '/^raw = msgpack.packb(body/,/^\.Ed/p' "$page" | sed '/^\.Ed/d'
	echo 'kind, body = "end", {}'
	sed -n '/^raw = msgpack.packb(body/,/^\.Ed/p' "$page" | sed '/^\.Ed/d'
} >writer.py
"$PYTHON" writer.py >written.dcs 2>err; ok $? 'its writer writes'
run 0 'what dc-peek reads' dc-peek --check written.dcs
said 'whole: 2 frames, .* views 1, end 1' 'whole'

# --- the command line ---

run 2 'a sheet of an unknown kind' dc-peek --sheet a.gif all.dcs
run 2 'sheet options without a sheet' dc-peek --rows 2 all.dcs
run 2 'two files' dc-peek a b
run 2 'check and print' dc-peek --check --text all.dcs
run 1 'a file that is not there' dc-peek none.dcs
said '^dc-peek: none.dcs: No such file or directory$' 'is named'
run 1 'a vocabulary that is not there' dc-peek --vocab none.txt all.dcs
if [ -w /dev/full ]; then
	run 1 'a full disk' sh -c 'dc-peek -q all.dcs >/dev/full'
	said 'No space left' 'is told'
	run 1 'also for text' sh -c 'dc-peek --text all.dcs >/dev/full'
fi
done_testing
