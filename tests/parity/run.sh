#!/bin/sh
# SPDX-License-Identifier: MIT
# make parity: every stage against the library that the field takes for true, live; one table on stdout, in Markdown.
#
#	tests/parity/run.sh [STAGE...]          # 10-decode ...; without names, all
#
# A stage is tests/parity/NN-name.py. It is run by $DC_TORCH_PYTHON in a directory of its own, with the tools first in
# PATH and the real data in $DATA, and prints rows of seven columns with tabs between (tests/parity/parity.py does it).
# Exit status 1 if something differs that must agree, or a stage fails; 0 else, also where data or packages are missing.
set -u
LC_ALL=C.UTF-8; export LC_ALL
here=$(cd "${0%/*}" && pwd)
top=${here%/tests/parity}
DC_BIN=${DC_BIN:-$top/build}; export DC_BIN
PATH=$DC_BIN:$PATH; export PATH
DATA=${DC_DATA:-$top/../shared/data}; export DATA
DC_ARCH_DIR=$top/pipelines/arch; export DC_ARCH_DIR
OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}; export OMP_NUM_THREADS
OMP_WAIT_POLICY=passive; export OMP_WAIT_POLICY
PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE
PYTHONPATH=$here:$top/tests/reference; export PYTHONPATH
TOP=$top; export TOP
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

for name; do
	[ -x "$here/$name.py" ] || { echo "run.sh: no stage $name; there are" "$(cd "$here" && echo [0-9][0-9]-*.py | sed 's/\.py//g')" >&2; exit 1; }
done

# The Python that knows most: the one asked for, else the first that has torch, else any.
PYTHON=${DC_TORCH_PYTHON:-}
for p in python3 /usr/bin/python3; do
	[ -n "$PYTHON" ] || ! "$p" -c 'import torch' 2>/dev/null || PYTHON=$p
done
PYTHON=${PYTHON:-python3}
"$PYTHON" "$here/versions.py" >"$tmp/versions" || exit 1
cat "$tmp/versions"

status=0
: >"$tmp/rows"
for stage in "$here"/[0-9][0-9]-*.py; do
	name=${stage##*/} name=${name%.py}
	case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
	[ -x "$stage" ] || continue
	mkdir "$tmp/$name"
	begun=$(date +%s)
	code=0
	(cd "$tmp/$name" && "$PYTHON" "$stage") >"$tmp/out" </dev/null || code=$?
	cat "$tmp/out" >>"$tmp/rows"
	rm -rf "${tmp:?}/$name"
	echo "$name: $(wc -l <"$tmp/out") rows, $(($(date +%s) - begun)) s" >&2
	if [ $code -ne 0 ]; then
		echo "$name: failed with status $code" >&2
		printf '%s\tthe stage failed (status %d)\t-\t0\t1\t-\texact\n' "${name#*-}" $code >>"$tmp/rows"
	fi
done

# Columns as wide as their widest cell; a difference that is not merely published makes the status 1.
awk -F'\t' '
function line(a, b, c, d, e, f, g) {
	printf "| %-*s | %-*s | %-*s | %*s | %*s | %*s | %*s |\n", w[1], a, w[2], b, w[3], c, w[4], d, w[5], e, w[6], f, w[7], g
}
function rule(i, s) { s = sprintf("%*s", w[i] + (i < 4 ? 2 : 1), ""); gsub(/ /, "-", s); return s (i < 4 ? "" : ":") "|" }
BEGIN { n = split("stage|what|against|cases|differences|worst error|tolerance", head, "|"); for (i = 1; i <= n; i++) w[i] = length(head[i]) }
NF != 7 { print "not a row of seven columns: " $0 > "/dev/stderr"; bad = 1; next }
{ rows++; for (i = 1; i <= 7; i++) { gsub(/\|/, "\\|", $i); cell[rows, i] = $i; if (length($i) > w[i]) w[i] = length($i) } }
$5 + 0 != 0 && $7 != "published" { bad = 1 }
END {
	line(head[1], head[2], head[3], head[4], head[5], head[6], head[7])
	s = "|"; for (i = 1; i <= 7; i++) s = s rule(i); print s
	for (r = 1; r <= rows; r++)
		line(cell[r, 1], cell[r, 2], cell[r, 3], cell[r, 4], cell[r, 5], cell[r, 6], cell[r, 7])
	exit bad || !rows
}' "$tmp/rows" || status=1
exit $status
