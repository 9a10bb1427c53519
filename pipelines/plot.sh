#!/bin/sh
# SPDX-License-Identifier: MIT
# Draw the loss terms, the in-batch accuracy and the learning rate of RUN/log.tsv. man plot.sh has more.
set -eu
me=plot.sh
here=$(cd "$(dirname "$0")" && pwd)
usage() {
	cat <<-'EOF'
	usage: plot.sh RUN OUT
	Draw the loss terms, the accuracy within the batch and the learning rate of a run's log.tsv
	into OUT, a .png or .svg, with gnuplot. Each point of a curve is the mean of a sixtieth of the rows.
	Steps whose batch was short, as the last of a run often is, are left out.

	  -h, --help       print this and exit
	      --version    print the version and exit
	EOF
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }
case ${1-} in
-h | --help) usage; exit 0 ;;
--version)
	PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
	exec dc-step --version ;;
-?*) die_usage "unknown option $1" ;;
esac
[ $# = 2 ] || { usage >&2; exit 2; }
case $2 in
*.png) terminal="pngcairo noenhanced size 1000,640 font 'sans,11'" ;;
*.svg) terminal="svg noenhanced size 1000,640 font 'sans,11' background '#ffffff'" ;;
*) die_usage "$2: must end in .png or .svg" ;;
esac
case $1$2 in *\'*) die "no quotes in file names, gnuplot does not take them: $1 $2" ;; esac
log=$1/log.tsv
[ -f "$log" ] || die "$log: no such file, so $1 is no run"
[ "$(head -n 2 "$log" | wc -l)" -eq 2 ] || die "$log: no steps in it yet"
command -v gnuplot >/dev/null || die "gnuplot is not installed (make deps)"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
awk -f "$here/whole.awk" "$log" >"$tmp/log.tsv"
log=$tmp/log.tsv
col() { head -n 1 "$log" | tr '\t' '\n' | grep -nx "$1" | cut -d: -f1; }

# each point is the mean of a window of rows, so that the curve can be read; the last takes in what is less than half a window
window=$(($(wc -l <"$log") / 60 + 1))
last=$((($(tail -n 1 "$log" | cut -f 1 | grep -x '[0-9]*' || echo 0) + window / 2) / window - 1))
[ "$last" -gt 0 ] || last=0
curves=
for term in clip mvs simsiam mlm nns simclr filip siglip total; do
	c=$(col "$term") || c=
	[ -z "$c" ] || curves="$curves${curves:+, }'$log' using (w(\$1)):(valid($c) ? column($c) : NaN) smooth unique with lines lw 2 title '$term'"
done
[ -n "$curves" ] || die "$log: no loss in it"
gnuplot <<END
set terminal $terminal
set output '$2'
set datafile separator "\t"
set datafile missing 'nan'
i(x) = floor((x - 1) / $window)
w(x) = $window * (i(x) > $last ? $last : i(x)) + ($window + 1) / 2
set multiplot layout 2,1
set key outside right
set lmargin 11
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
plot '$log' using (w(\$1)):$(col accuracy) smooth unique with lines lw 2 title 'accuracy', \
     '$log' using 1:$(col lr) axes x1y2 with lines dt 2 title 'lr'
END
