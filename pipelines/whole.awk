# SPDX-License-Identifier: MIT
# log.tsv without the steps whose batch was short, as the last of a run often is: losses over fewer pairs are lower, and a
# curve would end in a plunge. Short: under nine tenths of the run's largest batch. A log without batch_size stays whole.
#
#	awk -f whole.awk RUN/log.tsv
BEGIN { FS = "\t" }
NR == 1 { for (i = 1; i <= NF; i++) if ($i == "batch_size") c = i; print; next }
!c || NF < c { print; next }
{ row[++n] = $0; size[n] = $c; if ($c + 0 > most) most = $c + 0 }
END { for (i = 1; i <= n; i++) if (size[i] >= 0.9 * most) print row[i] }
