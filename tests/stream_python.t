#!/bin/sh
# SPDX-License-Identifier: MIT
# The stream between C and Python: each reads what the other wrote, and both refuse what is damaged.
. "${0%/*}/lib.sh"
need_python
ref=$top/tests/reference
py() { "$PYTHON" "$ref/check_stream.py" "$@"; }
c() { "$DC_BIN/test_interop" "$@"; }
pipe() { # pipe STATUS DESCRIPTION FILE COMMAND...: like run, with FILE as stdin through a real pipe, stdout kept in got
	code=$1 desc=$2 file=$3; shift 3
	got=0
	cat "$file" | "$@" >got 2>err || got=$?
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code: $*" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}

[ -x "$DC_BIN/test_interop" ] || skip_all 'test_interop is not built'

c --make >c.dcs
pipe 0 'Python reads every kind and type that C writes' c.dcs py c
py make >plain.dcs
py make --pad >pad.dcs
pipe 0 'C reads what msgpack-numpy writes (unaligned, no pad)' plain.dcs c --echo
mv got echoed.dcs
pipe 0 'and Python finds it unchanged' echoed.dcs py made
pipe 0 'C reads padded tensors from Python' pad.dcs c --echo
check 'and would write the very same bytes of either' cmp got echoed.dcs
pipe 0 'Python passes its own test' plain.dcs py made
if [ -x "$DC_BIN/dc-peek" ]; then
	pipe 0 'dc-peek passes frames from Python on' plain.dcs dc-peek
	grep -q "$(printf 'ein Hund l\303\244uft')" err; ok $? 'and shows their captions'
	check 'byte for byte' cmp got plain.dcs
fi
pipe 0 'a Python filter passes frames on' c.dcs "$PYTHON" "$top/pipelines/examples/scale_gradient.py" 0.5
mv got filtered.dcs
pipe 0 'that C reads' filtered.dcs c --echo
head -c 100000 plain.dcs >cut.dcs
pipe 1 'a filter in Python fails on a truncated frame' cut.dcs "$PYTHON" "$top/pipelines/examples/scale_gradient.py" 1
said 'ends inside the body' 'and says so'

for row in 'half|ends inside|truncated' 'flip|does not match its checksum|checksum' 'length|header says|body of .* bytes announced' \
	'version|version|version' 'list|body: |items announced' 'object|kind b.O.|kind'; do
	how=${row%%|*} row=${row#*|}
	py break "$how" <plain.dcs >bad.dcs
	pipe 1 "$how: Python refuses it" bad.dcs py read
	said "${row%%|*}" "$how: and says why"
	pipe 1 "$how: C refuses it" bad.dcs c --echo
	said "${row#*|}" "$how: and says why"
	[ "$(grep -c . err)" -eq 1 ]; ok $? "$how: in one line"
done
done_testing
