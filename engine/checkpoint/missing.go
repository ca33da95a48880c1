package checkpoint

import (
	"fmt"
	"io/fs"
	"path"
)

// elsewhere are the names under which folders hold weights that are not read, and what can be done
// about it. The first that matches a file counts.
var elsewhere = []struct{ pattern, say string }{
	{"weights*.safetensors", "the name that mlx-lm gave to weights before 2024; " +
		"rename it to model*.safetensors, with all files beside it that are named so"},
	{"adapter*.safetensors", "an adapter (LoRA), which is not a model by itself; " +
		"merge it into its base model, with mlx_lm.fuse or PEFT's merge_and_unload"},
	{"consolidated*", "the layout of the model's makers; " +
		"get the model in Hugging Face's layout, with model*.safetensors"},
	{"*.safetensors", "not one of the names that are read, model*.safetensors; " +
		"rename it if it is the model's weights"},
	{"*.gguf", "a GGUF file, which has to be imported into a folder"},
	{"*.bin", pickle}, {"*.pt", pickle}, {"*.pth", pickle}, {"*.ckpt", pickle},
	{"*.npz", "MLX's first format; convert the model again, with mlx_lm.convert"},
	{"*.h5", "a file for TensorFlow; " + toSafetensors},
	{"*.msgpack", "a file for Flax; " + toSafetensors},
	{"model*.safetensors.*", "a download that did not end; get the folder again"},
	{"*.incomplete", "a download that did not end; get the folder again"},
}

const (
	toSafetensors = "take the model's safetensors, which most publishers have as well, or load it " +
		"with Transformers and save it again (save_pretrained)"
	pickle = "PyTorch's format, which is not read because it can hold programs; " + toSafetensors
)

// noWeights is the error for a folder without safetensors of the right name.
func noWeights(fsys fs.FS, cause error) error {
	const needs = weightsName + " is not there; the folder must hold the weights as safetensors"
	list, _ := fs.ReadDir(fsys, ".")
	for _, x := range elsewhere {
		for _, file := range list {
			if ok, _ := path.Match(x.pattern, file.Name()); ok {
				return fmt.Errorf(needs+": %s is %s", file.Name(), x.say)
			}
		}
	}
	return fmt.Errorf(needs+": %w", cause)
}
