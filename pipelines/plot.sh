#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: plot.sh RUN OUT.png    the loss terms, learning rate and accuracy of RUN/log.tsv, drawn by gnuplot
set -eu
[ $# = 2 ] || { echo "usage: plot.sh RUN OUT.png" >&2; exit 2; }
log=$1/log.tsv
[ -s "$log" ] || { echo "plot.sh: $log: no rows" >&2; exit 1; }
command -v gnuplot >/dev/null || { echo "plot.sh: gnuplot is not installed (make deps)" >&2; exit 1; }
col() { head -n 1 "$log" | tr '\t' '\n' | grep -nx "$1" | cut -d: -f1; }

# each point is the mean of a window of rows, so that the curve can be read
window=$(($(wc -l <"$log") / 60 + 1))
curves=
for term in clip mvs simsiam mlm nns total; do
	c=$(col "$term")
	[ -z "$c" ] || curves="$curves${curves:+, }'$log' using (floor(\$1 / $window) * $window):(valid($c) ? column($c) : NaN) smooth unique with lines lw 2 title '$term'"
done
gnuplot <<END
set terminal pngcairo size 1000,640 font 'sans,11'
set output '$2'
set datafile separator "\t"
set datafile missing 'nan'
set multiplot layout 2,1
set key outside right
set lmargin 9
set rmargin 24
set grid
set ylabel 'loss'
plot $curves
set xlabel 'step'
set ylabel 'in-batch accuracy'
set yrange [0:]
set y2label 'learning rate'
set y2tics
set y2range [0:]
plot '$log' using (floor(\$1 / $window) * $window):$(col accuracy) smooth unique with lines lw 2 title 'accuracy', \
     '$log' using 1:$(col lr) axes x1y2 with lines dt 2 title 'lr'
END
