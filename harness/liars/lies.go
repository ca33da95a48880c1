package liars

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func commentsFirst(r *reply) {
	const step = 20 * time.Millisecond
	for at := r.first / step * step; at >= 0; at -= step {
		r.ahead(at, ": working\n\n")
	}
}

func splitEvent(r *reply) {
	first := &r.events[0]
	half := len(first.text) / 2
	begin := first.text[:half]
	first.text = first.text[half:]
	r.ahead(0, begin)
}

// last is when the last token is made.
func (r *reply) last() time.Duration { return r.at(len(r.words) - 1) }

func onePiece(r *reply) {
	text := strings.Join(r.words, "")
	r.events = append([]event{{r.last(), r.chunk(content(text), ""), len(r.words)}},
		r.events[len(r.words):]...)
}

func rareStall(r *reply) {
	if r.n > 4 && r.n%100 >= 97 {
		r.lied = true
		r.first += 2 * time.Second
		r.cold = r.first
	}
}

func drift(r *reply) {
	const speed = 20 * time.Second
	slower := 1 + float64(time.Since(r.s.start))/float64(r.s.times(speed))
	r.first = time.Duration(float64(r.first) * slower)
	r.interval = time.Duration(float64(r.interval) * slower)
	r.cold = r.first
}

func mergeTokens(r *reply) {
	const each = 4
	var events []event
	for i := 0; i < len(r.words); i += each {
		end := min(i+each, len(r.words))
		text := strings.Join(r.words[i:end], "")
		events = append(events, event{r.at(end - 1), r.chunk(content(text), ""), end - i})
	}
	r.events = append(events, r.events[len(r.words):]...)
}

func splitTokens(r *reply) {
	var events []event
	for i, word := range r.words {
		// A blank by itself would be a token of its own to some.
		half := max(2, len(word)/2)
		events = append(events, event{r.at(i), r.chunk(content(word[:half]), ""), 1})
		if half < len(word) {
			at := r.at(i) + r.interval/2
			events = append(events, event{at, r.chunk(content(word[half:]), ""), 0})
		}
	}
	rest := r.events[len(r.words):]
	for i := range rest {
		rest[i].at += r.interval / 2
	}
	r.events = append(events, rest...)
}

func lateBurst(r *reply) {
	for i := 1; i < len(r.words); i++ {
		r.events[i].at = r.last()
	}
}

func midStall(r *reply) { r.delay(len(r.words)/2, 600*time.Millisecond) }

func deadAir(r *reply) { r.delay(len(r.words), 400*time.Millisecond) }

// delay delays the events from one on.
func (r *reply) delay(from int, by time.Duration) {
	for i := from; i < len(r.events); i++ {
		r.events[i].at += by
	}
}

func doubleChunks(r *reply) {
	var events []event
	for i, e := range r.events {
		events = append(events, e)
		if i < len(r.words) {
			events = append(events, event{e.at, e.text, 0})
		}
	}
	r.events = events
}

func emptyChunks(r *reply) {
	var events []event
	for i, e := range r.events {
		events = append(events, e)
		if i < len(r.words) {
			events = append(events, event{e.at + r.interval/2, r.chunk(content(""), ""), 0})
		}
	}
	rest := events[2*len(r.words):]
	for i := range rest {
		rest[i].at += r.interval / 2
	}
	r.events = events
}

func secondChoice(r *reply) {
	var events []event
	for i, e := range r.events {
		events = append(events, e)
		if i < len(r.words) {
			other := strings.Replace(e.text, `"index":0`, `"index":1`, 1)
			events = append(events, event{e.at, other, 0})
		}
	}
	r.events = events
}

// cut ends the answer at a part of its length.
func (r *reply) cut(part int, finish string) {
	r.words, r.finish = r.words[:max(1, len(r.words)/part)], finish
	r.count()
}

// put puts a word in the place of one of the answer's.
func (r *reply) put(i int, word string) {
	if i < len(r.words) {
		r.words[i] = " " + word
	}
}

// withoutUsage is whether an event is not the usage's.
func withoutUsage(e event) bool { return !strings.Contains(e.text, `"usage"`) }

func noUsage(r *reply) {
	r.events = slices.DeleteFunc(r.events, func(e event) bool { return !withoutUsage(e) })
}

func runningUsage(r *reply) {
	for i := range r.words {
		so := fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
			r.usage.Prompt, i+1, r.usage.Prompt+i+1)
		r.events[i].text = strings.TrimSuffix(r.events[i].text, "}\n\n") + so + "\n\n"
	}
}

func hideTokens(r *reply) {
	all := len(r.words)
	r.cut(4, "length")
	r.usage.Completion, r.usage.Total = all, r.usage.Prompt+all
	r.usage.Output.Reasoning = all - len(r.words)
}

func tooLong(r *reply) {
	n := len(r.words)
	r.words = r.s.answer(r.q.hash(), n+n/2)
	r.count()
}

func errorInStream(r *reply) {
	if !r.every(4) {
		return
	}
	r.outcome = Failed
	keep := min(2, len(r.words))
	r.events = append(r.events[:keep:keep], event{r.at(keep),
		`data: {"error":{"message":"worker died","type":"server_error","code":500}}` + "\n\n", 0})
}

func errorFinish(r *reply) {
	if r.every(4) {
		r.outcome = Failed
		r.cut(4, "error")
	}
}

// fail sends one request of four a body that is no answer.
func (r *reply) fail(body, contentType string) {
	if r.every(4) {
		r.outcome = Failed
		r.events, r.body, r.words = nil, body, nil
		if contentType != "" {
			r.header.Set("Content-Type", contentType)
		}
	}
}

// refuse refuses one request of four.
func (r *reply) refuse(status int, body string) {
	if r.every(4) {
		r.fail(body, "")
		r.status, r.outcome = status, Refused
	}
}

func emptyAnswer(r *reply) {
	if r.every(4) {
		r.outcome = Failed
		r.events = r.events[len(r.words):]
	}
}

// cutStream cuts one stream of four off, and reports whether this is one.
func (r *reply) cutStream() bool {
	if !r.every(4) {
		return false
	}
	r.outcome = Cut
	r.events = r.events[:len(r.words)/2]
	return true
}

func cutLength(r *reply) {
	if !r.cutStream() {
		return
	}
	n := 0
	for _, e := range r.events {
		n += len(e.text)
	}
	r.header.Set("Content-Length", strconv.Itoa(n))
}

func noEnd(r *reply) {
	if r.every(4) {
		r.outcome = Cut
		r.events = r.events[:len(r.words)+1]
	}
}

func noAnswer(r *reply) {
	if r.every(4) {
		r.outcome, r.hangsUp = Failed, true
		r.events, r.words = nil, nil
	}
}

func warmAgain(r *reply) {
	r.usage.Details.Cached = 0
	r.first = r.cold
	if r.asked {
		r.lied = true
		r.first = 5 * time.Millisecond
	}
}

func restoredNot(r *reply) {
	if r.s.restarted() {
		r.first = r.cold
		r.cached, r.lied = 0, r.cached > 0
	}
}

func mixedMemory(r *reply) {
	if r.s.restarted() && len(r.q.Messages) > 1 {
		r.lied = true
		r.words = r.s.answer(r.q.prefix[0]+1, len(r.words))
	}
}

// restarted reports whether the server was restarted.
func (s *Server) restarted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts > 0
}
