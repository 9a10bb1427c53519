#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-scenes: the shards, their labels, the pairs held out of training, and the same bytes again.
. "${0%/*}/lib.sh"

run 0 'draws a set' dc-scenes --out a --train 250 --test 60 --zero-shot 40 --shard 100 --seed 5 -j 1
check 'in silence' test ! -s err
check 'every shard is there' test -s a/train-000.tar -a -s a/train-001.tar -a -s a/train-002.tar -a ! -e a/train-003.tar \
	-a -s a/test-000.tar -a -s a/test-shape-000.tar -a -s a/test-colour-000.tar -a -s a/novel-shape-000.tar \
	-a -s a/novel-colour-000.tar
left=$(find a -name '*.part')
check 'no part is left' test -z "$left"

run 0 'draws it with four threads' dc-scenes --out b --train 250 --test 60 --zero-shot 40 --shard 100 --seed 5 -j 4
check 'every byte is the same' diff -r a b
# Pixels and sentences are integers: the same on every machine. When a change is meant, the new sum goes here.
sum=$(for s in a/train-000.tar a/test-000.tar; do tar -xOf "$s" --wildcards '*.json'; done | cksum)
check "sentences are those of this version ($sum)" test "$sum" = '799101845 55932'
run 0 'draws PNG' dc-scenes --out p --train 20 --test 0 --zero-shot 0 --format png --size 64 --seed 5
check 'which are PNG' sh -c 'tar -xOf p/train-000.tar 000000.png | head -c 4 | grep -q PNG'
run 0 'another seed' dc-scenes --out c --train 250 --test 0 --zero-shot 0 --shard 100 --seed 6
check 'draws other images' sh -c '! cmp -s a/train-000.tar c/train-000.tar'
check 'which are not those of the test split' sh -c '! cmp -s a/train-000.tar a/test-000.tar'

files=$(tar -tf a/train-000.tar | sed 's/.*\.//' | sort | uniq -c | tr -s ' \n' '  ')
check "a hundred images, texts and descriptions a shard (got$files)" sh -c \
	'for e in jpg txt json; do test "$(tar -tf a/train-000.tar | grep -c "\.$e\$")" = 100 || exit 1; done'
check 'keys go on in the next shard' sh -c 'tar -tf a/train-001.tar | head -n 1 | grep -qx 000100.jpg'
check 'eight shapes, nine colours' sh -c 'test "$(wc -l <a/shapes.txt) $(wc -l <a/colours.txt)" = "8 9"'
check 'eleven prompts a shape, ten a colour' sh -c \
	'test "$(wc -l <a/shape-prompts.txt) $(wc -l <a/colour-prompts.txt)" = "88 90"'

# the pairs that a shard's descriptions name, "heart pink" a line
pairs() {
	for s; do tar -xOf "$s" --wildcards '*.json'; done | grep -o '"colour": "[a-z]*", "shape": "[a-z]*"' |
		awk -F'"' '{ print $8, $4 }' | sort -u
}
pairs a/train-*.tar c/train-*.tar >seen
pairs a/novel-shape-000.tar >novel
check 'training and novel images share no pair' sh -c 'test -z "$(comm -12 seen novel)"'
check 'training shows all 56 others' sh -c 'test "$(wc -l <seen)" = 56'
run 0 'many test images' dc-scenes --out t --train 0 --test 400 --zero-shot 0 --size 16
pairs t/test-000.tar >all
check 'show all 72 pairs' sh -c 'test "$(wc -l <all)" = 72'

# labels: line CLS+1 of the names is what the description says
names_agree() { # names_agree SHARD NAMES FIELD
	tar -tf "$1" | sed -n 's/\.cls$//p' | while read -r k; do
		want=$(sed -n "$(($(tar -xOf "$1" "$k.cls") + 1))p" "$2")
		tar -xOf "$1" "$k.json" | grep -q "\"$3\": \"$want\"" || { echo "$k: $want"; exit 1; }
	done
}
check 'shape labels name the shape' names_agree a/test-shape-000.tar a/shapes.txt shape
check 'colour labels name the colour' names_agree a/novel-colour-000.tar a/colours.txt colour
check 'both label sets have the same images' sh -c \
	'tar -xOf a/test-shape-000.tar --wildcards "*.jpg" >x; tar -xOf a/test-colour-000.tar --wildcards "*.jpg" | cmp - x'

run 2 'a directory must be given' dc-scenes --train 1
said '^dc-scenes: --out DIR is missing' 'and says so'
run 2 'no operands' dc-scenes --out d shard.tar
run 2 'a size has its range' dc-scenes --out d --size 8
said 'size.*16' 'which the message tells'
run 1 'a directory that cannot be made' dc-scenes --out no/where
said '^dc-scenes: no/where: No such file' 'is named'
mkdir -p d/train-000.tar.part
run 1 'a shard that cannot be written' dc-scenes --out d --train 1 --test 0 --zero-shot 0
said '^dc-scenes: d/train-000.tar: ' 'is named'
done_testing
