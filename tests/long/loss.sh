#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# dc-loss's memory and processor time at D = 512 for N pairs [16384]: 1 GB for CLIP and 3.5 GB for DeCLIP at N = 65,536, and
# in proportion for fewer. N=65536 takes minutes for CLIP and an hour or more for DeCLIP.
set -u -o pipefail
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=${DC_BIN:-$top/build}:$PATH
N=${N:-16384} METHODS=${METHODS:-clip declip}
bad=0
for python in ${DC_PYTHON:-} /usr/bin/python3 python3; do "$python" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null && break; done
printf '| %-8s | %7s | %9s | %9s | %7s | %7s |\n' method pairs memory limit CPU time '--------' '------:' '--------:' '--------:' '------:' '------:'
for method in $METHODS; do
	most=1000 options=()
	[ "$method" = clip ] || most=3500 options=(--queue 65536 --nns-after 1)
	limit=$((most * N / 65536 + 60)) # and a queue, threads, tiles
	[ "$method" = clip ] || [ "$N" -ge 65536 ] || limit=$((limit + 140))
	[ "$N" -lt 65536 ] || limit=$most
	said=$("$python" "$top/tests/reference/loss_large.py" "$method" "$N" 512 | dc-loss -v --method "$method" ${options[@]+"${options[@]}"} 2>&1 >/dev/null) ||
		{ echo "$said" >&2; exit 1; }
	mb=$(sed -n 's/^dc-loss: .* \([0-9]*\) MB$/\1/p' <<<"$said" | awk '{ printf "%.0f", $1 * 1.048576 }') # of 10^6 bytes
	printf '| %-8s | %7d | %6d MB | %6d MB | %5.0f s | %5.0f s |\n' "$method" "$N" "$mb" "$limit" \
		"$(sed -n 's/^dc-loss: .* \([0-9.]*\) s CPU.*/\1/p' <<<"$said")" "$(sed -n 's/^dc-loss: .* \([0-9.]*\) s real.*/\1/p' <<<"$said")"
	[ "$mb" -lt "$limit" ] || bad=1
done
exit $bad
