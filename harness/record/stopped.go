package record

// Stopped makes an empty answer OK if one of the request's stop strings has ended it before any
// text, and reports whether it has. The server has then done what was asked: it says "stop", and
// its usage has a token, but no more than a stop string can have, which is one for each byte.
// Without a usage nothing tells such an answer from none. All that the client can time of it is its
// end, so that is when its content counts as having come; a note says so, since an answer that the
// model itself ends at once looks the same.
func (r *Record) Stopped(stops []string) bool {
	longest := 0
	for _, s := range stops {
		longest = max(longest, len(s))
	}
	if r.Outcome != Empty || r.Finish != "stop" || r.OutputTokens < 1 || r.OutputTokens > longest {
		return false
	}
	r.Outcome, r.FirstContent = OK, r.End
	r.Note(NoteStopped, "")
	return true
}
