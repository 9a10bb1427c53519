#!/bin/sh
# SPDX-License-Identifier: MIT
# Scores of stored features, to the last digit, against the tables that tests/reference/score_reference.py computes with
# NumPy and scikit-learn; every wrong input has one message.
. "${0%/*}/lib.sh"
golden=$top/tests/golden/scores
for f in "$golden"/*; do ln -s "$f" .; done

table() { # table GOLDEN COMMAND...
	want=$1; shift
	case $want in tokens-*) stream=tokens.dcs ;; *) stream=features.dcs ;; esac
	run 0 "$*" sh -c 'stream=$1; shift; "$@" <"$stream" >table' - "$stream" "$@"
	! [ -s err ]; ok $? 'in silence'
	check "is $want" diff table "$want"
}
for threads in 1 2; do
	OMP_NUM_THREADS=$threads; export OMP_NUM_THREADS
	table recall.tsv dc-recall --tsv
	table recall-captions-2.tsv dc-recall --tsv --captions 2
	table recall-folds-5.tsv dc-recall --tsv --folds 5
	table zeroshot.tsv dc-zeroshot --classes prompts.dcs --names names.txt --tsv --per-class --confusion "c$threads.tsv"
	check 'the confusion matrix' cmp "c$threads.tsv" confusion.tsv
	table tokens-recall.tsv dc-recall --tsv --similarity tokens
	table tokens-recall-captions-2.tsv dc-recall --tsv --similarity tokens --captions 2
	table tokens-recall-folds-5.tsv dc-recall --tsv --similarity tokens --folds 5
	table tokens-zeroshot.tsv dc-zeroshot --similarity tokens --classes token-prompts.dcs --names names.txt --tsv --per-class
done
run 0 'as .npy files and back' sh -c 'dc-npy d <features.dcs && dc-npy --from d | dc-recall --tsv >table'
check 'the same table' cmp table recall.tsv
run 0 'normalised before' sh -c 'dc-npy --normalize d <features.dcs && dc-npy --from d | dc-recall --tsv >table'
check 'the same table' cmp table recall.tsv
for python in "${DC_TORCH_PYTHON-}" /usr/bin/python3; do
	what="the tables computed again by ${python:-a Python with scikit-learn}"
	if [ -n "$python" ] && "$python" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null; then
		check "$what" "$python" "$top/tests/reference/score_reference.py" check "$golden"
	else
		skip 'no Python with numpy, msgpack, msgpack_numpy, xxhash' "$what"
	fi
done

# --- class names and templates ---
wrong() { # wrong MESSAGE COMMAND...: status 1, this one line, nothing on stdout
	want=$1; shift
	run 1 "$*" "$@"
	[ "$(cat err)" = "$want" ] && ! [ -s out ]; ok $? "says: $want"
}
prompts() { dc-zeroshot --write-prompts "$@"; }
run 0 'prompts of two names' sh -c 'printf "cat\nbox kite\r\n" >two && dc-zeroshot -w -n two >out2'
[ "$(wc -l <out2)" -eq 14 ] && [ "$(sed -n 1p out2)" = 'a photo of a cat.' ] && [ "$(sed -n 14p out2)" = 'box kite' ]
ok $? 'seven templates each, name by name'
cat >openai <<'END'
    'a bad photo of a {}.',
    "a {}'s photo, a {}!",

a photo of the number: "{}".
END
run 0 'templates as OpenAI published them' prompts --names two --templates openai
[ "$(cat out)" = 'a bad photo of a cat.
a cat'"'"'s photo, a cat!
a photo of the number: "cat".
a bad photo of a box kite.
a box kite'"'"'s photo, a box kite!
a photo of the number: "box kite".' ]; ok $? 'with the names in them'
echo 'a photo of a cat' >bare; printf 'a {}\nan { }\n' >second; : >nothing; printf '\n\n' >blank
wrong "dc-zeroshot: bare: line 1: no {} in 'a photo of a cat', where the class name would go" prompts -n two --templates bare
wrong "dc-zeroshot: second: line 2: no {} in 'an { }', where the class name would go" prompts -n two --templates second
wrong 'dc-zeroshot: nothing: no templates in it' prompts -n two --templates nothing
wrong 'dc-zeroshot: blank: no templates in it' prompts -n two --templates blank
wrong 'dc-zeroshot: nothing: no class names in it' prompts -n nothing
wrong 'dc-zeroshot: none: No such file or directory' prompts -n none
printf 'cat\n\ndog\n' >gap; printf 'cat\ndog\nfox\nDog\n' >twice; printf 'cat\ta\n' >tab; printf 'cat\0dog\n' >nul
wrong 'dc-zeroshot: gap: line 2: an empty name; each line names a class' prompts -n gap
wrong "dc-zeroshot: twice: line 4: the class 'Dog' is on line 2 already" prompts -n twice
wrong 'dc-zeroshot: tab: line 1: a tab in a name' prompts -n tab
wrong 'dc-zeroshot: nul: not a text file, it has a NUL' prompts -n nul
run 0 'the same name twice where it is meant' prompts -n twice --same-names
for args in '-w' '-n two' '-w -n two --tsv' '-c prompts.dcs --templates openai' '-w -n two -c prompts.dcs' 'x -w -n two'; do
	# shellcheck disable=SC2086
	run 2 "dc-zeroshot $args" dc-zeroshot $args
done
run 1 'prompts to a full device' sh -c 'dc-zeroshot -w -n two >/dev/full'
run 1 'a confusion matrix that cannot be written' sh -c 'dc-zeroshot -c prompts.dcs -n names.txt --confusion none/c.tsv <features.dcs'
! [ -s out ] && [ "$(wc -l <err)" -eq 1 ]; ok $? 'is said before any table'
run 1 'more folds than images' sh -c 'dc-recall --folds 122 <features.dcs'
said '122 folds of 121 images' 'is said'
run 1 'a fold without captions' sh -c 'dc-recall --folds 121 <features.dcs'
said 'fold [0-9]* has no captions' 'is said'
done_testing
