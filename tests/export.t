#!/bin/sh
# SPDX-License-Identifier: MIT
# Models under other programs' names: what dc-export writes is what a second list of names says; there and back gives the
# same bytes; dc-encode and dc-init read all of them; what is wrong with a model is named.
. "${0%/*}/lib.sh"
need_python
files() { "$PYTHON" "$top/tests/reference/model_files.py" "$@"; }
foreign='openai hf declip'

# two models: one that a bare file tells wholly, and one that it does not (heads of 8, GELU, an MLP of another width)
cat >plain.json <<'END'
{"embed_dim": 24, "quick_gelu": true, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 8, "vocab_size": 70, "width": 128, "heads": 2, "layers": 3}}
END
cat >odd.json <<'END'
{"embed_dim": 10, "vision_cfg": {"image_size": 19, "layers": 1, "width": 24, "head_width": 8, "patch_size": 6, "mlp_ratio": 1.5},
 "text_cfg": {"context_length": 7, "vocab_size": 40, "width": 16, "heads": 4, "layers": 2}}
END
sed 's/"layers": 3/&, "proj_bias": true/' plain.json >bias.json
for a in plain odd bias; do
	dc-init --arch ./$a.json --queue 4 --simsiam-width 12 --simsiam-hidden 6 --model $a 2>err || exit 99
	files shake $a 3
	files batch ./$a.json $a.dcs
	dc-encode --model $a <$a.dcs >$a.features || exit 99
done

# --- what is written, and back ---
for a in plain odd; do
	run 0 "$a: the model without its state" dc-export --out $a.own $a
	[ ! -s err ] && [ ! -s out ]; ok $? 'silently'
	check 'towers, config and heads as they are' sh -c \
		"cmp $a/open_clip_model.safetensors $a.own/open_clip_model.safetensors && cmp $a/open_clip_config.json $a.own/open_clip_config.json && cmp $a/heads/declip.safetensors $a.own/heads/declip.safetensors"
	for f in $foreign; do
		run 0 "$a: --to $f" dc-export --to $f --out $a.$f $a
		file=$a.$f; [ $f != hf ] || file=$a.hf/model.safetensors
		check 'the tensors that a second list of names says' files expect $f $a $file
		run 0 'and back' dc-export --out back $a.$f
		check 'the towers are the same' cmp $a/open_clip_model.safetensors back/open_clip_model.safetensors
		check 'the config too' cmp $a/open_clip_config.json back/open_clip_config.json
		[ $f != declip ] || check 'the heads and their statistics too' diff -r $a.own/heads back/heads
		dc-encode --model $a.$f <$a.dcs >features 2>err
		check 'dc-encode reads it as it is' cmp $a.features features
		rm -rf back
	done
done
cp -r plain words; printf 'not really a vocabulary' >words/bpe.txt.gz
dc-export --to hf --out words.hf words
for f in openclip hf; do
	dc-export --to $f --out d words.hf && cmp -s words/bpe.txt.gz d/bpe.txt.gz; ok $? "a vocabulary goes with a directory, to $f"
	rm -rf d
done
dc-export --vocab words/bpe.txt.gz --out d plain.openai
check 'or is given' cmp words/bpe.txt.gz d/bpe.txt.gz
rm -rf d

# every pair, in 32 bits and in each of the 16; through float32 and back from halves
pairs() { # pairs HALF MODEL
	for f in openclip $foreign; do
		dc-export --half "$1" --to $f --out "p.$f" "$2" || return 1
	done
	for f in openclip $foreign; do
		for g in openclip $foreign; do
			# no place for heads
			case $f.$g in declip.openai | declip.hf | openclip.openai | openclip.hf) continue ;; esac
			dc-export --half "$1" --to $g --out q "p.$f" && dc-export --half "$1" --to $f --out r q && diff -r "p.$f" r || return 1
			dc-export --to $g --out s "p.$f" && dc-export --half "$1" --to $f --out t s && diff -r "p.$f" t || return 1
			rm -rf q r s t
		done
	done
	rm -rf p.*
}
for h in no f16 bf16; do
	a=plain; [ $h != no ] || a=odd
	check "$a, half $h: every pair of formats, there and back, the same bytes" pairs $h $a
done
dc-init --from plain --method clip --model noheads
check 'without heads too' pairs no noheads
for f in $foreign; do
	dc-export --to $f --out c.$f noheads && dc-export --out c.own c.$f
	check "$f: from a model without heads, nothing is invented" diff -r c.own noheads -x state.safetensors -x bpe.txt.gz -x checksums.tsv
	rm -rf c.own
done
for h in f16 bf16; do
	H=$(echo $h | tr fb FB)
	for f in $foreign; do
		dc-export --half $h --to $f --out $h.$f plain
		file=$h.$f; [ $f != hf ] || file=$h.hf/model.safetensors
		check "$h $f: rounded as numpy rounds" files expect $f plain $file "$H"
	done
	dc-encode --model $h.openai <plain.dcs >$h.features
	for f in hf declip; do
		dc-encode --model $h.$f <plain.dcs >features; check "$h: dc-encode reads $f as it reads openai" cmp $h.features features
	done
done
! cmp -s f16.features plain.features && ! cmp -s f16.features bf16.features; ok $? 'halves are not the whole'

# a bias on the text projection
dc-encode --model bias <bias.dcs >bias.features
run 0 'a projection with a bias: --to declip' dc-export --to declip --out bias.declip bias
check 'by the list' files expect declip bias bias.declip
dc-encode --model bias.declip <bias.dcs >features
check 'is read' cmp bias.features features
run 0 'and back' dc-export --out back bias.declip
check 'the same towers' cmp bias/open_clip_model.safetensors back/open_clip_model.safetensors
check 'and config' cmp bias/open_clip_config.json back/open_clip_config.json
for f in openai hf; do
	run 1 "but $f has no place for it" dc-export --to $f --out no bias
	said "the text projection has a bias, for which $f has no place" 'and says so'
done
files damage bias.declip nobias 'm.clear()'
dc-encode --model nobias <bias.dcs >/dev/null 2>err; ok $? 'without a config in the file, the bias tells it'

# --- what bare files tell ---
files damage plain.openai bare.safetensors 'm.clear()'
files damage plain.openai module.safetensors 'm.clear(); t["input_resolution"] = np.array(32, "<i8"); t["logit_scale"] = t["logit_scale"].reshape(1)'
files damage plain.hf/model.safetensors barehf.safetensors 'm.clear(); t["text_model.embeddings.position_ids"] = np.arange(8).reshape(1, 8)'
files damage plain.declip baredeclip.safetensors 'm.clear()
for k in list(t): t[k.replace("module.", "")] = t.pop(k)'
files damage bare.safetensors parallel.safetensors 'for k in list(t): t["module." + k] = t.pop(k)'
for f in bare module parallel barehf; do
	dc-encode --model $f.safetensors <plain.dcs >features 2>err
	check "$f: everything follows from names and shapes" cmp plain.features features
done
mkdir epoch; cp plain/open_clip_config.json epoch; cp parallel.safetensors epoch/open_clip_model.safetensors
dc-encode --model epoch <plain.dcs >features 2>err; check 'a directory with names after module.' cmp plain.features features
run 0 'the released names' dc-export -v --out rel baredeclip.safetensors
said 'read as declip$' 'are recognised without a prefix'
said 'heads: simsiam mlm' 'with their heads'
check "mean and deviation are ImageNet's" grep -qE '0.4(85|8499)' rel/open_clip_config.json
check 'the projection has a bias, zero as it is' grep -q '"proj_bias": true' rel/open_clip_config.json
check 'the heads are the same' diff -r plain.own/heads rel/heads
files damage odd.openai odd.safetensors 'm.clear()'
run 1 'heads that no tensor tells' dc-export --out no odd.safetensors
said 'odd.safetensors: how many heads has the image tower\? Its width 24 is not a multiple of 64' 'are asked for'
run 0 '--config says it' dc-export --config odd/open_clip_config.json --out said odd.safetensors
check 'and the model is whole again' cmp odd/open_clip_model.safetensors said/open_clip_model.safetensors
check 'with its config' cmp odd/open_clip_config.json said/open_clip_config.json
run 1 'a config of another model' dc-export --config plain/open_clip_config.json --out no odd.safetensors
said 'odd.safetensors: tensor .* is missing|has shape' 'is found out'
run 1 'a config for what has one' dc-export --config odd/open_clip_config.json --out no odd
said 'odd: has a config of its own' 'is refused'
cp plain/open_clip_model.safetensors loose.safetensors
dc-encode --model plain/open_clip_model.safetensors <plain.dcs >features 2>err
check "a directory's own file stands for the directory" cmp plain.features features
for w in open_clip_pytorch_model model any; do
	mkdir dir.$w; cp plain/open_clip_config.json dir.$w; cp loose.safetensors dir.$w/$w.safetensors
	dc-encode --model dir.$w <plain.dcs >features 2>err; check "weights called $w.safetensors" cmp plain.features features
done

# --- dc-init and dc-tokenize read them too ---
for f in bare.safetensors plain.hf f16.openai; do
	run 0 "dc-init --from $f" dc-init --from $f --method clip --model i
	if [ $f = f16.openai ]; then
		! cmp -s plain/open_clip_model.safetensors i/open_clip_model.safetensors; ok $? 'has the halves as floats'
	else
		check 'has the towers' cmp plain/open_clip_model.safetensors i/open_clip_model.safetensors
	fi
	rm -r i
done
run 0 'dc-init --from the released names' dc-init --from plain.declip --queue 4 --simsiam-width 12 --simsiam-hidden 6 --model i -v
check 'has the heads' cmp plain/heads/declip.safetensors i/heads/declip.safetensors
check 'and their statistics' cmp plain/state.safetensors i/state.safetensors
rm -r i
run 0 'dc-init --from an exported directory' dc-init --from plain.own --queue 4 --simsiam-width 12 --simsiam-hidden 6 --model i
check 'the same' cmp plain/state.safetensors i/state.safetensors

# --- what is wrong with a model is named, by the file's own names ---
bad() { # bad DESCRIPTION FILE PYTHON MESSAGE: said by dc-export and by dc-encode
	files damage "$2" bad.safetensors "$3" || echo 'not damaged' >&2
	run 1 "$1" dc-export --out no bad.safetensors
	said "bad.safetensors: $4" 'is named'
	dc-encode --model bad.safetensors <plain.dcs >out 2>err; [ $? = 1 ] && grep -qE "dc-encode: bad.safetensors: $4" err; ok $? 'by dc-encode too'
}
bad 'openai, a missing tensor' bare.safetensors 'del t["transformer.resblocks.1.mlp.c_fc.bias"]' 'tensor transformer.resblocks.1.mlp.c_fc.bias is missing'
bad 'one too many'    bare.safetensors 't["visual.foo"] = t["visual.proj"]' "tensor visual.foo is not one of the model's"
bad 'a wrong shape'   bare.safetensors 't["ln_final.bias"] = t["ln_final.bias"][:7]' 'tensor ln_final.bias has shape \[7\], the config asks for \[128\]'
bad 'a wrong type'    bare.safetensors 't["visual.proj"] = t["visual.proj"].astype("f8")' 'tensor visual.proj is f64, not f32, f16 or bf16'
bad 'hf, a missing tensor' barehf.safetensors 'del t["vision_model.encoder.layers.0.self_attn.k_proj.bias"]' 'tensor vision_model.encoder.layers.0.self_attn.k_proj.bias is missing'
bad 'one too many'    barehf.safetensors 't["text_model.foo"] = t["logit_scale"]' 'tensor text_model.foo is not'
bad 'a wrong shape'   barehf.safetensors 't["text_projection.weight"] = t["text_projection.weight"].T' 'tensor text_projection.weight has shape \[128,24\], the config asks for \[24,128\]'
bad 'declip, a missing tensor' plain.declip 'del t["module.projector.bn2.running_var"]' 'tensor module.projector.bn2.running_var is missing'
bad 'one too many'    plain.declip 't["module.projector_d.bn2.running_var"] = t["module.logit_scale"]' 'tensor module.projector_d.bn2.running_var is not'
bad 'a wrong shape'   plain.declip 't["module.text_label_predictor.bias"] = t["module.text_label_predictor.bias"][:70]' 'tensor module.text_label_predictor.bias has shape \[70\], the config asks for \[71\]'
bad 'a vocabulary without the mask' baredeclip.safetensors 't["encode_text.token_embedding.weight"] = t["encode_text.token_embedding.weight"][:70]' 'tensor text_label_predictor.weight has shape \[71,128\], the config asks for \[70,128\]'
bad 'a bias that the config leaves out' plain.declip 't["module.encode_text.text_projection.bias"] = t["module.encode_text.text_projection.bias"] + 1' 'tensor module.encode_text.text_projection.bias is not zero'
bad 'a half that is infinite' f16.openai 't["ln_final.bias"] = t["ln_final.bias"] + np.float16(np.inf)' 'tensor ln_final.bias: element 0 is not finite'
bad 'no square of patches' bare.safetensors 't["visual.positional_embedding"] = t["visual.positional_embedding"][:4]' 'tensor visual.positional_embedding has 4 rows'
bad 'a custom tower'  bare.safetensors 't["text.transformer.x"] = t["visual.proj"]' 'a custom tower of open_clip'
bad 'no CLIP'         bare.safetensors 't.clear(); t["x"] = np.zeros(3, "<f4")' 'no tensors of a CLIP model'
bad 'a config that is none' plain.openai 'm["open_clip_config"] = "{"' 'its open_clip_config: config: line 1'
files damage plain.declip bad.safetensors 't["module.predictor.bn1.num_batches_tracked"] = np.array(-1)'
run 1 'a count that is none' dc-export --out no bad.safetensors
said 'tensor module.predictor.bn1.num_batches_tracked: -1 is not in' 'is named'
for x in nan inf; do
	files damage plain.openai bad.safetensors 't["visual.proj"] = t["visual.proj"].copy(); t["visual.proj"][2, 1] = float("'$x'")'
	run 1 "$x" dc-export --to hf --out no bad.safetensors
	said 'no: tensor visual_projection.weight: element 66 is not finite' 'is named with its place'
done
files damage plain.openai big.safetensors 't["ln_final.bias"] = t["ln_final.bias"].copy(); t["ln_final.bias"][5] = 65520'
run 1 'beyond the largest half' dc-export --half f16 --to hf --out no big.safetensors
said 'no: tensor text_model.final_layer_norm.bias: element 5 is 65520, which is beyond the largest f16' 'is named'
run 0 'which bfloat16 holds' dc-export --half bf16 --to hf --out big.hf big.safetensors
files damage plain.openai big.safetensors 't["ln_final.bias"] = t["ln_final.bias"].copy(); t["ln_final.bias"][5] = 65519.9'
run 0 'the largest half itself' dc-export --half f16 --to hf --out big.f16 big.safetensors

# the configs of others
edit() { # edit FROM FILE PYTHON: a copy in the directory bad, its FILE (JSON, as c) changed
	rm -rf bad; cp -r "$1" bad
	"$PYTHON" -c "import json; c = json.load(open('bad/$2'))
$3
json.dump(c, open('bad/$2', 'w'))"
}
refuse() { # refuse DESCRIPTION FROM FILE PYTHON MESSAGE
	edit "$2" "$3" "$4"
	run 1 "$1" dc-encode --model bad
	said "bad/$3: $5" 'is named'
}
refuse 'hf, another kind'       plain.hf config.json 'c["model_type"] = "siglip"' "'model_type' is siglip"
refuse 'another activation'     plain.hf config.json 'c["text_config"]["hidden_act"] = "gelu_new"' "text_config: 'hidden_act' is gelu_new"
refuse 'two activations'        plain.hf config.json 'c["text_config"]["hidden_act"] = "gelu"' 'the towers have different activations'
refuse 'another epsilon'        plain.hf config.json 'c["vision_config"]["layer_norm_eps"] = 1e-6' "vision_config: 'layer_norm_eps' must be 1e-5"
refuse 'another end token'      plain.hf config.json 'c["text_config"]["eos_token_id"] = 5' "text_config: 'eos_token_id' is 5"
refuse 'heads that do not fit'  plain.hf config.json 'c["text_config"]["num_attention_heads"] = 3' "text_config: 'hidden_size' 128 is not a multiple of 3 heads"
refuse 'a deviation of 0'       plain.hf preprocessor_config.json 'c["image_std"] = [0, 1, 1]' "'image_std' must be positive"
refuse 'open_clip, a custom text tower' plain open_clip_config.json 'c["model_cfg"]["custom_text"] = True' "model_cfg: 'custom_text' is true"
refuse 'layer scale'            plain open_clip_config.json 'c["model_cfg"]["vision_cfg"]["ls_init_value"] = 1e-4' "vision_cfg: 'ls_init_value'"
edit plain.hf config.json 'c["text_config"]["eos_token_id"] = 2
for k in ("hidden_act", "layer_norm_eps"): del c["text_config"][k], c["vision_config"][k]'
dc-encode --model bad <plain.dcs >features 2>err; check "hf: what is left out has transformers' defaults" cmp plain.features features
edit plain.hf config.json 'c["vision_config"]["num_hidden_layers"] = 3'
run 1 'a config with a layer more' dc-encode --model bad
said 'bad/model.safetensors: tensor vision_model.encoder.layers.2.layer_norm1.weight is missing' 'is found out'

# what is no model
mkdir empty pickles; cp plain/open_clip_config.json pickles; : >pickles/open_clip_pytorch_model.bin; : >x.pth.tar
run 1 'an empty directory' dc-encode --model empty
said 'empty/open_clip_config.json: no such file, nor config.json' 'is named'
run 1 'weights in a pickle alone' dc-encode --model pickles
said 'pickles/open_clip_model.safetensors: no such file; a torch pickle is not read: .*pth_to_safetensors.py' 'are pointed out'
run 1 'a checkpoint of torch' dc-export --out no x.pth.tar
said 'x.pth.tar: a torch pickle is not read: ' 'is not read'
run 1 'what is not there' dc-export --out no absent
said 'absent: No such file' 'is named'
mkdir two; cp plain/open_clip_config.json two; cp loose.safetensors two/a.safetensors; cp loose.safetensors two/b.safetensors
run 1 'two files to choose from' dc-encode --model two
said 'two: 2 .safetensors files' 'are named'
check 'none of all these left anything behind' sh -c 'test ! -e no && ! ls -A | grep "^\.no"'

# --- usage ---
run 2 'no model'          dc-export --out no
run 2 'two models'        dc-export --out no plain odd
run 2 'no --out'          dc-export plain
run 2 'a format nobody has' dc-export --to onnx --out no plain
run 2 'a half nobody has' dc-export --half f8 --out no plain
run 1 'what is there'     dc-export --out odd.openai odd
said 'odd.openai: there already' 'is not overwritten'
run 1 'no such directory' dc-export --out no/such/x plain
run 1 'no such vocabulary' dc-export --vocab absent --out no plain
check 'nothing is left' test ! -e no
run 1 'a disk that is full' sh -c 'trap "" XFSZ; ulimit -f 8; dc-export --out no plain'
check 'leaves nothing either' sh -c 'test ! -e no && ! ls -A | grep "^\.no"'
done_testing
