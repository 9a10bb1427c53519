#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench: how fast, in ratios taken in one run; one table on stdout, in Markdown.
#
#	tests/bench/run.sh [ROW...]          # 10-step ...; without names, all
#
# PEERS=1 (make bench-peers) runs the Python peers that $DC_TORCH_PYTHON has too. ROUNDS: how often each is timed.
set -u
LC_ALL=C; export LC_ALL
here=$(cd "${0%/*}" && pwd)
top=${here%/tests/bench}; export top
DC_BIN=${DC_BIN:-$top/build}; export DC_BIN
PATH=$DC_BIN:$PATH; export PATH
DATA=${DC_DATA:-$top/../shared/data}; export DATA
DC_ARCH_DIR=$top/pipelines/arch; export DC_ARCH_DIR
PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE
rows=$(mktemp) || exit 99
trap 'rm -f "$rows"' EXIT
trap 'exit 130' INT TERM

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $(free -g | awk '/^Mem/ { print $2 }') GB;" \
    "sgemm $("$DC_BIN/bench_gemm") GFLOP/s; $(dc-step --version | head -n 1)"
echo
status=0
for bench in "$here"/[0-9][0-9]-*.sh; do
	name=${bench##*/} name=${name%.sh}
	case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
	sh "$bench" >>"$rows" || status=1
done
awk -F'\t' '
BEGIN { n = split("row|what|here|unit|peer|there|ratio|target", head, "|"); for (i = 1; i <= n; i++) w[i] = length(head[i]) }
{ rows++; for (i = 1; i <= n; i++) { cell[rows, i] = $i; if (length($i) > w[i]) w[i] = length($i) } }
function line(r, i, s, right) {
	s = "|"
	for (i = 1; i <= n; i++) { right = i == 3 || i > 5; s = s sprintf(right ? " %*s |" : " %-*s |", w[i], r ? cell[r, i] : head[i]) }
	print s
}
END {
	line(0); s = "|"
	for (i = 1; i <= n; i++) { d = sprintf("%*s", w[i] + 2, ""); gsub(/ /, "-", d); if (i == 3 || i > 5) sub(/-$/, ":", d); s = s d "|" }
	print s
	for (r = 1; r <= rows; r++) line(r)
}' "$rows"
exit $status
