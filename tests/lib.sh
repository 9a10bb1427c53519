# SPDX-License-Identifier: MIT
# Sourced by every tests/*.t: TAP output, one scratch directory per script.
#
#	. "${0%/*}/lib.sh"
#	run 0 'help exits 0' dc-loss --help           # status wanted, description, command; stdout -> out, stderr -> err
#	said '^usage: '      'and shows the usage'    # a pattern in err or out
#	check 'two files are equal' cmp a b           # the command's success is the test's
#	done_testing
set -u
LC_ALL=C; export LC_ALL
unset MAKEFLAGS MFLAGS MAKELEVEL   # a make of the tests' own is not as silent as the one that runs them
top=$(cd "${0%/*}/.." && pwd)
PATH=${DC_BIN:-$top/build}:$PATH; export PATH
DC_BIN=${DC_BIN:-$top/build}; export DC_BIN
# shellcheck disable=SC2034
DATA=${DC_DATA:-$top/../shared/data}   # real data: stands beside the project where there is any
DC_ARCH_DIR=$top/pipelines/arch; export DC_ARCH_DIR # the tools may stand elsewhere (make asan)
OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}; export OMP_NUM_THREADS
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
n=0

ok() { # ok STATUS DESCRIPTION: one TAP line; err becomes diagnostics
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		[ ! -f err ] || head -n 30 err | sed 's/^/#   /'
	fi
}

run() { # run STATUS DESCRIPTION COMMAND...
	code=$1 desc=$2; shift 2
	got=0
	"$@" >out 2>err </dev/null || got=$?
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code: $*" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}

check() { # check DESCRIPTION COMMAND...
	desc=$1; shift
	"$@" >out 2>err </dev/null; ok $? "$desc"
}

said() { # said PATTERN DESCRIPTION: in the last run's stderr or stdout
	grep -qE -- "$1" err out; ok $? "$2"
}

# A FIFO that nobody reads any more on descriptor 4: a writer finds its reader gone, however slow the machine.
unread() { mkfifo unread.fifo && exec 3<>unread.fifo 4>unread.fifo 3<&- && rm unread.fifo; }

skip() { # skip REASON DESCRIPTION
	n=$((n + 1)); echo "ok $n - $2 # SKIP $1"
}

# The tools were built with a sanitizer of memory or threads, which must be loaded first and reserves terabytes of addresses.
sanitized() { ldd "$DC_BIN/dc-step" | grep -q 'lib[at]san'; }
# What LD_PRELOAD has to say for faultlib.so
faultlib() { echo "$(ldd "$DC_BIN/dc-step" | awk '/lib[at]san/ { printf "%s:", $3 }')$DC_BIN/faultlib.so"; }

skip_all() { echo "1..0 # SKIP $1"; exit 0; }

# A Python with numpy, msgpack, msgpack_numpy and xxhash in $PYTHON, or skip the whole script.
need_python() {
	for PYTHON in ${DC_PYTHON:-} /usr/bin/python3 python3; do
		"$PYTHON" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null && return 0
	done
	skip_all 'no Python with numpy, msgpack, msgpack_numpy, xxhash (make deps installs them)'
}

done_testing() { echo "1..$n"; }
