package ref

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loadstone/engine/ref/oracle"
)

// TestBytesPerToken checks the size of a token's KV against the formula: 4, 2, 1.0625 and 0.5625
// bytes an element.
func TestBytesPerToken(t *testing.T) {
	for _, n := range []struct {
		name                   string
		layers, heads, headDim int
		want                   map[string]int
	}{
		{"SmolLM2-135M", 30, 3, 64, map[string]int{"f32": 46080, "f16": 23040, "q8": 12240, "q4": 6480}},
		{"Gemma 3 270M", 18, 1, 256, map[string]int{"f32": 36864, "f16": 18432, "q8": 9792, "q4": 5184}},
		{"Llama 3.1 8B", 32, 8, 128, map[string]int{"f32": 262144, "f16": 131072, "q8": 69632, "q4": 36864}},
	} {
		for kv, want := range n.want {
			f, err := parseFormat(kv)
			if err != nil {
				t.Fatal(err)
			}
			if got := 2 * n.layers * n.heads * f.size(n.headDim); got != want {
				t.Errorf("%s at %s: %d bytes a token, want %d", n.name, kv, got, want)
			}
		}
	}
	if _, err := parseFormat("q5"); err == nil {
		t.Error("q5 is accepted as a format")
	}
}

// TestFormats checks that a decoded vector of any length is as near to the encoded one as the
// format allows.
func TestFormats(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, f := range kvFormats {
		for _, n := range []int{1, 2, 3, 8, 16, 32, 63, 64, 65, 80, 128, 256} {
			for _, scale := range []float32{0, 1e-9, 1e-3, 1, 30, 6e4, 1e30} {
				x := make([]float32, n)
				for i := range x {
					x[i] = float32(rng.NormFloat64()) * scale
				}
				row, got := make([]byte, f.size(n)), make([]float32, n)
				f.encode(row, x)
				f.decode(got, row)
				if f.rotates() {
					for i, v := range x {
						x[i] = finite(v)
					}
					rotate(x)
				}
				for at := 0; at < n; at += groupSize {
					group := x[at:min(n, at+groupSize)]
					low, high := float64(finite(slices.Min(group))),
						float64(finite(slices.Max(group)))
					var off float64
					switch f.Bits {
					case 16: // half the distance between two neighbouring numbers
						off = max(math.Abs(low), math.Abs(high))/2048 + 0x1p-25
					case 8, 4:
						// Half a step, and the rounding of scale and bias, which shows at the ends
						// of the range.
						levels := float64(int(1)<<f.Bits - 1)
						off = (high-low)/levels*0.501 + (high-low)/2048 +
							math.Abs(low)/2048 + levels*0x1p-25
					}
					for i, v := range group {
						if d := math.Abs(float64(finite(v) - got[at+i])); f.Bits < 32 &&
							!(d <= off) {
							t.Fatalf("%s, %d elements of %g: %v comes back as %v, off by %g; at most %g",
								f.Name, n, scale, v, got[at+i], d, off)
						}
						if f.Bits == 32 && v != got[at+i] {
							t.Fatalf("f32: %v comes back as %v", v, got[at+i])
						}
					}
				}
			}
		}
	}
}

// TestRotation checks that rotate keeps dot products, that unrotate undoes it, and that it spreads
// a single large element evenly.
func TestRotation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 3, 8, 16, 64, 80, 128, 256, 512} {
		x, y := make([]float32, n), make([]float32, n)
		for i := range n {
			x[i], y[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
		}
		product := func(x, y []float32) (sum float64) {
			for i := range x {
				sum += float64(x[i]) * float64(y[i])
			}
			return sum
		}
		rx, ry := slices.Clone(x), slices.Clone(y)
		rotate(rx)
		rotate(ry)
		if want, got := product(x, y), product(rx, ry); math.Abs(got-want) > 1e-5*float64(n) {
			t.Errorf("%d elements: product %g, rotated %g", n, want, got)
		}
		unrotate(rx)
		for i := range x {
			if math.Abs(float64(rx[i]-x[i])) > 1e-5 {
				t.Errorf("%d elements: element %d is %g, was %g", n, i, rx[i], x[i])
			}
		}
		clear(x)
		x[n/2] = 1
		rotate(x)
		for i, v := range x {
			size := float64(n & -n) // rows of the Hadamard matrix
			if want := 1 / math.Sqrt(size); v != 0 && math.Abs(math.Abs(float64(v))-want) > 1e-6 ||
				v == 0 && n == n&-n {
				t.Errorf("%d elements, of which one was 1: element %d is %g, want %g",
					n, i, v, want)
			}
		}
	}
}

// FuzzFormat checks that any vector can be encoded, that any bytes can be decoded, and that no
// finite or infinite number becomes NaN or infinite.
func FuzzFormat(f *testing.F) {
	// Infinities, NaN and the smallest number.
	f.Add([]byte{0, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff, 0, 0, 0xc0, 0x7f, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		x := make([]float32, len(data)/4)
		if len(x) == 0 {
			return
		}
		copy(x, floats(append([]byte(nil), data...)))
		for _, f := range kvFormats {
			row, back := make([]byte, f.size(len(x))), make([]float32, len(x))
			f.encode(row, x)
			f.decode(back, row)
			if f.Bits < 32 && !slices.ContainsFunc(x, func(v float32) bool { return v != v }) {
				for i, v := range back {
					if v != v || v-v != 0 {
						t.Fatalf("%s: %v becomes %v", f.Name, x[i], v)
					}
				}
			}
			copy(row, data)
			f.decode(back, row)
		}
	})
}

// TestFormatsAgainstFloat32 bounds the distance between a format's logits and float32's, whose
// standard deviation is 1.5, for two networks. Their heads have 16 and 32 elements, so a group is
// half of one in real models or less.
func TestFormatsAgainstFloat32(t *testing.T) {
	for _, kind := range []string{"gemma3", "llama"} {
		want := run(t, newModel(t, kind, ""), prompt(newModel(t, kind, "").Vocab()))
		for kv, limit := range map[string]float64{"f16": 8e-3, "q8": 0.15, "q4": 2.2} {
			got := run(t, newModelKV(t, kind, "", kv), prompt(newModel(t, kind, "").Vocab()))
			worst := 0.0
			for i := range want {
				worst = max(worst, math.Abs(float64(got[i]-want[i])))
			}
			t.Logf("%s, %s: largest difference %.2g", kind, kv, worst)
			if !(worst <= limit) {
				t.Errorf("%s, %s: a logit is off by %g, at most %g allowed", kind, kv, worst, limit)
			}
			if worst == 0 {
				t.Errorf("%s, %s: the logits are those of float32: the cache ignores its format",
					kind, kv)
			}
		}
	}
}

// BenchmarkFormat encodes and decodes a vector of 256 elements.
func BenchmarkFormat(b *testing.B) {
	x := oracle.Uniform("x", 256)
	for _, f := range kvFormats {
		row := make([]byte, f.size(len(x)))
		b.Run("kv="+f.Name+"/encode", func(b *testing.B) {
			b.SetBytes(int64(4 * len(x)))
			for b.Loop() {
				f.encode(row, x)
			}
		})
		b.Run("kv="+f.Name+"/decode", func(b *testing.B) {
			b.SetBytes(int64(4 * len(x)))
			for b.Loop() {
				f.decode(x, row)
			}
		})
	}
}
