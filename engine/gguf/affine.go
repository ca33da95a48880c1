package gguf

import (
	"fmt"
	"math"
)

// affineGroup is the number of consecutive elements of a row that share a scale and a bias in the
// folders that Import writes.
const affineGroup = 32

// affineBits is the number of bits that an element of a quantised type takes in MLX's affine form;
// 0 for other types.
func (t Type) affineBits() int { return t.layout().affineBits }

// affine is a quantised weight in MLX's form: element = scale*q + bias, with one scale and one bias
// for each 32 elements. The numbers q of affineBits bits fill little-endian words of 32 bits, the
// first q in the lowest bits.
//
// Scales are float32, so every type but Q2_K, Q3_K and Q6_K is converted without any loss:
// llama.cpp multiplies its float16 scales only by powers of two or by six-bit numbers, and the
// values of IQ4 and MXFP4 are whole numbers of 8 and 5 bits. The three have a scale for each 16
// elements, which MLX does not support, so they are rounded to 8 bits; that step is a quarter of
// Q6_K's own, and less of the others'.
type affine struct {
	words          []uint32 // rows x columns*bits/32
	scales, biases []float32
}

// add appends the elements of raw, which is whole blocks of a quantised type.
func (a *affine) add(t Type, raw []byte) {
	l := t.layout()
	values := make([]float32, l.elements)
	for b := raw; len(b) > 0; b = b[l.bytes:] {
		l.dequantize(values, b[:l.bytes])
		for g := range l.elements / affineGroup {
			group := values[g*affineGroup:][:affineGroup]
			scale, bias := t.affineOf(b, g, group)
			a.scales, a.biases = append(a.scales, scale), append(a.biases, bias)
			a.pack(group, scale, bias, t.affineBits())
		}
	}
}

// affineOf returns the scale and the bias of group g of block b. values are the group's elements.
func (t Type) affineOf(b []byte, g int, values []float32) (scale, bias float32) {
	switch d := float16(b); t {
	case Q4_0:
		return d, -8 * d
	case Q4_1, Q5_1:
		return d, float16(b[2:])
	case Q5_0:
		return d, -16 * d
	case Q8_0, IQ4_NL:
		return d, -128 * d
	case IQ4_XS:
		d = scaleIQ4_XS(b, g)
		return d, -128 * d
	case MXFP4:
		d = scaleMXFP4(b)
		return d, -12 * d
	case TQ1_0:
		d = float16(b[52:])
		return d, -d
	case TQ2_0:
		d = float16(b[64:])
		return d, -d
	case Q4_K, Q5_K:
		s, low := unpackQ4_K(b[4:16], g)
		return d * float32(s), -(float16(b[2:]) * float32(low))
	case Q2_K, Q3_K, Q6_K:
		for _, v := range values {
			scale = max(scale, float32(math.Abs(float64(v))))
		}
		return scale / 127, -128 * (scale / 127)
	}
	panic(fmt.Sprintf("gguf: %s is not quantised", t))
}

// pack appends one group. Division recovers the stored number q: (scale*q + bias - bias) / scale is
// within a hundredth of q, because bias is at most 128 times scale and float32 has 24 bits. Only
// Q4_K's bias may be larger, and its q has 4 bits.
func (a *affine) pack(values []float32, scale, bias float32, bits int) {
	largest := float64(int(1)<<bits - 1)
	var word uint64
	have := 0
	for _, v := range values {
		q := 0.0
		if scale != 0 {
			q = math.Round((float64(v) - float64(bias)) / float64(scale))
			q = min(max(q, 0), largest)
		}
		word |= uint64(q) << have
		if have += bits; have >= 32 {
			a.words = append(a.words, uint32(word))
			word, have = word>>32, have-32
		}
	}
}
