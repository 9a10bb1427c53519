# SPDX-License-Identifier: MIT
# The nearest rows by inner product, for report.sh: of each row of the first file those of the second.
#
#	awk -v k=5 [-v want=FILE] -f nearest.awk QUERIES ROWS
#
# Rows of numbers, as od -tf4 prints them. One line for each query and place: query, place, row, product; queries and rows from
# 0, of equal products the earlier row first. FILE has a row number for each query; its place among all comes as place 0:
# query, 0, place, product.

NR == FNR { for (i = 1; i <= NF; i++) q[n * NF + i] = $i + 0; n++; next }
{
	for (i = 1; i <= NF; i++) r[i] = $i + 0
	for (j = 0; j < n; j++) {
		s = 0; o = j * NF
		for (i = 1; i <= NF; i++) s += q[o + i] * r[i]
		product[rows * n + j] = s
	}
	rows++
}
END {
	for (j = 0; j < n; j++) {
		for (place = 1; place <= k && place <= rows; place++) {
			best = -1
			for (i = 0; i < rows; i++)
				if (!((i * n + j) in taken) && (best < 0 || product[i * n + j] > product[best * n + j])) best = i
			taken[best * n + j] = 1
			printf "%d\t%d\t%d\t%.4f\n", j, place, best, product[best * n + j]
		}
		if (want != "" && (getline own <want) > 0) {
			own += 0; place = 1
			for (i = 0; i < rows; i++) if (product[i * n + j] > product[own * n + j]) place++
			printf "%d\t0\t%d\t%.4f\n", j, place, product[own * n + j]
		}
	}
}
