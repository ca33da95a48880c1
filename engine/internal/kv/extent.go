package kv

// An Extent says how large a sequence can become.
type Extent struct {
	Prompt int // tokens of the prompt
	Tokens int // most tokens whose KV it needs: prompt and answer, but the answer's last token
	Step   int // most tokens of a prompt that are computed in one step

	// Sure is how many of the tokens blocks are promised for when the sequence starts; see
	// Store.Extend for the rest. 0: all of them
	Sure int
}

// SureBlocks returns how many blocks are promised when the sequence starts.
func (x Extent) SureBlocks(s *Shape) int {
	if x.Sure > 0 && x.Sure < x.Tokens {
		x.Tokens = x.Sure
	}
	return x.Blocks(s)
}

// Blocks returns how many blocks all tokens take.
func (x Extent) Blocks(s *Shape) int { return (x.Tokens + s.BlockTokens - 1) / s.BlockTokens }

// MaxSlots returns the most slots that the sequence can have at once, from when so many of its
// tokens are computed.
func (x Extent) MaxSlots(s *Shape, computed int) int {
	if s.Window == 0 {
		return 0
	}
	chunk := 1
	if computed < x.Prompt {
		chunk = min(x.Prompt-computed, x.Step)
	}
	return min(x.Blocks(s)-s.WindowStart(computed), s.MaxSlots(chunk))
}

// pinFrom returns the first block that is still in the window when the sequence ends.
func (x Extent) pinFrom(s *Shape) int { return s.WindowStart(x.Tokens) }
