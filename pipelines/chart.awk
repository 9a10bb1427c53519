# SPDX-License-Identifier: MIT
# One curve of each file as an SVG picture, for report.sh: column `col` over the first column. Tab-separated, with a header.
#
#	awk -v col=total -v id=c1 -v name='total loss' [-v zero=1] [-v marks=1] -f chart.awk RUN/log.tsv ...
#
# Long tables are cut into 90 windows: the line is their mean, the band from their smallest to their largest value. NaN and
# empty cells leave gaps. Nothing is written where no file has a value. Colours are CSS classes: s0 is the first file.

function number(s) { return s ~ /^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$/ }

function show(x,    s) { # four digits, as people write them
	if (x == 0) return "0"
	if (x >= 1e5 || x <= -1e5 || (x < 1e-3 && x > -1e-3)) {
		s = sprintf("%.2e", x); sub(/\.?0*e/, "e", s); sub(/e\+?0*/, "e", s); sub(/e-0*/, "e-", s); return s
	}
	s = sprintf("%.4g", x)
	return s
}
function tick(v, step,    d) { # as many digits as tell neighbours apart
	if (v == 0) return "0"
	step *= 1.000001
	if (step >= 1e5 || step < 1e-4) return show(v)
	d = step >= 1 ? 0 : step >= .1 ? 1 : step >= .01 ? 2 : step >= .001 ? 3 : 4
	return sprintf("%." d "f", v)
}
function nice(span, n,    k, r) { # a round step that cuts span into about n
	r = span / n
	k = exp(int(log(r) / log(10) - (r < 1)) * log(10))
	r /= k
	return k * (r < 1.5 ? 1 : r < 3.5 ? 2 : r < 7.5 ? 5 : 10)
}
function X(x) { return sprintf("%.1f", left + (x - x0) / (x1 - x0) * (right - left)) }
function Y(y) { return sprintf("%.1f", bottom - (y - y0) / (y1 - y0) * (bottom - top)) }

FNR == 1 {
	f++; c = 0
	for (i = 1; i <= NF; i++) if ($i == col) c = i
	next
}
c && number($1) { n[f]++; x[f, n[f]] = $1; y[f, n[f]] = number($c) ? $c : "" }

END {
	if (marks == "") marks = 0
	left = 46; right = 348; top = 8; bottom = 158
	# windows: mean, smallest, largest
	first = 1
	for (k = 1; k <= f; k++) {
		w[k] = n[k] > 180 ? n[k] / 90 : 1
		m[k] = 0
		for (i = 1; i <= n[k]; i = end + 1) {
			s = 0; count = 0; lo = hi = ""; sx = 0
			end = int((m[k] + 1) * w[k] + 1e-9)
			for (j = i; j <= end; j++) {
				if (y[k, j] == "") continue
				v = y[k, j] + 0; s += v; sx += x[k, j]; count++
				if (lo == "" || v < lo) lo = v
				if (hi == "" || v > hi) hi = v
			}
			m[k]++
			a[k, m[k]] = count ? s / count : ""
			b[k, m[k]] = lo; t[k, m[k]] = hi
			px[k, m[k]] = count ? sx / count : x[k, i]
			if (!count) continue
			v = s / count
			if (first || v < y0) y0 = v
			if (first || v > y1) y1 = v
			if (first || px[k, m[k]] > x1) x1 = px[k, m[k]]
			first = 0
			last[k] = v; least[k] = least[k] == "" || v < least[k] ? v : least[k]; most[k] = most[k] == "" || v > most[k] ? v : most[k]
			if (begin[k] == "") begin[k] = v
		}
		if (n[k] && x[k, n[k]] > x1) x1 = x[k, n[k]]
	}
	if (first) exit 1
	x0 = 0
	if (x1 <= 0) x1 = 1
	if (zero && y0 > 0) y0 = 0
	if (zero && y1 <= 0) y1 = 1
	pad = (y1 - y0) * 0.06
	size = y1 > 0 ? y1 : -y1
	if (pad < size * 1e-6) pad = size ? size * 0.05 : 0.5
	y1 += pad
	if (!zero) y0 -= pad

	text = ""
	for (k = 1; k <= f; k++) if (last[k] != "")
		text = text (text == "" ? "" : "; ") (f > 1 ? "run " k " " : "") "from " show(begin[k]) " to " show(last[k]) ", lowest " show(least[k]) ", highest " show(most[k])
	printf "<svg viewBox=\"0 0 360 178\" role=\"img\" aria-label=\"%s: %s\">\n", name, text
	printf "<clipPath id=\"%s\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n", id, left, top, right - left, bottom - top
	step = nice(y1 - y0, 4)
	for (i = int(y0 / step) - 1; i * step <= y1; i++) {
		v = i * step
		if (v < y0 - step * 1e-6) continue
		if (v < step / 1e6 && v > -step / 1e6) v = 0
		printf "<path class=\"grid\" d=\"M%d %sH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left, Y(v), right, left - 5, Y(v) + 3.5, tick(v, step)
	}
	step = nice(x1 - x0, 4)
	if (step < 1) step = 1
	for (v = 0; v <= x1 * 1.0001; v += step)
		printf "<path class=\"grid tick\" d=\"M%s %dv4\"/><text x=\"%s\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", X(v), bottom, X(v), bottom + 15, (v >= 1e5 ? show(v / 1000) "k" : v)
	printf "<path class=\"axis\" d=\"M%d %dH%d\"/>\n", left, bottom, right
	printf "<g clip-path=\"url(#%s)\">\n", id
	for (k = 1; k <= f; k++) if (w[k] > 1) {
		up = down = ""
		for (i = 1; i <= m[k] + 1; i++) {
			if (i <= m[k] && a[k, i] != "") { up = up (up == "" ? "M" : "L") X(px[k, i]) " " Y(t[k, i]); down = "L" X(px[k, i]) " " Y(b[k, i]) down; continue }
			if (up != "") printf "<path class=\"band f%d\" d=\"%s%sZ\"/>\n", (k - 1) % 8, up, down
			up = down = ""
		}
	}
	for (k = 1; k <= f; k++) {
		d = ""; pen = "M"; dots = ""
		for (i = 1; i <= m[k]; i++) {
			if (a[k, i] == "") { pen = "M"; continue }
			d = d pen X(px[k, i]) " " Y(a[k, i]); pen = "L"
			if (marks) dots = dots "<circle cx=\"" X(px[k, i]) "\" cy=\"" Y(a[k, i]) "\" r=\"2.2\"/>"
		}
		if (d == "") continue
		printf "<path class=\"line s%d%s\" d=\"%s\"/>\n", (k - 1) % 8, (k > 8 ? " dash" : ""), d
		if (dots != "") printf "<g class=\"f%d\">%s</g>\n", (k - 1) % 8, dots
	}
	print "</g>\n</svg>"
	# for the caption: where each ends
	for (k = 1; k <= f; k++) if (last[k] != "" && ends != "") printf "%d\t%s\n", k, show(last[k]) >ends
}
