// Package checkpoint reads model folders as Hugging Face and mlx-community publish them: config.json beside safetensors
// files, in float32, float16, bfloat16 or MLX's affine-quantised form.
//
// A folder is input from strangers. Whatever is wrong with it is an error that names the file and the tensor; nothing in
// it can make this package panic or allocate more than the file's own size allows.
package checkpoint
