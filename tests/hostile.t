#!/bin/sh
# SPDX-License-Identifier: MIT
# Files that mean harm: nothing executes what a file says.
. "${0%/*}/lib.sh"

# --- a vocabulary that libarchive would start a program for ---
mkdir bin
for p in lrzip lzop grzip; do
	printf '#!/bin/sh\ntouch "%s/executed"\n' "$tmp" >bin/$p
	chmod +x bin/$p
done
for v in lrz lzop; do
	run 1 "a vocabulary packed by $v is refused" env PATH="$tmp/bin:$PATH" sh -c 'echo a | dc-tokenize --vocab "$1" --lines -' - \
		"$top/tests/fuzz/corpus/vocab/$v"
done
check 'and no program was started' test ! -e executed
done_testing
