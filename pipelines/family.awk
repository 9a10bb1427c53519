# SPDX-License-Identifier: MIT
# Methods by encoders, as CLIP-Benchmark has them: the results.tsv of each architecture, side by side, the means over seeds.
#
#	awk -v methods='clip declip' -v archs='rn50 vit-b-32' -f family.awk rn50/results.tsv vit-b-32/results.tsv
#
# Of every score there is, the columns after train_s but for the version; in per cent.
BEGIN { FS = "\t"; M = split(methods, method, " "); A = split(archs, arch, " ") }
FNR == 1 {
	file++
	if (file == 1)
		for (i = 11; i < NF; i++) score[++S] = $i
	next
}
{ for (i = 1; i <= S; i++) sum[$1, file, i] += $(10 + i); n[$1, file]++; if (n[$1, file] > most) most = n[$1, file] }
function cell(m, a, i) { return n[m, a] ? sprintf("%.1f", 100 * sum[m, a, i] / n[m, a]) : "-" }
END {
	if (!most) { print "no run is finished"; exit 1 }
	print "| method |" row("", 0); print "|---|" row("", -1)
	for (k = 1; k <= M; k++) print "| " method[k] " |" row(method[k], 1)
	print ""
	print "Per cent" (most > 1 ? ", means over at most " most " seeds" : "") "; r1, r5, r10: the share of queries with a match among the first 1, 5, 10."
}
function row(m, what,    a, i, s) {
	for (a = 1; a <= A; a++)
		for (i = 1; i <= S; i++)
			s = s (what < 0 ? "---:|" : " " (what ? cell(m, a, i) : arch[a] " " score[i]) " |")
	return s
}
