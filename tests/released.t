#!/bin/sh
# SPDX-License-Identifier: MIT
# --as released: every behaviour in which the released code differs from the paper, by itself, through the tools; and
# none of them where the tools read the paper's way.
. "${0%/*}/lib.sh"
need_python
PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE
for reading in released paper; do
	timeout 300 "$PYTHON" "$top/tests/reference/released.py" "$reading" "$n" >lines 2>err; code=$?
	cat lines
	n=$((n + $(grep -cE '^(not )?ok ' lines)))
	ok $code "--as $reading"
done
done_testing
