#!/bin/sh
# SPDX-License-Identifier: MIT
# search.sh with a model of random weights: what it finds, against numpy, and how its index follows the folder.
. "${0%/*}/lib.sh"
need_python
. "$top/tests/photos.sh"
py() { "$PYTHON" "$top/tests/reference/photos.py" "$@"; }
index() { py index photos/.dc-index >names 2>err; ok $? "$1"; }
dc_says() { grep -qE -- "^search.sh: $1" err; ok $? "$2"; }
quiet() { ! [ -s err ]; ok $? "$1"; }
echo 'a red circle' | dc-tokenize --model model --lines - | dc-encode --model model >text.dcs 2>err || exit 99
printf '3\n' | dc-pick --rows - photos.dcs >third.dcs 2>err || exit 99

run 0 'words' search.sh model photos 'a red circle'
cp out hits
dc_says 'looking at 12 photos$' 'the index is made'
py search photos.dcs text.dcs 10 <hits >out 2>err; ok $? 'cosines and order as in numpy'
index 'the index has a row of norm 1 for each photo'
run 0 'again' search.sh model photos 'a red circle'
quiet 'nothing is looked at'
cmp -s out hits; ok $? 'the same hits'
run 0 'a photo' search.sh --top 12 model photos photos/000003.jpg
grep -q '^1.0000	photos/000003.jpg$' out; ok $? 'is like itself'
py search photos.dcs third.dcs 12 <out >names 2>err; ok $? 'cosines and order as in numpy'
run 0 '--text' search.sh --top 1 --text model photos photos/000003.jpg
grep -q '^1.0000' out; [ $? = 1 ]; ok $? 'takes it as words'
run 1 'a photo that is not there' search.sh model photos photos/none.JPG
said '^search.sh: photos/none.JPG: no such file .*--text' 'is no text'
run 0 'unless --text is given' search.sh --text model photos photos/none.JPG
run 0 'more than there are' search.sh --top 1000 model photos/ 'a red circle'
[ "$(wc -l <out)" = 12 ]; ok $? 'are all'
[ "$(grep -c '	photos/0' out)" = 12 ]; ok $? 'with their paths'
run 0 '--sheet' search.sh --top 7 --sheet hits.png model photos 'a red circle'
[ "$(head -c 4 hits.png | od -An -c | tr -d ' ')" = '211PNG' ] && [ "$(wc -l <out)" = 7 ]; ok $? 'draws them'
! [ -s photos/.dc-index/skipped.tsv ]; ok $? 'nothing is skipped'

# --- changes ---
touch -d '2001-01-01' photos/000004.jpg; rm photos/000005.jpg; mkdir -p 'photos/sub dir/.hidden'
odd="sub dir/it's \"odd\" * \$x & [1].é.b .$(printf '\351').JPEG"
cp photos/000006.jpg "photos/$odd"; cp photos/000007.jpg 'photos/sub dir/.hidden/x.jpg'; cp photos/000007.jpg "photos/$(printf 'a\nb').jpg"
head -c 300 photos/000001.jpg >photos/cut.jpg; echo text >photos/text.txt
run 0 'a changed, a removed, a new and a broken photo' search.sh --top 100 model photos 'a red circle'
dc_says 'looking at 3 photos$' 'three are looked at'
said '^dc-files: cut.jpg: JPEG: ' 'the broken one is named'
dc_says 'photos/.dc-index: 12 photos, 2 gone or changed, 1 cannot be used \(skipped.tsv\)$' 'the index is brought up to date'
cp out hits
index 'its rows are those of its names'
LC_ALL=C grep -qxF "$odd" names || LC_ALL=C cut -f 3 photos/.dc-index/files.tsv | LC_ALL=C grep -qxF "$odd"; ok $? 'an odd name stands as it is'
LC_ALL=C grep -qF "	photos/$odd" hits; ok $? 'in the hits too'
! grep -qE 'hidden|000005' hits; ok $? 'hidden and removed ones do not'
a=$(grep '	photos/000006.jpg$' hits | cut -f 1) b=$(LC_ALL=C grep -F "photos/$odd" hits | cut -f 1)
[ "$a" = "$b" ]; ok $? 'a copy has the same cosine'
run 0 'again' search.sh --top 100 model photos 'a red circle'
quiet 'the broken one is not tried again'
cmp -s out hits; ok $? 'the same hits'
run 0 '--rebuild' search.sh --rebuild --top 100 model photos 'a red circle'
dc_says 'looking at 13 photos$' 'looks at all'
cut -f 2 out | LC_ALL=C sort >a; cut -f 2 hits | LC_ALL=C sort >b; cmp -s a b; ok $? 'and finds the same'
cp out hits
cp photos/000001.jpg photos/cut.jpg
run 0 'the broken one is whole now' search.sh model photos 'a red circle'
dc_says 'looking at 1 photos$' 'it is looked at'
dc_says 'photos/.dc-index: 13 photos$' 'and in the index'
rm photos/cut.jpg
run 0 'it is removed' search.sh --quiet --top 100 model photos 'a red circle'
quiet '--quiet'
cmp -s out hits; ok $? 'the index is as before'

# --- the index itself ---
run 0 'another model' search.sh other photos 'a red circle'
dc_says 'photos/.dc-index is of another model' 'is seen'
dc_says 'looking at 12 photos$' 'all are looked at'
cut -f 1 out >a; head -n 10 hits | cut -f 1 >b; ! cmp -s a b; ok $? 'other cosines'
run 0 'and back' search.sh -q --top 100 model photos 'a red circle'
cmp -s out hits; ok $? 'the hits as before'
mv model moved; touch moved/*
run 0 'the model in another place' search.sh --top 100 moved photos 'a red circle'
quiet 'is the same model'
cmp -s out hits; ok $? 'and finds the same'
cp -R photos elsewhere
run 0 'a copy of the folder without the times' search.sh --top 100 moved elsewhere 'a red circle'
dc_says 'looking at 12 photos$' 'is looked at'
rm photos/.dc-index/files.tsv
run 0 'an index that was not finished' search.sh --top 100 moved photos 'a red circle'
dc_says 'looking at 12 photos$' 'is made anew'
cmp -s out hits; ok $? 'and finds the same'
head -c 200 photos/.dc-index/features/image_features.0.npy >x; cp x photos/.dc-index/features/image_features.0.npy
run 1 'a damaged index' search.sh moved photos 'a red circle'
said 'image_features.0.npy' 'is named'
run 0 '--rebuild' search.sh -q --rebuild --top 100 moved photos 'a red circle'
cmp -s out hits; ok $? 'makes it good'
run 0 '--index' search.sh --index else/where --top 100 moved photos 'a red circle'
[ -f else/where/features/image_features.0.npy ]; ok $? 'is another place'
cmp -s out hits; ok $? 'for the same'
run 0 '--update' search.sh --update --index else/where2 moved photos
! [ -s out ] && [ -f else/where2/files.tsv ]; ok $? 'prints no hits'

sed 's/^chunk=.*/chunk=5/' "$top/pipelines/search.sh" >chunks.sh
run 0 'in pieces' bash chunks.sh --index pieces --top 100 moved photos 'a red circle'
[ "$(grep -c 'looking at' err)" = 3 ] && dc_says 'pieces: 12 photos$' 'of five photos'
cut -f 2 out | LC_ALL=C sort >a; cut -f 2 hits | LC_ALL=C sort >b; cmp -s a b; ok $? 'and finds the same'

# --- wrong inputs ---
run 0 '--help' search.sh --help
run 2 'nothing' search.sh
run 2 'no query' search.sh moved photos
run 2 'a query with --update' search.sh --update moved photos x
run 2 'an empty query' search.sh moved photos ' '
said 'the query is empty' 'is said'
run 1 'a missing folder' search.sh moved nofolder x
said 'nofolder: no such folder' 'is said'
run 1 'a missing model' search.sh nomodel photos x
said 'nomodel: no such model' 'is said'
run 1 'something else for a model' search.sh --index y else photos x
said 'else: no model in it' 'is said'
mkdir empty
run 1 'an empty folder' search.sh moved empty x
said 'empty: no photos in this folder' 'is said'
echo text >empty/a.jpg
run 1 'none that can be used' search.sh moved empty x
said 'empty: none of the 1 photos can be used' 'is said'
mkdir other-things; echo mine >other-things/features
run 1 'a folder of other things for the index' search.sh --index other-things moved photos x
said 'other-things: there is something in it, and it is no index' 'is said'
check 'and nothing is touched' test "$(ls other-things)" = features
run 2 '--top 0' search.sh --top 0 moved photos x
run 2 '--sheet to no picture' search.sh --sheet x.gif moved photos x
run 1 'an index that cannot be' search.sh --index photos/000001.jpg/x moved photos x
said '--index DIR' 'is said'
run 1 'a query photo that is none' search.sh moved photos names
said 'names: not a JPEG' 'is said'
done_testing
