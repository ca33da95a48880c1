package engine

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"loadstone/engine/internal/kv"
)

// theParrot is a fake whose answers repeat themselves, so that drafts are right now and then.
var theParrot = &network{name: "parrot",
	open: func() (Model, error) {
		m := newFake()
		m.next = parrot
		return m, nil
	},
	foretell: func(r Request) foretold { return foretoldBy(parrot, r) },
	vocab:    fakeVocab,
}

var draftCases = flag.Int("draft-cases", ciCases,
	"how many answers TestMetamorphicDrafts compares that have tokens of drafts; more than its "+
		"default also has a two-hundredth of them compared on the models that users run")

const ciCases = 500

// Answers with drafts are those that any engine must give, with their log-probabilities: greedy and
// drawn, with penalties, a bias, masks that know what follows, and stops, in batches, in every
// setup, with restarts. It goes on until it has compared as many as -draft-cases says.
func TestMetamorphicDrafts(t *testing.T) {
	quiet(t) // what is evicted unsaved is a warning each: 14 MB of them
	want := *draftCases
	if invariants { // which take their time
		want /= 10
	}
	t.Run("parrot", func(t *testing.T) { compareDrafted(t, theParrot, want, 100) })
	t.Run("ref", func(t *testing.T) { compareDrafted(t, onRef(t, "f32"), want/50, 20) })
	for _, model := range []string{"smollm2", "gemma3-270m"} {
		if *draftCases <= ciCases { // TestMetamorphicReal has drafts as well
			continue
		}
		t.Run(model, func(t *testing.T) {
			on := onMLX(t, model, 0)
			on.only = []string{"roomy", "odd chunks", "tiny pool", "restarts"}
			compareDrafted(t, on, want/200, 12)
		})
	}
}

// compareDrafted runs lists of operations until so many answers with drafts were compared.
func compareDrafted(t *testing.T, sound *network, want, length int) {
	t.Helper()
	on := *sound
	on.varied = true
	answers, cases, drafted, accepted := 0, 0, 0, 0
	on.speculated = func(r Result) {
		if answers++; r.Drafted > 0 {
			cases++
		}
		drafted, accepted = drafted+r.Drafted, accepted+r.Accepted
	}
	lists := uint64(0)
	for ; cases < want && lists < uint64(100+want); lists++ {
		ops := generate(lists)
		check(t, &on, ops[:min(len(ops), length)])
	}
	t.Logf("%d lists, %d whole answers, %d of them with drafts: %d of %d tokens accepted", lists, answers,
		cases, accepted, drafted)
	if cases < want || accepted == 0 || accepted == drafted && cases > 100 {
		t.Errorf("%d answers with drafts, want %d; of %d drafted tokens %d were right", cases, want,
			drafted, accepted)
	}
}

// vary makes one of many kinds of requests of a plain one.
func (tr *trial) vary(r *Request, kind int) {
	if kind%3 == 0 {
		r.MaxTokens *= 3
	}
	if kind%4 == 1 {
		f := form{int32(tr.vocab), r.Stop}
		r.Mask, r.Ahead = f.rule, f.ahead
	}
	switch kind % 7 {
	case 1, 2:
		r.Logprobs = kind % 7
	case 3:
		r.Sampling.Frequency, r.Sampling.Presence = 0.2, 0.1
	case 5:
		r.Sampling.Repetition = 1.2
	case 4:
		r.Sampling.Bias = map[int32]float64{int32(kind) % fakeVocab: 0.6}
	}
}

// A form is a grammar of nonsense: after some tokens nothing but one other may come, after some one
// of two, and after some, once the answer is long enough, nothing but its end.
type form struct {
	vocab int32
	stops []int32
}

// allowed returns the tokens that may follow an answer, nil for any.
func (f form) allowed(answer []int32) []int32 {
	if len(answer) == 0 {
		return nil
	}
	last := answer[len(answer)-1]
	next := (last*5 + 3) % f.vocab
	switch {
	case last%7 == 0:
		return []int32{next}
	case last%7 == 1:
		return []int32{next, (next + 1) % f.vocab}
	case last%7 == 2 && len(answer) > 6:
		return f.stops
	}
	return nil
}

func (f form) rule(answer []int32, logits []float32) {
	allowed := f.allowed(answer)
	if allowed == nil {
		return
	}
	for i := range logits {
		if !slices.Contains(allowed, int32(i)) {
			logits[i] = float32(math.Inf(-1))
		}
	}
}

// ahead guesses as well, where one of two may come.
func (f form) ahead(answer []int32, n int) (tokens []int32, sure int) {
	text := slices.Clone(answer)
	for len(tokens) < n {
		allowed := f.allowed(text)
		if allowed == nil || len(allowed) == 2 && sure < len(tokens) {
			break
		}
		next := allowed[len(text)%len(allowed)]
		text, tokens = append(text, next), append(tokens, next)
		ends := slices.Contains(f.stops, next)
		if len(allowed) == 1 || ends && len(allowed) == len(f.stops) && &allowed[0] == &f.stops[0] {
			if sure == len(tokens)-1 {
				sure++
			}
		}
		if ends {
			break
		}
	}
	return tokens, sure
}

// TestFind is what an index finds, against a search from the end: in texts that grow, and that go
// on otherwise from some token on, as an agent's next request may.
func TestFind(t *testing.T) {
	found, missed := 0, 0
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		vocab := 2 + rng.IntN(12)
		var text []int32
		var x copyIndex
		longest := 0
		for range 3 {
			cut := rng.IntN(len(text) + 1)
			text = text[:cut]
			for range 1 + rng.IntN(300) {
				text = append(text, int32(rng.IntN(vocab)))
			}
			x.forget(cut)
			longest = max(longest, len(text))
			for n := cut + rng.IntN(len(text)-cut) + 1; n <= len(text); n++ {
				got, same := x.find(text[:n], 5)
				want := lastFollowed(text[:n], 5)
				if len(got) > 0 && (same < draftKey || !follows(text[:n], got, same)) {
					t.Fatalf("%v: found %v after %d equal tokens, the last is %v", text[:n], got, same, want)
				}
				if slices.Equal(got, want) {
					found++
				} else { // the run has lost its place to others
					missed++
				}
			}
		}
		if len(x.ends) > 4*max(longest, minEnds/2) {
			t.Fatalf("%d places for %d tokens", len(x.ends), longest)
		}
	}
	if found < 30*missed {
		t.Errorf("%d were found and %d missed", found, missed)
	}
}

// follows reports whether a run of tokens came before, after as many tokens as end the text.
func follows(text, run []int32, same int) bool {
	key := text[len(text)-same:]
	for at := same; at+len(run) <= len(text); at++ {
		if slices.Equal(text[at-same:at], key) && slices.Equal(text[at:at+len(run)], run) {
			return true
		}
	}
	return false
}

// lastFollowed is a dumb twin of copyIndex.find.
func lastFollowed(text []int32, n int) []int32 {
	for at := len(text) - 1; at >= draftKey; at-- {
		if len(text) > draftKey && slices.Equal(text[at-draftKey:at], text[len(text)-draftKey:]) {
			return text[at:min(at+n, len(text))]
		}
	}
	return nil
}

// answerOf has an engine of its own answer one request. Every step takes a millisecond of its clock,
// so rows of drafts cost nothing, however busy the machine is.
func answerOf(t *testing.T, m Model, r Request, drafts bool) (out []Token, res Result) {
	t.Helper()
	e, err := newEngine(Config{Model: m, KVBytes: 4096, NoDrafts: !drafts, BlockTokens: 16})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Time{}
	e.pace.clock = func() time.Time { now = now.Add(time.Millisecond); return now }
	s, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for e.iterate() {
	}
	for tok := range s.Tokens() {
		tok.Start = nil
		out = append(out, tok)
	}
	return out, s.Result()
}

// With drafts an answer takes fewer steps and is the same: greedy and drawn, with penalties, a
// mask, log-probabilities and stops.
func TestDraftsChangeNoAnswer(t *testing.T) {
	answer := func(r Request, drafts bool) (out []Token, res Result, steps int) {
		m := newFake()
		m.next = parrot
		out, res = answerOf(t, m, r, drafts)
		return out, res, m.steps
	}
	even := func(answer []int32, logits []float32) {
		for i := range logits {
			if (i+len(answer))%7 == 0 {
				logits[i] = -100
			}
		}
	}
	var drafted, accepted, with, without int
	for seed := range 60 {
		r := Request{Prompt: tokens(seed, 40), MaxTokens: 120}
		switch seed % 6 {
		case 1:
			r.Sampling = Sampling{Temperature: 0.2, Seed: uint64(seed)}
		case 2:
			r.Sampling = Sampling{Temperature: 0.1, TopK: 3, Seed: uint64(seed)}
			r.Logprobs = 3
		case 3:
			r.Mask = even
		case 4:
			r.Sampling = Sampling{Frequency: 0.01, Presence: 0.01, Repetition: 1.01}
			r.Logprobs = 1
		case 5:
			r.Stop = []int32{int32(seed % fakeVocab)}
			r.SureTokens = 10
		}
		want, _, steps := answer(r, false)
		got, res, fewer := answer(r, true)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("seed %d: with drafts %v, without %v", seed, got, want)
		}
		drafted, accepted = drafted+res.Drafted, accepted+res.Accepted
		with, without = with+fewer, without+steps
	}
	if accepted < 300 || drafted <= accepted || with > without-accepted {
		t.Errorf("of %d drafted tokens %d were right; %d steps, %d without drafts", drafted, accepted,
			with, without)
	}
}

// A token that is the only one which may come takes no step of its own and is drawn of no row,
// unless its log-probabilities are wanted. Answers are the same.
func TestForcedTokens(t *testing.T) {
	count := func(r Request, drafts bool) (out []Token, res Result, m *rowCounter) {
		m = &rowCounter{fakeModel: newFake()}
		out, res = answerOf(t, m, r, drafts)
		return out, res, m
	}
	// Of five tokens four have no choice.
	rule := func(answer []int32, logits []float32) {
		if n := len(answer); n%5 != 0 {
			for i := range logits {
				if int32(i) != answer[n-1]%50+1 {
					logits[i] = float32(math.Inf(-1))
				}
			}
		}
	}
	ahead := func(answer []int32, n int) (tokens []int32, sure int) {
		for at := len(answer); at%5 != 0 && len(tokens) < n; at++ {
			tokens = append(tokens, answer[len(answer)-1]%50+1)
			answer = append(slices.Clone(answer), tokens[len(tokens)-1])
		}
		return tokens, len(tokens)
	}
	for _, how := range []Sampling{{}, {Temperature: 0.5, Seed: 3}, {Frequency: 0.1, Temperature: 0.2}} {
		for _, logprobs := range []int{0, 2} {
			r := Request{Prompt: tokens(3, 20), MaxTokens: 60, Mask: rule, Ahead: ahead,
				Sampling: how, Logprobs: logprobs}
			want, _, plain := count(r, false)
			got, res, m := count(r, true)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%+v: %v, want %v", how, got, want)
			}
			// A step whose tokens do not end at a block's end has all that are known.
			drawn := logprobs > 0
			if plain.steps != 60 || m.steps > 24 || res.Accepted < 36 || m.rows < 60 == drawn {
				t.Errorf("%+v, logprobs %d: %d steps with %d rows, %d steps without drafts; %+v",
					how, logprobs, m.steps, m.rows, plain.steps, res)
			}
		}
	}
}

// A rowCounter counts the rows of which something was wanted.
type rowCounter struct {
	*fakeModel
	rows int
}

func (m *rowCounter) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	m.rows += len(rows) + len(picks)
	return m.fakeModel.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

// repeating returns a scheduler with a stream of each principal, whose last tokens came before.
func repeating(principals ...string) (*sched, []*sequence) {
	s := newSched(kv.Layout{Shape: kv.Shape{BlockTokens: 64}, Blocks: 100}, 8, 256)
	s.principals = len(principals)
	var streams []*sequence
	for i, p := range principals {
		prompt := slices.Concat(tokens(i, 20), tokens(i, 9))
		q := &sequence{id: uint64(i), prompt: len(prompt), max: 50, tokens: prompt}
		q.who.Agent.Principal = p
		s.Add(q)
		streams = append(streams, q)
	}
	for slices.ContainsFunc(streams, (*sequence).prefilling) {
		var next []int32
		for _, q := range s.Plan(s.stepTokens, s.maxBatch, drafting{}).sampling {
			next = append(next, q.tokens[len(q.tokens)-20])
		}
		s.Commit(next)
	}
	return s, streams
}

// Beside prompts there are drafts, and prompts get more tokens for each row of them.
func TestDraftsBesidePrompts(t *testing.T) {
	s, streams := repeating("")
	q := streams[0]
	s.Add(&sequence{id: 9, prompt: 200, max: 5, tokens: tokens(7, 200)})
	b := s.Plan(10, 8, drafting{rows: 8, prompts: 2.5})
	s.check()
	if !slices.Equal(q.draft, q.tokens[10:18]) || b.ahead != 8 || b.prompts != 10+20 {
		t.Errorf("a draft of %v, %d prompt tokens", q.draft, b.prompts)
	}
	if len(b.rows) != 1+8 || len(b.tokens) != 1+8+30 {
		t.Errorf("%+v", b)
	}
}

// Each of several principals has an equal part of the rows.
func TestDraftsOfPrincipals(t *testing.T) {
	s, streams := repeating("a", "a", "b")
	s.Plan(10, 8, drafting{rows: 6})
	s.check()
	n, other := len(streams[0].draft)+len(streams[1].draft), len(streams[2].draft)
	if n != 3 || other != 3 {
		t.Errorf("%d and %d rows, of 6", n, other)
	}
}

// What is spare of the time that a step of several principals may take is for drafts; nothing is
// where it is to show what streams cost, or where prompts take it.
func TestSpareTime(t *testing.T) {
	p := newPace(8, 256)
	for i := range p.decode {
		p.decode[i] = time.Duration(10+i) * time.Millisecond
	}
	several := demand{decoding: 2, several: true, fair: 2, besidePrompt: 1}
	bound := 11 * time.Millisecond * 7 / 4
	if _, rows, spare := p.limits(several); rows != 2 || spare != bound-12*time.Millisecond {
		t.Errorf("%d rows, %v to spare", rows, spare)
	}
	several.prefilling, several.both = 1, 1
	if prompts, rows, spare := p.limits(several); spare != 0 || prompts+rows == 0 {
		t.Errorf("%d prompt tokens, %d rows, %v to spare", prompts, rows, spare)
	}
	p.tried = retryStreams - 1
	if _, _, spare := p.limits(several); spare != 0 {
		t.Errorf("%v to spare in a step that tries more streams", spare)
	}
	alone := demand{decoding: 1, prefilling: 1}
	p.token = time.Millisecond
	if prompts, _, spare := p.limits(alone); prompts == 0 || spare < time.Hour {
		t.Errorf("%d prompt tokens, %v to spare", prompts, spare)
	}
	p.mixed = maxMixed
	if prompts, _, spare := p.limits(alone); prompts != 0 || spare != 0 {
		t.Errorf("%d prompt tokens, %v to spare, where the streams' time is wanted", prompts, spare)
	}
	d := (&draftPace{row: 2 * time.Millisecond}).limits(2, 12*time.Millisecond, 256, 7*time.Millisecond)
	if d.rows != 3 {
		t.Errorf("%d rows in the time of three", d.rows)
	}
}

// An agent's next request begins with what its last one knew of drafts, for as long as the memory
// is there; its index takes in only what is new. A request that waits has none.
func TestDrafterIsKept(t *testing.T) {
	m := newFake()
	m.next = parrot
	e, err := newEngine(Config{Model: m, KVBytes: 4096, BlockTokens: 16, MaxBatch: 1})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(prompt []int32) *job {
		s, err := e.Submit(t.Context(), Request{Agent: "a", Prompt: prompt, MaxTokens: 30})
		if err != nil {
			t.Fatal(err)
		}
		e.takeMail()
		j := e.jobs[e.mailbox.lastID]
		if j.seq.drafter != nil || j.stream != s {
			t.Error("a request that waits has a drafter")
		}
		return j
	}
	prompt := tokens(1, 300)
	j := ask(prompt)
	for e.iterate() {
	}
	first := j.seq.drafter
	c := e.sched.store.Agent(kv.Agent{Name: "a"})
	if first == nil || c == nil || c.Drafts != any(first) {
		t.Fatalf("the memory has no drafter: %+v", c)
	}
	prompt = slices.Concat(j.seq.tokens[:310], tokens(2, 50))
	j = ask(prompt)
	e.iterate()
	if j.seq.drafter != first || first.index.indexed != 310 || c.Drafts != nil {
		t.Errorf("the next request begins with %d tokens of the last one's index", first.index.indexed)
	}
	for e.iterate() {
	}
	e.forgetInPool(kv.Agent{Name: "a"})
	j = ask(prompt)
	for e.iterate() {
	}
	if j.seq.drafter == first {
		t.Error("the drafter outlives the memory")
	}
	e.mailbox.close(false)
}
