#!/bin/sh
# SPDX-License-Identifier: MIT
# The man pages: each tool has one, with the sections and the options that it should have, and what stands there after
# "$ " runs. A command goes on over lines that end in | or \ or inside quotes, and over lines that are indented.
# A display or .Dl after a line  .\" not run: REASON  is left out.
. "${0%/*}/lib.sh"
PATH=$top/pipelines:$PATH
man=$top/man
tools=$(cd "$top/tools" && ls dc-*.c | sed 's/\.c$//')
pages=$(cd "$man" && ls)

# --- pages ---
for t in $tools; do check "$t has a page" test -f "$man/$t.1"; done
for p in $(cd "$man" && ls dc-*.1); do check "$p is about a tool" test -f "$top/tools/${p%.1}.c"; done
if command -v mandoc >/dev/null; then
	for p in $pages; do run 0 "$p passes mandoc" mandoc -T lint -W warning "$man/$p"; done
else
	skip 'no mandoc' 'pages pass mandoc'
fi
if command -v groff >/dev/null; then
	for p in $pages; do check "$p passes groff" sh -c 'groff -mandoc -Tutf8 "$1" 2>&1 >/dev/null | tee /dev/stderr | cmp -s - /dev/null' - "$man/$p"; done
else
	skip 'no groff' 'pages pass groff'
fi

sections() { # sections PAGE NAME...: are there, in this order, perhaps with others between
	p=$1; shift
	sed -n 's/^\.Sh //p' "$man/$p" >have
	printf '%s\n' "$@" >want
	awk 'NR == FNR { want[NR] = $0; n = NR; next } $0 == want[i + 1] { i++ } END { if (i < n) print "missing: " want[i + 1]; exit i < n }' want have
}
for p in $pages; do
	case $p in
	*.1) check "sections of $p" sections "$p" NAME SYNOPSIS DESCRIPTION ENVIRONMENT 'EXIT STATUS' EXAMPLES 'SEE ALSO' ;;
	*)   check "sections of $p" sections "$p" NAME DESCRIPTION 'SEE ALSO' ;;
	esac
done

lost_references() { # .Xr to pages of ours that are not there
	sed -n 's/^\.Xr //p' "$man"/*.[157] | tr -s ' ,' '\n\n' | awk '/^(dc-|declip$|.*\.(sh|mk)$)/ { name = $0; getline; print name "." $0 }' |
	    sort -u | while read -r p; do [ -f "$man/$p" ] || echo "no page $p" >&2; done
	grep -q . err && return 1
	return 0
}
check 'pages refer to pages that are there' lost_references

# --- options ---
documented() { # the long options of a page's .It lines
	sed -n 's/^\.It //p' "$1" | grep -E '(^| )Fl ' | tr ' ' '\n' | sed -n 's/^-\([a-z][a-z0-9-]*\)$/\1/p' | sort -u
}
shown() { sed -n 's/^  \(-[a-zA-Z0-9],\|   \)\{0,1\} *--\([a-z][a-z0-9-]*\).*/\2/p' "$1" | sort -u; }
letters_shown() { sed -n 's/^  -\([a-zA-Z0-9]\), --.*/\1/p' "$1" | sort -u; }
letters_documented() { sed -n 's/^\.It Fl \([a-zA-Z0-9]\)\( .*\)\{0,1\}$/\1/p' "$1" | sort -u; }
for t in $tools train.sh val.sh score.sh classify.sh search.sh plot.sh report.sh top.sh plan.sh demo.sh; do
	run 0 "$t --help" "$t" --help
	[ -s out ] && [ ! -s err ] && head -n 1 out | grep -q "^usage: $t "; ok $? 'on standard output, from "usage:"'
	cp out help.txt
	documented "$man/$t.1" >page.txt
	shown help.txt >tool.txt
	check "$t: the page has the options that --help has" diff tool.txt page.txt
	letters_documented "$man/$t.1" >page.txt
	letters_shown help.txt >tool.txt
	check "$t: and their letters" diff tool.txt page.txt
	run 0 "$t --version" "$t" --version
	[ -s out ] && [ ! -s err ]; ok $? 'says something'
	run 2 "$t: an option it does not have" "$t" --no-such-option
	[ ! -s out ] && grep -q "^$t: .*no-such-option" err; ok $? 'is named'
done

for s in "$top"/pipelines/*.sh; do
	t=${s##*/}
	run 0 "$t --help" "$t" --help
	[ -s out ] && [ ! -s err ]; ok $? 'on standard output'
	run 2 "$t: an option it does not have" "$t" --no-such-option
	[ ! -s out ] && [ -s err ]; ok $? 'is refused'
done
for p in $(cd "$man" && ls ./*.sh.1 ./*.mk.1); do check "$p is about a script" test -f "$top/pipelines/${p%.1}"; done

# --- examples ---
# What the examples find around them: shards, a run that was trained a little, a vocabulary, and a curl that has no network.
mkdir base && cd base || exit 99
cat >tiny.json <<'END'
{"embed_dim": 32, "quick_gelu": true,
 "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 32, "width": 64, "heads": 1, "layers": 1}}
END
mkdir bin folder
ln -s "$top/pipelines" .
PYTHON=$(need_python >/dev/null && echo "$PYTHON")
[ -z "$PYTHON" ] || ln -s "$(command -v "$PYTHON")" bin/python3
cat >bin/curl <<'END'
#!/bin/sh
for url; do :; done
case $url in
*\[*\]*) cat "${url##*/}" 2>/dev/null || for i in 000 001 002 003 004 005 006 007 008 009 010 011; do cat "train-$i.tar"; done ;;
*) cat "${url##*/}" ;;
esac
END
chmod +x bin/curl
prepare() {
	dc-scenes --out . --train 240 --test 40 --shard 20 --zero-shot 16 --size 64 &&
	    train.sh -q --data 'train-{000..011}.tar' --run run --arch ./tiny.json --batch 60 --merges 200 --weights simsiam=0 &&
	    cp run/bpe.txt.gz . && train.sh -q --data train-000.tar --run clip-run --init run --method clip --batch 20 && tar -xf train-000.tar -C folder &&
	    cat folder/*.txt >captions.txt && head -n 8 captions.txt >prompts.txt &&
	    dc-decode --steps 1 train-000.tar | dc-augment --size 64 >views.dcs
}
prepare >../out 2>../err; got=$?
cd .. || exit 99
ok $got 'the scene for the examples is set'

commands() { # commands PAGE: cmd.1 cmd.2 ...; a first line "# not run: REASON" where it says so
	awk '
	function quotes(s) { return gsub(/\047/, "", s) }
	/^\.\\" not run: / { reason = substr($0, 5); next }
	/^\.Dl \$ /  { sub(/^\.Dl /, ""); open = 0; single = 1 }
	/^\.(Ed|Sh|Ss)/ { open = 0; reason = ""; next }
	/^\.B[dl] / { next }
	/^\./ && !/^\.Dl/ { open = 0; next }
	{ gsub(/\\e/, "\\"); gsub(/\\&/, ""); gsub(/\\\(dq/, "\""); gsub(/\\\(aq/, "\047"); gsub(/\\-/, "-") }
	/^\$ / { n++; file = "cmd." n; odd = 0; open = 1; if (reason) print "# " reason >file; sub(/^\$ /, "")
		print >file; odd = quotes($0) % 2; more = /[|\\]$/; if (single) reason = ""; single = 0; next }
	open && (odd || more || /^[ \t]/) { print >file; odd = (odd + quotes($0)) % 2; more = /[|\\]$/; next }
	{ open = 0 }
	' "$1"
}
PYTHONPATH=$top/tests/reference; export PYTHONPATH
for p in $pages; do
	rm -f cmd.*
	commands "$man/$p"
	[ -f cmd.1 ] || continue
	rm -rf scene; cp -a base scene
	i=1; : >exports
	while [ -f cmd.$i ]; do
		what="$p, example $i: $(grep -v '^#' cmd.$i | head -n 1 | cut -c 1-60)"
		reason=$(sed -n 's/^# not run: //p' cmd.$i)
		[ -n "$PYTHON" ] || ! grep -q python3 cmd.$i || reason='no Python'
		command -v gnuplot >/dev/null || ! grep -qe plot.sh -e --plot cmd.$i || reason='no gnuplot'
		if [ -n "$reason" ]; then
			skip "$reason" "$what"
		else
			grep '^export ' cmd.$i >>exports # for the examples after it too
			# 141: the reader of a pipe had enough
			printf '\nfor s in "${PIPESTATUS[@]}"; do [ $s = 0 ] || [ $s = 141 ] || exit $s; done\n' >>cmd.$i
			(cd scene && PATH=$PWD/bin:$PATH && . ../exports && timeout 200 bash ../cmd.$i) >out 2>err </dev/null
			got=$?; [ $got -eq 0 ] || echo "exit $got" >>err
			ok $got "$what"
		fi
		i=$((i + 1))
	done
done
done_testing
