#!/bin/sh
# SPDX-License-Identifier: MIT
# coverage.sh BUILD: lines that ran, of those that there are, per room and per file below 85 %, of what gcov counted in BUILD.
set -u
for f in common/*/*.c tools/*.c; do
	[ -f "$1/${f%.c}.gcno" ] || continue
	gcov -n -o "$1/${f%/*}" "$f" 2>/dev/null | awk -v f="$f" '
		/^File / { ours = $0 == "File '\''" f "'\''" }
		ours && /^Lines executed:/ { split($0, a, /[:% ]+/); print f "\t" a[3] "\t" a[5]; exit }'
done | awk -F '\t' '
	{ room = $1; sub(/\/[^\/]*$/, "", room); if (!(room in n)) order[++rooms] = room
	  n[room] += $3; ran[room] += $2 / 100 * $3; all += $3; all_ran += $2 / 100 * $3
	  if ($2 < 85) low[room] = low[room] sprintf("    %-32s %6d %6.1f %%\n", $1, $3, $2) }
	END { printf "%-36s %6s %8s\n", "room", "lines", "ran"
	  for (i = 1; i <= rooms; i++) { r = order[i]; printf "%-36s %6d %6.1f %%\n%s", r, n[r], 100 * ran[r] / n[r], low[r] }
	  if (all) printf "%-36s %6d %6.1f %%\n", "all", all, 100 * all_ran / all }'
