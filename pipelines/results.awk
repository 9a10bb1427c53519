# SPDX-License-Identifier: MIT
# results.tsv and curves.tsv of collect.sh as text; `plot` gets the bars of the picture.
#
#	awk -v methods='clip declip' -v plot=FILE -f student.awk -f results.awk results.tsv curves.tsv
#
# The interval of a mean over n seeds is mean +- t(0.975, n - 1) s / sqrt(n), s with n - 1; that of a difference the same
# over the differences seed by seed.
BEGIN {
	FS = "\t"
	M = split(methods, method, " ")
}
FNR == 1 { file++; for (i = 1; i <= NF; i++) name[file, i] = $i; n_columns[file] = NF; next }
file == 1 {
	k = $1 SUBSEP $2
	if (!(k in run)) seeds[$1] = seeds[$1] " " $2
	run[k] = $3; checkpoint[k] = $4; config[k] = $5; steps[k] = $6; pairs[k] = $7; gflop[$1] = $8; tflop[k] = $9; train_s[k] = $10
	for (i = 11; i < NF; i++) value[k, i] = $i
	last = NF - 1; version[$NF]++
	if (!least || $9 + 0 < least) least = $9 + 0
}
# work, value in the order of steps
file == 2 { k = $1 SUBSEP $2; n = ++points[k]; at[k, n] = $6; is[k, n] = $NF; if ($NF + 0 > peak[k] + 0) { peak[k] = $NF; peak_pairs[k] = $5 } }

# --- over seeds ---
function clear() { n_x = sum_x = squares_x = 0 }
function add(x) { n_x++; sum_x += x; squares_x += x * x }
function half(    s2) { # half the interval's width; negative where one seed gives none
	if (n_x < 2) return -1
	s2 = (squares_x - sum_x * sum_x / n_x) / (n_x - 1)
	return quantile(n_x - 1) * sqrt((s2 > 0 ? s2 : 0) / n_x)
}
function shown(unit, places,    h, sign) { # mean +- half
	if (!n_x) return "-"
	h = half()
	sign = places < 0 ? "+" : ""; places = places < 0 ? -places : places
	return sprintf("%" sign "." places "f", unit * sum_x / n_x) (h < 0 ? "" : sprintf(" ± %." places "f", unit * h))
}
function column_of(m, i,    s, n, j) { clear(); n = split(seeds[m], s, " "); for (j = 1; j <= n; j++) add(value[m SUBSEP s[j], i]) }
# the curve of a run at an amount of work: between two points a line; "" outside
function curve(k, work,    n) {
	for (n = 1; n <= points[k]; n++)
		if (at[k, n] >= work * (1 - 1e-3)) {
			if (n == 1 || at[k, n] <= work) return at[k, n] <= work * (1 + 1e-3) ? is[k, n] : ""
			return is[k, n - 1] + (is[k, n] - is[k, n - 1]) * (work - at[k, n - 1]) / (at[k, n] - at[k, n - 1])
		}
	return ""
}
function first_seed(m,    s) { split(seeds[m], s, " "); return m SUBSEP s[1] }
function differences(a, b, i,    s, n, j, ka, kb, x, y) { # b - a over the seeds of both; column i, or i = 0: curves at `least`
	clear(); n = split(seeds[a], s, " ")
	for (j = 1; j <= n; j++) {
		ka = a SUBSEP s[j]; kb = b SUBSEP s[j]
		if (!(kb in run)) continue
		x = i ? value[ka, i] : curve(ka, least); y = i ? value[kb, i] : curve(kb, least)
		if (x != "" && y != "") add(y - x)
	}
}
function near(x, y, part) { return x > 0 && y > 0 && x <= y * (1 + part) && y <= x * (1 + part) }
function compare(how,    a, b, i, row, some, x, y) {
	for (b = 2; b <= M; b++)
		for (a = 1; a < b; a++) {
			x = first_seed(method[a]); y = first_seed(method[b])
			if (!seeds[method[a]] || !seeds[method[b]]) continue
			if (how == "pairs" && !near(pairs[x], pairs[y], 0.01)) continue
			if (how == "compute" && !near(tflop[x], tflop[y], 0.05)) continue
			row = "| " method[b] " − " method[a] " |"
			if (how == "curve") {
				differences(method[a], method[b], 0)
				row = row " " n_x " | " shown(100, -2) " |"
			} else {
				differences(method[a], method[b], last)
				row = row " " n_x " |"
				for (i = 11; i <= last; i++) { differences(method[a], method[b], i); row = row " " shown(100, -2) " |" }
			}
			if (n_x) { print row; some = 1 }
		}
	if (!some) print "| none yet |"
}
function heading(what,    i, a, b) {
	a = "| " what " | seeds |"; b = "|---|---|"
	for (i = 11; i <= last; i++) { a = a " " name[1, i] " |"; b = b "---|" }
	print a; print b
}

END {
	print "# Results\n"
	if (ENVIRON["about"]) print "`" ENVIRON["about"] "`\n"
	print "Scores in percent, of the last checkpoint, on the test set; mean over the seeds ± half of the 95 % t interval (none with one seed)."
	print "GFLOP: useful work, the matrix products that the mathematics needs (work.awk); seconds are those that the runs took, whatever else the machine did.\n"
	a = "| method | seeds | GFLOP a pair | pairs seen | TFLOP | seconds |"; b = "|---|---|---|---|---|---|"
	for (i = 11; i <= last; i++) { a = a " " name[1, i] " |"; b = b "---|" }
	print a; print b
	for (m = 1; m <= M; m++) if (seeds[method[m]]) {
		k = first_seed(method[m]); n = split(seeds[method[m]], s, " ")
		clear(); for (j = 1; j <= n; j++) add(train_s[method[m] SUBSEP s[j]])
		row = sprintf("| %s | %d | %.3f | %d | %s | %.0f |", method[m], n, gflop[method[m]], pairs[k], tflop[k], sum_x / n_x)
		for (i = 11; i <= last; i++) { column_of(method[m], i); row = row " " shown(100, 1) " |" }
		print row
		column_of(method[m], last); h = half()
		printf "%d\t%s\t%.4f\t%.4f\n", ++bars, method[m], 100 * sum_x / n_x, h < 0 ? 0 : 100 * h >plot
	}
	print name[1, last] >plot
	print "\n## Differences at equal pairs seen\n\nPaired by seed, in points; both at the end of their training.\n"
	heading("difference"); compare("pairs")
	print "\n## Differences at equal compute\n"
	printf "Read off the learning curves (%s, scored while training) where each has spent %.4g TFLOP of useful work, the least that a run here spent. Who has longer to go is there at a higher learning rate, so this favours the shorter training.\n\n", name[2, n_columns[2]], least
	print "| difference | seeds | " name[2, n_columns[2]] " |\n|---|---|---|"; compare("curve")
	print "\nTrained with equal compute (within 5 %), both at the end of their training:\n"
	heading("difference"); compare("compute")
	print "\n## Best point of the learning curve\n"
	print "The highest of the scores while training. It is chosen on what it is scored on, so it is no result; beside the last it shows who overfits.\n"
	print "| method | seeds | best " name[2, n_columns[2]] " | at pairs seen | last |\n|---|---|---|---|---|"
	for (m = 1; m <= M; m++) if (seeds[method[m]] && (first_seed(method[m]) in peak)) {
		n = split(seeds[method[m]], s, " "); p = 0
		clear(); for (j = 1; j <= n; j++) { k = method[m] SUBSEP s[j]; add(peak[k]); p += peak_pairs[k] / n }
		row = sprintf("| %s | %d | %s | %.0f |", method[m], n, shown(100, 1), p)
		clear(); for (j = 1; j <= n; j++) { k = method[m] SUBSEP s[j]; add(is[k, points[k]]) }
		print row " " shown(100, 1) " |"
	}
	print "\n## Runs\n\n| run | checkpoint | configuration | pairs seen | " name[1, last] " |\n|---|---|---|---|---|"
	for (m = 1; m <= M; m++) { n = split(seeds[method[m]], s, " "); for (j = 1; j <= n; j++) { k = method[m] SUBSEP s[j]
		printf "| %s | %s | %s | %d | %.2f |\n", run[k], checkpoint[k], config[k], pairs[k], 100 * value[k, last] } }
	printf "\n"; for (v in version) printf "Trained by %s (%d runs).\n", v, version[v]
}
