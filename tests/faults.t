#!/bin/sh
# SPDX-License-Identifier: MIT
# A few of the faults of make faults (tests/faults.py says what they are), and that one is noticed which is not borne.
. "${0%/*}/lib.sh"
need_python
TMPDIR=$tmp; export TMPDIR

check '24 faults are borne as they must be' "$PYTHON" "$top/tests/faults.py" --faults 24 --from "${FAULTS_FROM:-0}" --limit 120
sed 's/^/# /' out
check 'and one that ended as if nothing had been, the state lost' "$PYTHON" "$top/tests/faults.py" --faults 1 --from 75 --limit 120
# a run that goes on otherwise than it began
mkdir bin
for t in "$DC_BIN"/dc-* "$DC_BIN"/faultlib.so; do ln -s "$t" bin/; done
rm bin/dc-augment
printf '#!/bin/sh\n[ ! -e err2 ] || set -- "$@" --seed 9\nexec "%s/dc-augment" "$@"\n' "$DC_BIN" >bin/dc-augment
chmod +x bin/dc-augment
run 1 'one that is not borne is found' env DC_BIN="$tmp/bin" "$PYTHON" "$top/tests/faults.py" --faults 1 --only SIGKILL --limit 120
said "run again: the checkpoint differs from an undisturbed run's" 'and told'
done_testing
