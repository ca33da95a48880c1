package server

// mask holds an answer to its shape.
func (b *backend) mask(s shape) (func([]int32, []float32), error) {
	switch {
	case s.calls():
		return nil, unsupported("tools", "tools: not supported by this server")
	case s.format != nil:
		return nil, unsupported("response_format", "response_format: not supported by this server")
	}
	return nil, nil
}
