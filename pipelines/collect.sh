#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What ablation.mk has measured so far, as tables and a picture.
#
#	collect.sh OUT TEST-HASH 'METHODS' RUN...      RUN: names below OUT/runs; those without scores yet are left out
#
# ABOUT in the environment is a line for results.md: what the runs have in common.
# OUT/results.tsv: a row a run; OUT/curves.tsv: a row a scored checkpoint; OUT/results.md; OUT/ablation.png
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
usage() { sed -n '5s/^#\t//p' "${BASH_SOURCE[0]}"; }
case ${1-} in -h | --help) usage; exit 0 ;; esac
[ $# -ge 3 ] || { usage >&2; exit 2; }
out=$1 hash=$2 methods=$3
shift 3
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
option() { sed -n "s/^\"$2\": \"\(.*\)\",\{0,1\}\$/\1/p" "$1/run.json" | sed 's/\\\\/\x01/g; s/\\t/\t/g; s/\\"/"/g; s/\x01/\\/g'; }

# GFLOP a pair (work.awk), with the mean length of the captions of the first 2,048 samples; kept in the run
work() {
	local run=$1 config tokens caption shards
	if [ ! -s "$run/work" ]; then
		config=$(dc-step --run "$run" --print config) || return
		caption=$(option "$run" caption)
		IFS=$'\t' read -r -a shards <<<"$(option "$run" data)"
		tokens=$(dc-decode --keep-encoded --captions all --tail short --batch 64 --steps 32 ${caption:+--caption "$caption"} "${shards[@]}" 2>/dev/null |
			dc-augment -j 1 --recipe eval --size 8 | dc-tokenize -v --model "$run" --mlm 0 2>&1 >/dev/null |
			sed -n 's/.* \([0-9.]*\) ids a caption view$/\1/p') && [ -n "$tokens" ] || return
		echo "$config" | awk -v tokens="$tokens" -v batch="$(option "$run" batch)" -f "$here/work.awk" >"$run/work" || return
	fi
	cat "$run/work"
}
# seconds between the parameters and the end of each step, added up: a busy machine shows in them
seconds() {
	awk -F '\t' -v batch="$(option "$1" batch)" 'NR == 1 { for (i = 1; i <= NF; i++) { if ($i == "pairs_per_s") c = i; if ($i == "batch_size") b = i } next }
		$c > 0 { s += (b ? $b : batch) / $c } END { printf "%.0f", s }' "$1/log.tsv"
}

: >"$tmp/results.tsv"
: >"$tmp/curves.tsv"
for name; do
	run=$out/runs/$name
	test=$run/test-$hash.tsv
	[ -s "$test" ] || continue
	if ! [[ $name =~ ^(.*)-s([0-9]+)-([0-9a-f]{10})$ ]] || ! gflop=$(work "$run"); then
		echo "collect.sh: $run is left out" >&2
		continue
	fi
	method=${BASH_REMATCH[1]} seed=${BASH_REMATCH[2]} config=${BASH_REMATCH[3]}
	awk -F '\t' -v OFS='\t' -v gflop="$gflop" -v left="$method$(printf '\t')$seed$(printf '\t')runs/$name$(printf '\t')$(readlink "$run/latest")$(printf '\t')$config" \
		-v seconds="$(seconds "$run")" -v version="$(cat "$run/.trained")" '
		{ rest = ""; for (i = 3; i <= NF; i++) rest = rest OFS $i }
		NR == 1 { print "method", "seed", "run", "checkpoint", "config", "steps", "pairs", "gflop_per_pair", "tflop", "train_s" rest, "version" }
		NR == 2 { print left, $1, $2, gflop, sprintf("%.4g", $2 * gflop / 1000), seconds rest, version }' "$test" >"$tmp/row"
	sed "$([ ! -s "$tmp/results.tsv" ] || echo 1d)" "$tmp/row" >>"$tmp/results.tsv"
	[ -s "$run/val.tsv" ] || continue
	awk -F '\t' -v OFS='\t' -v gflop="$gflop" -v left="$method$(printf '\t')$seed$(printf '\t')runs/$name" '
		{ rest = ""; for (i = 3; i <= NF; i++) rest = rest OFS $i }
		NR == 1 { print "method", "seed", "run", "step", "pairs", "tflop" rest; next }
		{ print left, $1, $2, sprintf("%.6g", $2 * gflop / 1000) rest }' "$run/val.tsv" >"$tmp/row"
	sed "$([ ! -s "$tmp/curves.tsv" ] || echo 1d)" "$tmp/row" >>"$tmp/curves.tsv"
done
[ -s "$tmp/results.tsv" ] || { echo "collect.sh: nothing is finished yet" >&2; exit 0; }
about="${ABOUT:-}" awk -v methods="$methods" -v plot="$tmp/bars" -f "$here/student.awk" -f "$here/results.awk" "$tmp/results.tsv" "$tmp/curves.tsv" >"$tmp/results.md" || exit 1
for f in results.tsv curves.tsv results.md; do
	mv "$tmp/$f" "$out/.$f.$$" && mv "$out/.$f.$$" "$out/$f" || exit 1
done
command -v gnuplot >/dev/null || { echo "collect.sh: no gnuplot, no $out/ablation.png" >&2; exit 0; }

# --- the picture ---
colours=(black '#0060ad' '#dd181f' '#009e73' '#e69f00' '#9400d3' '#56b4e9' '#8b4513')
curves='' work_curves='' losses='' i=0
for m in $methods; do
	colour=${colours[i++ % 8]}
	# the mean over seeds of what every seed has
	awk -F '\t' -v m="$m" 'NR > 1 && $1 == m { n[$4]++; p[$4] = $5; c[$4] += $6; v[$4] += $NF; if (n[$4] > max) max = n[$4] }
		END { for (s in n) if (n[s] == max) print s, p[s], c[s] / n[s], 100 * v[s] / n[s] }' "$out/curves.tsv" | sort -n >"$tmp/curve.$m"
	run=$(awk -F '\t' -v m="$m" 'NR > 1 && $1 == m { print $3; exit }' "$out/results.tsv")
	if [ -s "$tmp/curve.$m" ]; then
		curves+="${curves:+, }'$tmp/curve.$m' using (\$2 / 1000):4 with linespoints lw 2 pt 7 ps 0.4 lc rgb '$colour' title '$m'"
		work_curves+="${work_curves:+, }'$tmp/curve.$m' using 3:4 with linespoints lw 2 pt 7 ps 0.4 lc rgb '$colour' title '$m'"
	fi
	[ -n "$run" ] || continue
	awk -f "$here/whole.awk" "$out/$run/log.tsv" >"$tmp/log"
	awk -F '\t' -v batch="$(option "$out/$run" batch)" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "clip" || ($i == "total" && !c)) c = i; next }
		{ s += $c; if (++n == w || (w = w ? w : 1) == 0) { print $1 * batch / 1000, s / n; s = n = 0 } }' \
		w=$(($(wc -l <"$tmp/log") / 60 + 1)) "$tmp/log" >"$tmp/loss.$m"
	losses+="${losses:+, }'$tmp/loss.$m' using 1:2 with lines lw 2 lc rgb '$colour' title '$m'"
done
unit=$(tail -n 1 "$tmp/bars")
case $unit in mean) unit='mean of the recalls' ;; top) unit='top-1' ;; esac
gnuplot 2>"$tmp/gnuplot" <<END || cat "$tmp/gnuplot" >&2
set terminal pngcairo noenhanced size 1300,900 font 'sans,10'
set output '$out/.ablation.png.$$'
set multiplot layout 2,2
set grid
set key outside right top
set ylabel '$unit, %'
set title 'last checkpoint, on the test set: mean of the seeds, 95 % interval'
set style fill solid 0.4
set boxwidth 0.6
set yrange [0:]
set offsets 0, 0, graph 0.05, 0
set xtics rotate by -20
unset key
plot '$tmp/bars' using 1:3:xtic(2) with boxes lc rgb '#4477aa', '' using 1:3:4 with yerrorbars lw 2 pt 7 ps 0.5 lc rgb 'black'
set key outside right top
set xtics norotate
unset yrange
set yrange [*:*]
set ylabel 'loss'
set title 'the term clip of whole batches, first seed, each by its own views'
set xlabel 'thousand pairs seen'
plot ${losses:-0 notitle}
set yrange [0:]
set ylabel '$unit, %'
set title 'while training: mean of the seeds, against pairs seen'
plot ${curves:-0 notitle}
set title 'the same against useful work'
set xlabel 'TFLOP'
plot ${work_curves:-0 notitle}
END
[ ! -s "$out/.ablation.png.$$" ] || mv "$out/.ablation.png.$$" "$out/ablation.png"
