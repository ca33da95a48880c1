package grammar

// Texts compiles a grammar for answers that are one of the texts, byte for byte, behind reasoning
// where the answer may have that. Its error is a *SchemaError, for no texts.
func Texts(texts []string, thinking Thinking) (*Grammar, error) {
	if len(texts) == 0 {
		return nil, &SchemaError{Path: "#", Reason: "allows no text"}
	}
	b := newBuilder()
	var alternatives [][]symbol
	for _, text := range texts {
		alternatives = append(alternatives, []symbol{b.literal(text)})
	}
	root := b.thinking(thinking, b.oneOf(alternatives...))
	b.check()
	return b.build(root), nil
}
