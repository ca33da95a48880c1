package checkpoint

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wild is a folder as people find it, before it is written: config.json, the tensors of its weights
// by name, and other files.
type wild struct {
	config  map[string]any
	tensors map[string]raw
	files   map[string]string
}

// raw is a stored tensor.
type raw struct {
	dtype string
	shape []int
}

func floats(shape ...int) raw { return raw{"F32", shape} }

// wildLlama is a sound folder of an untied Llama, for tests to damage.
func wildLlama() *wild {
	w := &wild{
		config: map[string]any{"model_type": "llama", "vocab_size": 40, "hidden_size": 64,
			"num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4,
			"num_key_value_heads": 2, "tie_word_embeddings": false},
		tensors: map[string]raw{"lm_head.weight": floats(40, 64)},
		files:   map[string]string{},
	}
	c := Config{ModelType: "llama", VocabSize: 40, HiddenSize: 64, Layers: 2, Heads: 4, KVHeads: 2,
		HeadDim: 16, Intermediate: 96}
	for _, p := range c.Parameters() {
		if p.Stored != "lm_head.weight" {
			w.tensors["model."+p.Stored] = floats(p.Shape...)
		}
	}
	return w
}

// rename changes the beginning of the names of all tensors that have it.
func (w *wild) rename(from, to string) {
	for name, x := range maps.Clone(w.tensors) {
		if rest, ok := strings.CutPrefix(name, from); ok {
			delete(w.tensors, name)
			w.tensors[to+rest] = x
		}
	}
}

// pack replaces a matrix by its form in MLX's quantisation.
func (w *wild) pack(module string, group, bits int) {
	shape := w.tensors[module+".weight"].shape
	w.tensors[module+".weight"] = raw{"U32", []int{shape[0], shape[1] * bits / 32}}
	w.tensors[module+".scales"] = floats(shape[0], shape[1]/group)
	w.tensors[module+".biases"] = floats(shape[0], shape[1]/group)
}

// write writes the folder, with random numbers as weights unless a file of weights is given.
func (w *wild) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(w.config)
	if err != nil {
		t.Fatal(err)
	}
	header, data := map[string]any{}, []byte{}
	rng := rand.NewChaCha8([32]byte{1})
	for _, name := range slices.Sorted(maps.Keys(w.tensors)) {
		x, n := w.tensors[name], int(dtypeSize[w.tensors[name].dtype])
		for _, d := range x.shape {
			n *= d
		}
		header[name] = map[string]any{"dtype": x.dtype, "shape": x.shape,
			"data_offsets": []int{len(data), len(data) + n}}
		random := make([]byte, n)
		rng.Read(random)
		data = append(data, random...)
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"config.json": string(text)}
	if len(w.tensors) > 0 {
		files["model.safetensors"] = string(append(file(string(head), 0).Data, data...))
	}
	maps.Copy(files, w.files)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// network opens a folder as the backends do.
func network(dir string) (*Checkpoint, *Network, error) {
	c, err := Open(os.DirFS(dir))
	if err != nil {
		return nil, nil, err
	}
	n, err := c.Network()
	return c, n, err
}

// names are those under which a folder has the network: the beginning of the body's and the head's.
type names struct{ body, head string }

// TestWildFoldersThatAreRead: what is odd about these folders is harmless.
func TestWildFoldersThatAreRead(t *testing.T) {
	tied := func(w *wild) {
		delete(w.tensors, "lm_head.weight")
		w.config["tie_word_embeddings"] = true
	}
	for name, c := range map[string]struct {
		change func(w *wild)
		want   names
	}{
		"plain": {func(w *wild) {}, names{"model.", "lm_head"}},
		"tied":  {tied, names{"model.", ""}},
		"tied, with a head": {func(w *wild) { w.config["tie_word_embeddings"] = true },
			names{"model.", ""}},
		"without the key, with a head": {func(w *wild) { delete(w.config, "tie_word_embeddings") },
			names{"model.", "lm_head"}},
		"frequencies of RoPE": {func(w *wild) {
			w.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = floats(8)
			w.tensors["model.rotary_emb.inv_freq"] = floats(8)
		}, names{"model.", "lm_head"}},
		"multimodal": {func(w *wild) {
			w.rename("", "language_model.")
			w.tensors["vision_tower.layers.9.fc1.bias"] = floats(3)
		}, names{"language_model.model.", "language_model.lm_head"}},
		"multimodal, Transformers 5": {func(w *wild) {
			w.rename("model.", "model.language_model.")
			w.tensors["model.vision_tower.layers.9.fc1.bias"] = floats(3)
			w.tensors["model.multi_modal_projector.weight"] = raw{"F64", []int{2}}
		}, names{"model.language_model.", "lm_head"}},
		"the body alone": {func(w *wild) {
			tied(w)
			w.rename("model.", "")
			w.tensors["pooler.bias"] = floats(3)
		}, names{"", ""}},
		"a multimodal body alone": {func(w *wild) { tied(w); w.rename("model.", "language_model.") },
			names{"language_model.", ""}},
		"byte order marks": {func(w *wild) {
			config, _ := json.Marshal(w.config)
			w.files["config.json"] = "\ufeff" + string(config)
			index := map[string]string{}
			for name := range w.tensors {
				index[name] = "model.safetensors"
			}
			text, _ := json.Marshal(map[string]any{"weight_map": index})
			w.files["model.safetensors.index.json"] = "\ufeff" + string(text)
		}, names{"model.", "lm_head"}},
		"quantised by MLX": {func(w *wild) {
			w.config["quantization"] = map[string]any{"group_size": 32, "bits": 4}
			w.pack("model.layers.1.mlp.down_proj", 32, 4)
			w.pack("lm_head", 64, 8) // the shapes say it, config.json does not
		}, names{"model.", "lm_head"}},
		"quantised, and config.json does not say so": {func(w *wild) {
			w.pack("model.embed_tokens", 64, 6)
		}, names{"model.", "lm_head"}},
		"an empty quantization_config": {func(w *wild) {
			w.config["quantization_config"] = map[string]any{}
		}, names{"model.", "lm_head"}},
		"Mistral without a window": {func(w *wild) {
			w.config["model_type"], w.config["sliding_window"] = "mistral", nil
		}, names{"model.", "lm_head"}},
		"Mistral with a window": {func(w *wild) { w.config["model_type"] = "mistral" },
			names{"model.", "lm_head"}},
		"biases": {func(w *wild) {
			w.config["attention_bias"] = true
			for i, n := range map[string]int{"q": 64, "k": 32, "v": 32, "o": 64} {
				for _, layer := range []string{"0", "1"} {
					w.tensors["model.layers."+layer+".self_attn."+i+"_proj.bias"] = floats(n)
				}
			}
		}, names{"model.", "lm_head"}},
		"Mistral with a window that nothing outgrows": {func(w *wild) {
			w.config["model_type"], w.config["max_position_embeddings"] = "mistral", 4096
		}, names{"model.", "lm_head"}},
	} {
		w := wildLlama()
		c.change(w)
		ck, got, err := network(w.write(t))
		if err != nil || (names{got.body, got.head}) != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
			continue
		}
		for _, p := range ck.Config.Parameters() {
			for _, part := range p.Parts {
				if !got.Has(part.Name) {
					t.Errorf("%s: the network has no %s", name, part.Name)
				}
			}
		}
		if got.Has("head.weight") != (c.want.head != "") {
			t.Errorf("%s: the network has a head: %t", name, got.Has("head.weight"))
		}
		if _, shape, err := got.Float32("layers.1.down.weight"); err != nil ||
			!slices.Equal(shape, []int{64, 96}) {
			t.Errorf("%s: layers.1.down has shape %v, %v", name, shape, err)
		}
		module := got.body + "layers.1.mlp.down_proj.weight"
		if _, shape, err := ck.Float32(module); err != nil || !slices.Equal(shape, []int{64, 96}) {
			t.Errorf("%s: %s has shape %v, %v", name, module, shape, err)
		}
	}
}

// TestWildFoldersThatAreRefused: the error names what is wrong and what would work.
func TestWildFoldersThatAreRefused(t *testing.T) {
	const instead = "take the model in float32, float16 or bfloat16, or quantised by MLX"
	method := func(config map[string]any) func(w *wild) {
		return func(w *wild) { w.config["quantization_config"] = config }
	}
	// only makes a folder whose weights are in files of these names alone.
	only := func(names ...string) func(w *wild) {
		return func(w *wild) {
			w.tensors = nil
			for _, name := range names {
				w.files[name] = "something"
			}
		}
	}
	q := "model.layers.0.self_attn.q_proj"
	for name, c := range map[string]struct {
		damage func(w *wild)
		say    []string
	}{
		"untied without a head": {func(w *wild) { delete(w.tensors, "lm_head.weight") },
			[]string{"tensor lm_head.weight is missing", "tie_word_embeddings"}},
		"the same without the key": {func(w *wild) {
			delete(w.tensors, "lm_head.weight")
			delete(w.config, "tie_word_embeddings")
		}, []string{"tensor lm_head.weight is missing", "absence means for llama"}},
		"the same in a multimodal folder": {func(w *wild) {
			delete(w.tensors, "lm_head.weight")
			w.rename("model.", "language_model.model.")
		}, []string{"tensor lm_head.weight is missing"}},
		"a layer too many": {func(w *wild) {
			w.tensors["model.layers.2.input_layernorm.weight"] = floats(64)
		}, []string{"model.layers.2.input_layernorm.weight is of a layer", "num_hidden_layers is 2"}},
		"a layer too few": {func(w *wild) { w.config["num_hidden_layers"] = 3 },
			[]string{"model.layers.2.input_layernorm.weight is missing, and 8 more"}},
		"another network": {func(w *wild) {
			w.tensors["model.layers.0.self_attn.q_norm.weight"] = floats(16)
		}, []string{"model.layers.0.self_attn.q_norm.weight has no place in the llama network"}},
		"an adapter beside the weights": {func(w *wild) {
			w.tensors[q+".lora_A.weight"] = floats(2, 64)
		}, []string{q + ".lora_A.weight has no place"}},
		"a bias": {func(w *wild) { w.tensors[q+".bias"] = floats(64) },
			[]string{q + ".bias: a bias has no place there in the llama network"}},
		"a bias of the head": {func(w *wild) { w.tensors["lm_head.bias"] = floats(40) },
			[]string{"lm_head.bias: a bias has no place there"}},
		"no embedding": {func(w *wild) { delete(w.tensors, "model.embed_tokens.weight") },
			[]string{"model.embed_tokens.weight is missing: the files are incomplete"}},
		"other names": {func(w *wild) { w.rename("model.", "transformer.") },
			[]string{"model.embed_tokens.weight is missing", "the first is lm_head.weight"}},
		"no tensors": {func(w *wild) { w.tensors = nil; w.files["model.safetensors"] = string(file("{}", 0).Data) },
			[]string{"the files hold no tensors"}},
		"a wrong shape": {func(w *wild) { w.tensors[q+".weight"] = floats(64, 32) },
			[]string{q + ".weight has shape [64 32], config.json asks for [64 64]"}},

		"GPTQ": {method(map[string]any{"quant_method": "gptq", "bits": 4, "group_size": 128}),
			[]string{`config.json: quantization "gptq" is not supported`, instead}},
		"AWQ": {method(map[string]any{"quant_method": "awq", "bits": 4, "group_size": 128,
			"version": "gemm", "zero_point": true}), []string{`quantization "awq" is not`, instead}},
		"compressed-tensors": {method(map[string]any{"quant_method": "compressed-tensors",
			"config_groups": map[string]any{"group_0": map[string]any{}}}),
			[]string{`quantization "compressed-tensors" is not supported`, instead}},
		"bitsandbytes": {method(map[string]any{"quant_method": "bitsandbytes",
			"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}),
			[]string{`quantization "bitsandbytes" is not supported`, instead}},
		"fp8": {method(map[string]any{"quant_method": "fp8", "activation_scheme": "dynamic"}),
			[]string{`quantization "fp8" is not supported`, instead}},
		"an early compressed-tensors": {func(w *wild) {
			w.config["compression_config"] = map[string]any{"quant_method": "sparseml"}
		}, []string{`quantization "sparseml" is not supported`, instead}},
		"a method in text_config": {func(w *wild) {
			w.config["quantization_config"] = map[string]any{"quant_method": "hqq"}
			w.config = map[string]any{"model_type": "llava", "text_config": w.config}
		}, []string{`config.json: text_config: quantization "hqq" is not supported`}},
		"mxfp4": {func(w *wild) {
			w.config["quantization"] = map[string]any{"mode": "mxfp4", "group_size": 32, "bits": 4}
		}, []string{`quantization "mxfp4" is not supported`, "affine is", instead}},
		"mxfp4 in one module": {func(w *wild) {
			w.config["quantization"] = map[string]any{"group_size": 32, "bits": 4,
				q: map[string]any{"mode": "mxfp4", "group_size": 32, "bits": 4}}
		}, []string{q + `: quantization "mxfp4" is not supported`}},

		"GPTQ that config.json does not tell": {func(w *wild) {
			delete(w.tensors, q+".weight")
			w.tensors[q+".qweight"] = raw{"I32", []int{8, 64}}
			w.tensors[q+".qzeros"] = raw{"I32", []int{1, 8}}
			w.tensors[q+".scales"] = raw{"F16", []int{1, 64}}
		}, []string{q + " is quantised by GPTQ or AWQ, which is not supported", instead}},
		"compressed-tensors that config.json does not tell": {func(w *wild) {
			delete(w.tensors, q+".weight")
			w.tensors[q+".weight_packed"] = raw{"I32", []int{64, 8}}
		}, []string{"is quantised by compressed-tensors", instead}},
		"bitsandbytes that config.json does not tell": {func(w *wild) {
			w.tensors[q+".weight"] = raw{"U8", []int{2048, 1}}
			w.tensors[q+".weight.absmax"] = raw{"U8", []int{64}}
		}, []string{"is quantised by bitsandbytes", instead}},
		"bitsandbytes of 8 bits": {func(w *wild) {
			w.tensors[q+".weight"], w.tensors[q+".SCB"] = raw{"I8", []int{64, 64}}, floats(64)
		}, []string{"is quantised by bitsandbytes", instead}},
		"fp8 with scales": {func(w *wild) {
			w.tensors[q+".weight"] = raw{"F8_E4M3", []int{64, 64}}
			w.tensors[q+".weight_scale"] = floats(1)
		}, []string{"is quantised by fp8", instead}},
		"fp8 without scales": {func(w *wild) {
			w.tensors[q+".weight"] = raw{"F8_E4M3", []int{64, 64}}
		}, []string{q + ".weight has the type F8_E4M3 (fp8), which is not supported", instead}},
		"a quantised head": {func(w *wild) {
			delete(w.tensors, "lm_head.weight")
			w.tensors["lm_head.qweight"] = raw{"I32", []int{8, 40}}
		}, []string{"lm_head is quantised by GPTQ or AWQ"}},
		"float64": {func(w *wild) { w.tensors["model.norm.weight"] = raw{"F64", []int{64}} },
			[]string{"model.norm.weight has the type F64"}},
		"MLX's weights without biases": {func(w *wild) {
			w.pack(q, 32, 4)
			delete(w.tensors, q+".biases")
		}, []string{q + ".biases is missing", "affine"}},
		"MLX's weights without scales": {func(w *wild) {
			w.pack(q, 32, 4)
			delete(w.tensors, q+".biases")
			delete(w.tensors, q+".scales")
		}, []string{q + ".weight holds integers and has no scales"}},
		"MLX's weights in odd groups": {func(w *wild) { w.pack(q, 16, 4) },
			[]string{q + ".weight: quantization of 4 bits in groups of 16 is not supported"}},

		"Git LFS": {func(w *wild) {
			w.files["model.safetensors"] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
		}, []string{"model.safetensors: it is a Git LFS pointer, not the file: run git lfs pull"}},
		"Git LFS in the index": {func(w *wild) {
			w.files["model.safetensors.index.json"] = "version https://git-lfs.github.com/spec/v1\n"
		}, []string{"model.safetensors.index.json is a Git LFS pointer, not the file"}},
		"a web page": {func(w *wild) { w.files["model.safetensors"] = "<!DOCTYPE html>\n<html>" },
			[]string{"model.safetensors: it is a web page, not the file"}},
		"UTF-16": {func(w *wild) { w.files["config.json"] = "\xff\xfe{\x00}\x00" },
			[]string{"config.json begins with a byte order mark of UTF-16; save it as UTF-8"}},

		"PyTorch's file":     {only("pytorch_model.bin"), []string{"pytorch_model.bin is PyTorch's", "save_pretrained"}},
		"PyTorch's files":    {only("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"), []string{"pytorch_model-00001-of-00002.bin is PyTorch's"}},
		"mlx-lm's old files": {only("weights.00.safetensors", "weights.01.safetensors"), []string{"weights.00.safetensors is the name", "rename it to model*.safetensors"}},
		"MLX's first files":  {only("weights.npz"), []string{"weights.npz is MLX's first format"}},
		"an adapter":         {only("adapter_config.json", "adapter_model.safetensors"), []string{"adapter_model.safetensors is an adapter", "mlx_lm.fuse"}},
		"Mistral's own file": {only("consolidated.safetensors"), []string{"consolidated.safetensors is the layout of the model's makers"}},
		"a GGUF file":        {only("m.gguf"), []string{"m.gguf is a GGUF file, which has to be imported"}},
		"half a download":    {only("model.safetensors.part"), []string{"model.safetensors.part is a download that did not end"}},
		"nothing":            {only(), []string{"model.safetensors is not there; the folder must hold the weights"}},

		"attention_bias": {func(w *wild) { w.config["attention_bias"] = true }, []string{"self_attn.q_proj.bias is missing, and 7 more"}},
		"mlp_bias":       {func(w *wild) { w.config["mlp_bias"] = true }, []string{"mlp.gate_proj.bias is missing, and 5 more"}},
		"a softcap":      {func(w *wild) { w.config["final_logit_softcapping"] = 30.0 }, []string{"config.json: final_logit_softcapping 30 is not supported"}},
		"half of RoPE":   {func(w *wild) { w.config["partial_rotary_factor"] = 0.5 }, []string{"config.json: partial_rotary_factor 0.5 is not supported"}},
	} {
		w := wildLlama()
		c.damage(w)
		_, _, err := network(w.write(t))
		for _, say := range c.say {
			if err == nil || !strings.Contains(err.Error(), say) {
				t.Errorf("%s: error %v, want one with %q", name, err, say)
			}
		}
	}
}
