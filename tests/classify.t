#!/bin/sh
# SPDX-License-Identifier: MIT
# classify.sh with a model of random weights, against numpy on features that came through a tar.
. "${0%/*}/lib.sh"
need_python
. "$top/tests/photos.sh"
py() { "$PYTHON" "$top/tests/reference/photos.py" "$@"; }
i=0; while [ $i -lt 5 ]; do echo "caption $i"; i=$((i + 1)); done >captions
dc-tokenize --model model --lines captions | dc-encode --model model >captions.dcs 2>err || exit 99

run 0 'a folder and five captions' classify.sh --tsv model photos 'caption 0' 'caption 1' 'caption 2' 'caption 3' 'caption 4'
! [ -s err ]; ok $? 'nothing on stderr'
cp out table
py classify photos.dcs captions.dcs <table >out 2>err; ok $? 'probabilities and cosines as in numpy'
run 0 'captions from a file' classify.sh --tsv --captions captions model photos
cmp -s out table; ok $? 'the same'
run 0 'photos one by one, captions first' sh -c 'classify.sh -t model "caption 0" -c "caption 1" --caption="caption 2" --captions captions photos/*.jpg | cut -f 1 | uniq | wc -l'
said '^12$' 'are twelve photos'
run 0 'for people' classify.sh --top 2 model photos/000003.jpg 'caption 0' 'caption 1' 'caption 2'
[ "$(wc -l <out)" = 3 ] && [ "$(head -n 1 out)" = photos/000003.jpg ]; ok $? 'the photo and two captions'
said '^  [ 0-9]{3}\.[0-9][0-9] %  caption [012]$' 'percent'
dc-tokenize --model model --lines - >t.dcs 2>err <<'END'
a caption 0, {}caption 0!
a caption 1, {}caption 1!
END
dc-encode --model model <t.dcs >templates.dcs 2>err
run 0 '--template' classify.sh -t --template 'a {}, {{}}{}!' model photos/000000.jpg 'caption 0' 'caption 1'
sed -n 2p out >first
run 0 'with it written out' classify.sh -t model photos/000000.jpg 'a caption 0, {caption 0}caption 0!' 'a caption 1, {caption 1}caption 1!'
[ "$(sed -n 2p out | cut -f 1-4)" = "$(cut -f 1-4 first)" ]; ok $? 'is the same'
mkdir 'a b'; odd="a b/it's \"odd\" * \$x [1].é.b.PNG"
cp photos/000000.jpg "$odd"; echo x >'a b/.hidden.jpg'; echo x >'a b/text'; cp photos/000001.jpg "a b/$(printf 'a\nb').jpg"
run 0 'a folder with an odd name in it' classify.sh -t model 'a b' 'caption 0'
[ "$(cut -f 1 out)" = "$odd" ]; ok $? 'as it is'
said 'left out: a name must not have line breaks' 'one with a line break is left out'
head -c 300 photos/000001.jpg >cut.jpg
run 0 'a photo that cannot be read' classify.sh -t model photos/000002.jpg cut.jpg photos/000003.jpg 'caption 0'
said '^dc-files: cut.jpg: JPEG: ' 'is named'
[ "$(cut -f 1 out | tr '\n' ' ')" = 'photos/000002.jpg photos/000003.jpg ' ]; ok $? 'and left out'
cp photos/000001.jpg 'a dog'
run 0 'a caption that is a file' classify.sh -t -c 'a dog' model photos/000000.jpg 'caption 0'
said 'a dog' 'by --caption'
mkdir -p run/step-00000000 && cp -R model/. run/step-00000000 && ln -s step-00000000 run/latest
run 0 'a run' classify.sh -t --captions captions run photos
cmp -s out table; ok $? 'is its newest checkpoint'

run 0 '--help' classify.sh --help
run 2 'nothing' classify.sh
run 2 'no photo' classify.sh model 'caption 0'
said 'no photo given' 'is said'
run 2 'no caption' classify.sh model photos
said 'no caption given' 'is said'
run 1 'a missing photo' classify.sh model phot.jpg 'caption 0'
said "phot.jpg: no such file \\(if it is a caption: --caption 'phot.jpg'\\)" 'is no caption'
run 1 'a missing model' classify.sh nomodel photos 'caption 0'
said 'nomodel: no such model' 'is said'
run 1 'something else for a model' classify.sh photos photos 'caption 0'
[ -s err ]; ok $? 'is said'
mkdir empty
run 1 'an empty folder' classify.sh model empty 'caption 0'
said 'empty: no photos in this folder' 'is said'
run 1 'no photo that can be used' classify.sh model cut.jpg 'caption 0'
said 'none of the 1 files' 'is said'
run 2 'a template without {}' classify.sh --template x model photos 'caption 0'
run 2 '--top 0' classify.sh --top 0 model photos 'caption 0'
run 2 'an option without its value' classify.sh --top
run 1 'dc-augment: a size that is not the model'"'"'s' sh -c 'dc-augment --recipe eval --model model --size 64 <photos.dcs; [ $? = 2 ] && exit 1'
said 'takes images of 32 pixels' 'is said'
done_testing
