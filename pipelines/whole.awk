# SPDX-License-Identifier: MIT
# log.tsv without the steps whose batch was short, as the last of a run often is: losses over fewer pairs are lower, and a
# curve would end in a plunge. Short: under nine tenths of the run's largest batch. Rows of an older dc-step do not say how large
# it was (batch_size, the last column): then the last row is left out.
#
#	awk -f whole.awk RUN/log.tsv
BEGIN { FS = "\t" }
NR == 1 { columns = NF - ($NF == "batch_size"); print; next }
{ row[++n] = $0; size[n] = NF > columns ? $NF + 0 : -1; if (size[n] > most) most = size[n] }
END {
	if (n > 1 && size[n] < 0) n--
	for (i = 1; i <= n; i++) if (size[i] < 0 || size[i] >= 0.9 * most) print row[i]
}
