package grammar

// Texts compiles a grammar for answers that are one of the texts, byte for byte.
func Texts(texts []string) (*Grammar, error) {
	b := newBuilder()
	var alternatives [][]symbol
	for _, text := range texts {
		alternatives = append(alternatives, []symbol{b.literal(text)})
	}
	return b.build(b.oneOf(alternatives...))
}
