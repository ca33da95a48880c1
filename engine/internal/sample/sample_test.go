package sample

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// argmax is the index of the largest finite logit, the first of equals, or -1 when there is none.
func argmax(logits []float32) int32 {
	best := int32(-1)
	high := float32(math.Inf(-1))
	for i, l := range logits {
		if l > high && l <= math.MaxFloat32 {
			best, high = int32(i), l
		}
	}
	return best
}

// A plainChoice is a token that may be drawn; its weight is its probability times a constant.
type plainChoice struct {
	id     int32
	weight float64
}

// plain is a Distribution's dumb twin: it returns the tokens that a draw may pick, by the
// definition: weigh everything, sort everything, cut, cut, cut. They are in the order of the
// draw: by id where nothing is cut, else likeliest first. near is how far the nearest cut was
// from falling elsewhere, as a share of the numbers it compares.
func plain(s Sampling, logits []float32) (all []plainChoice, near float64) {
	near = 1
	best := argmax(logits)
	if best < 0 {
		return nil, near
	}
	for i, l := range logits {
		if l <= math.MaxFloat32 && l >= -math.MaxFloat32 {
			if w := math.Exp(float64(l-logits[best]) / s.Temperature); w >= 0x1p-80 {
				all = append(all, plainChoice{int32(i), w})
			}
		}
	}
	if !s.limits(len(logits)) {
		return all, near
	}
	slices.SortStableFunc(all, func(a, b plainChoice) int {
		return cmp.Compare(distance(logits, best, a.id), distance(logits, best, b.id))
	})
	if s.limitsK(len(all)) {
		all = all[:s.TopK]
	}
	if s.limitsP() {
		sum, reach := total(all), 0.0
		for i, c := range all {
			reach += c.weight
			near = min(near, math.Abs(reach/(s.TopP*sum)-1))
			if reach >= s.TopP*sum {
				all = all[:i+1]
				break
			}
		}
	}
	if s.MinP > 0 {
		all = slices.DeleteFunc(all, func(c plainChoice) bool {
			near = min(near, math.Abs(c.weight/s.MinP-1))
			return c.weight < s.MinP
		})
	}
	return all, near
}

func distance(logits []float32, best, id int32) float32 { return logits[best] - logits[id] }

func total(all []plainChoice) (sum float64) {
	for _, c := range all {
		sum += c.weight
	}
	return sum
}

// plainDraw returns the token that r, in 0..1, stands for.
func plainDraw(all []plainChoice, r float64) (id int32, near float64) {
	near = 1
	sum := total(all)
	reach := 0.0
	for _, c := range all {
		reach += c.weight
		near = min(near, math.Abs(reach/sum-r))
		if reach > r*sum {
			return c.id, near
		}
	}
	return all[len(all)-1].id, near
}

// rounding is how near to a border a cut or a draw may fall on the wrong side of it.
const rounding = 1e-12

// checkPick draws from a row and compares with the twin: the token, and where something is cut, the
// tokens that are left.
func checkPick(t *testing.T, s Sampling, logits []float32) {
	t.Helper()
	want, near := plain(s, logits)
	var d Distribution
	best := d.fill(logits)
	if best != argmax(logits) {
		t.Fatalf("%d logits: the likeliest is %d, want %d", len(logits), best, argmax(logits))
	}
	if near < rounding || best < 0 {
		return
	}
	if s.limits(len(logits)) {
		got := slices.Clone(s.choices(&d))
		slices.SortFunc(got, func(a, b choice) int { return cmp.Compare(a.key, b.key) })
		if len(got) != len(want) {
			t.Fatalf("%+v of %d logits: %d choices, want %d", s, len(logits), len(got), len(want))
		}
		for i, c := range got {
			if c.id() != want[i].id || math.Abs(c.weight/want[i].weight-1) > 1e-13 {
				t.Fatalf("%+v of %d logits: choice %d is token %d with %g, want %d with %g",
					s, len(logits), i, c.id(), c.weight, want[i].id, want[i].weight)
			}
		}
	}
	one, twin := New(s, nil, nil, 0), New(s, nil, nil, 0)
	for range 4 {
		id, ok := one.Draw(slices.Clone(logits), &d)
		r := float64(twin.rand.Uint64()>>11) / (1 << 53)
		wantID, near := plainDraw(want, r)
		if !ok || id != wantID && near > rounding {
			t.Fatalf("%+v of %d logits: drew %d at %g, want %d", s, len(logits), id, r, wantID)
		}
	}
}

// randomRow returns logits of some kind: of few values, so that ties are common, or of all kinds of
// spread, with and without damage, and masked ones.
func randomRow(r *rand.Rand, n int) []float32 {
	logits := make([]float32, n)
	spread := math.Exp2(float64(r.IntN(14)) - 6)
	ties, damaged, masked := r.IntN(3) == 0, r.IntN(4) == 0, r.IntN(4) == 0
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * spread)
		if ties {
			logits[i] = float32(r.IntN(40)) / 8
		}
		if masked && r.IntN(64) > 0 {
			logits[i] = float32(math.Inf(-1))
		}
		if damaged && r.IntN(16) == 0 {
			logits[i] = []float32{
				float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
				math.MaxFloat32, -math.MaxFloat32, 0, float32(math.Copysign(0, -1)),
			}[r.IntN(7)]
		}
	}
	return logits
}

func randomSampling(r *rand.Rand) Sampling {
	s := Sampling{Temperature: math.Exp2(r.Float64()*10 - 6), Seed: r.Uint64()}
	if r.IntN(3) == 0 {
		s.MinP = r.Float64() * r.Float64()
	}
	if r.IntN(2) == 0 {
		s.TopK = 1 + r.IntN(1+r.IntN(400))
	}
	if r.IntN(2) == 0 {
		s.TopP = 1 - r.Float64()*r.Float64()
	}
	return s
}

// The tokens drawn are those of the definition, whatever short cuts lead to them.
func TestPick(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 4000 {
		n := 1 + r.IntN(60)
		if i%4 == 0 {
			n = 1 + r.IntN(3000)
		}
		checkPick(t, randomSampling(r), randomRow(r, n))
	}
	for _, n := range []int{1 << 16, 262144} { // shared by goroutines
		for range 3 {
			checkPick(t, randomSampling(r), randomRow(r, n))
		}
	}
}

func FuzzPick(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 0, 64}, 1.0, 0, 0.9, 0.0, uint64(1))
	f.Add([]byte{0, 0, 192, 127, 0, 0, 128, 127, 0, 0, 128, 255, 1, 0, 0, 0}, 1e-320, 2, 0.0, 0.1,
		uint64(2))
	f.Add(slices.Repeat([]byte{1, 2, 128, 65, 0, 0, 0, 64}, 200), 1e300, 0, 1e-9, 1.0, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, temperature float64, topK int, topP, minP float64,
		seed uint64) {
		s := Sampling{Temperature: temperature, TopK: topK, TopP: topP, MinP: minP, Seed: seed}
		if s.Validate(0) != nil || temperature == 0 || len(data) < 4 {
			return
		}
		logits := make([]float32, len(data)/4)
		for i := range logits {
			logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		checkPick(t, s, logits)
	})
}

// A draw depends on the logits and the seed, and on nothing else: not on how many goroutines there
// are, nor on what the Distribution held before.
func TestPickIsTheSameOnAnyMachine(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var used Distribution
	for range 10 {
		logits, s := randomRow(r, 150000), randomSampling(r)
		var ids []int32
		var sums []float64
		for _, workers := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(workers)
			one := New(s, nil, nil, 0)
			for range 3 {
				id, _ := one.pick(logits, &used)
				ids = append(ids, id)
			}
			var fresh Distribution
			fresh.fill(logits)
			sums = append(sums, fresh.weigh(s.Temperature))
			runtime.GOMAXPROCS(before)
		}
		same := slices.Equal(ids[:3], ids[3:6]) && slices.Equal(ids[:3], ids[6:])
		if !same || sums[0] != sums[1] || sums[0] != sums[2] {
			t.Fatalf("%+v: with 1, 2 and 7 processors %v are drawn, from sums of %v", s, ids, sums)
		}
	}
}

// A weight is e^x to about the last digits of a float64.
func TestWeight(t *testing.T) {
	for _, temperature := range []float64{0.1, 0.7, 1, 3} {
		s := newScale(2, temperature)
		for d := 0.0; d/temperature < maxHalve*ln2; d += 0.00137 {
			l := float32(2 - d)
			got, want := s.weight(s.distance(l)), math.Exp(float64(l-2)/temperature)
			if math.Abs(got/want-1) > 2e-14 {
				t.Fatalf("at a distance of %g and a temperature of %g the weight is %v, want %v",
					2-l, temperature, got, want)
			}
		}
		if s.weight(0) != 1 {
			t.Errorf("the likeliest weighs %v", s.weight(0))
		}
	}
}

// Draws follow the probabilities. The seeds are fixed, so the test is not a lottery.
func TestDraw(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	logits := []float32{1, 3, 2, 0, nan, -inf, inf}
	s := Sampling{Temperature: 1, TopP: 0.95}
	probs, _ := plain(s, logits)
	counts := make(map[int32]int)
	var d Distribution
	const draws = 20000
	for seed := range uint64(draws) {
		s.Seed = seed
		one := New(s, nil, nil, 0)
		id, ok := one.Draw(logits, &d)
		if !ok {
			t.Fatal("nothing drawn")
		}
		counts[id]++
	}
	for _, c := range probs {
		got, want := float64(counts[c.id])/draws, c.weight/total(probs)
		if math.Abs(got-want) > 0.01 {
			t.Errorf("token %d was drawn with frequency %.3f, its probability is %.3f",
				c.id, got, want)
		}
	}
	if len(counts) != len(probs) {
		t.Errorf("drawn: %v, want only %d tokens", counts, len(probs))
	}
}

func TestArgmax(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 3, 2}, 1},
		{[]float32{nan, -5, inf, -4}, 3},
		{[]float32{-inf, -math.MaxFloat32}, 1},
		{[]float32{nan, inf, -inf}, -1},
		{nil, -1},
	} {
		var d Distribution
		if got := d.fill(c.logits); got != c.want || argmax(c.logits) != c.want {
			t.Errorf("the likeliest of %v is %d, want %d", c.logits, got, c.want)
		}
	}
}

// Bias and penalties move the greedy choice as their definitions say, and a mask has the last word.
func TestAdjust(t *testing.T) {
	const none = -1
	row := []float32{0, 1, 2, 3}
	draws := func(how Sampling, mask func([]int32, []float32)) (ids []int32) {
		s := New(how, nil, mask, 0)
		var d Distribution
		for range 6 {
			id, ok := s.Draw(slices.Clone(row), &d)
			if !ok {
				id = none
			}
			ids = append(ids, id)
		}
		return ids
	}
	for _, test := range []struct {
		name string
		how  Sampling
		mask func([]int32, []float32)
		want []int32
	}{
		{"bias", Sampling{Bias: map[int32]float64{0: 3.5, 3: -1}}, nil, []int32{0, 0, 0, 0, 0, 0}},
		{"presence, once", Sampling{Presence: 1.5}, nil, []int32{3, 2, 3, 3, 3, 3}},
		{"frequency, each time", Sampling{Frequency: 1.25}, nil, []int32{3, 2, 3, 1, 2, 3}},
		{"mask by position", Sampling{Bias: map[int32]float64{3: 100}}, func(answer []int32,
			logits []float32) {
			for id := range logits {
				if id != len(answer)%4 {
					logits[id] = float32(math.Inf(-1))
				}
			}
		}, []int32{0, 1, 2, 3, 0, 1}},
		{"a mask that leaves nothing", Sampling{Temperature: 1}, func(_ []int32, logits []float32) {
			for id := range logits {
				logits[id] = float32(math.Inf(-1))
			}
		}, []int32{none, none, none, none, none, none}},
	} {
		if got := draws(test.how, test.mask); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Repetition is of tokens of the prompt and of the answer, each once: what is likely becomes less
// so by division, and what is unlikely by multiplication.
func TestRepetition(t *testing.T) {
	for _, test := range []struct {
		row    []float32
		prompt []int32
		by     float64
		want   []int32
	}{
		{[]float32{-1, 1, 2, 3}, []int32{3, 3}, 2, []int32{2, 3, 3}},
		{[]float32{-1, -2}, []int32{0}, 3, []int32{1, 0, 0}},
		{[]float32{1, 2}, []int32{0}, 0.25, []int32{0, 0, 0}},
		{[]float32{1, 2}, []int32{1}, 1, []int32{1, 1, 1}},
		{[]float32{1, 2}, []int32{1}, 0, []int32{1, 1, 1}},
	} {
		s := New(Sampling{Repetition: test.by}, test.prompt, nil, 0)
		var d Distribution
		var got []int32
		for range test.want {
			id, _ := s.Draw(slices.Clone(test.row), &d)
			got = append(got, id)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v after %v by %v: %v, want %v", test.row, test.prompt, test.by, got, test.want)
		}
	}
}

// Log-probabilities are those of the model, however its logits are changed afterwards.
func TestLogprobs(t *testing.T) {
	row := []float32{1, 3, float32(math.Inf(-1)), 2}
	lse := math.Log(math.E + math.Exp(3) + math.Exp(2))
	s := New(Sampling{Bias: map[int32]float64{0: 100}}, nil, nil, 2)
	var d Distribution
	if id, ok := s.Draw(slices.Clone(row), &d); id != 0 || !ok {
		t.Fatalf("drew %d", id)
	}
	want := []Logprob{{0, 1 - lse}, {1, 3 - lse}, {3, 2 - lse}}
	near := func(a, b Logprob) bool { return a.ID == b.ID && math.Abs(a.Logprob-b.Logprob) < 1e-6 }
	if !slices.EqualFunc(s.Logprobs(), want, near) {
		t.Errorf("got %v, want %v", s.Logprobs(), want)
	}
}

// The log-probabilities of any row are those of the definition.
func TestLogprobsOfRandomRows(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	var d Distribution
	for i := range 300 {
		logits := randomRow(r, 1+r.IntN(3000))
		best, n := argmax(logits), 1+r.IntN(30)
		if best < 0 {
			continue
		}
		if i%50 == 0 {
			n = len(logits)
		}
		var ids []int32
		sum := 0.0
		for id, l := range logits {
			if l <= math.MaxFloat32 && l >= -math.MaxFloat32 && logits[best]-l <= impossible {
				sum += math.Exp(float64(l - logits[best]))
				ids = append(ids, int32(id))
			}
		}
		slices.SortStableFunc(ids, func(a, b int32) int {
			return cmp.Compare(distance(logits, best, a), distance(logits, best, b))
		})
		got := logprobs(logits, best, n, &d)
		if ids = append([]int32{best}, ids[:min(n, len(ids))]...); len(got) != len(ids) {
			t.Fatalf("%d log-probabilities, want %d", len(got), len(ids))
		}
		for i, p := range got {
			want := float64(logits[p.ID]) - float64(logits[best]) - math.Log(sum)
			if p.ID != ids[i] || math.Abs(p.Logprob-want) > 1e-9*max(1, math.Abs(want)) {
				t.Fatalf("log-probability %d is %v, want %d with %v", i, p, ids[i], want)
			}
		}
	}
}
