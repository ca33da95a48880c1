package catalog_test

import (
	"fmt"
	"io/fs"
	"log"

	"loadstone/engine/catalog"
)

// Open takes a name of the catalogue or the path of a checkpoint folder; either way the files are
// read through FS.
func ExampleOpen() {
	src, err := catalog.Open("tiny")
	if err != nil {
		log.Fatal(err)
	}
	files, err := fs.Glob(src.FS, "*")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range files {
		fmt.Println(src.Name, name)
	}

	_, err = catalog.Open("tinny")
	fmt.Println(err)
	// Output:
	// tiny chat_template.jinja
	// tiny config.json
	// tiny model.safetensors
	// tiny tokenizer.json
	// tiny tokenizer_config.json
	// unknown model "tinny"; known are tiny, smollm2, gemma3-270m, or give the path of a checkpoint folder
}
