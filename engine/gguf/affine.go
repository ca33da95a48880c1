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
func (t Type) affineBits() int {
	switch t {
	case Q4_0, Q4_1, Q4_K:
		return 4
	case Q5_0:
		return 5
	case Q6_K, Q8_0:
		return 8
	}
	return 0
}

// affine is a quantised weight in MLX's form: element = scale*q + bias, with one scale and one bias
// for each 32 elements. The numbers q of affineBits bits fill little-endian words of 32 bits, the
// first q in the lowest bits.
//
// Scales are float32, so every type but Q6_K is converted without any loss: llama.cpp multiplies
// its float16 scales only by powers of two or by six-bit numbers. Q6_K has a scale for each 16
// elements, which MLX does not support, so it is rounded to 8 bits, whose step is a quarter of
// Q6_K's own.
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
	case Q4_1:
		return d, float16(b[2:])
	case Q5_0:
		return d, -16 * d
	case Q8_0:
		return d, -128 * d
	case Q4_K:
		s, low := unpackQ4_K(b[4:16], g)
		return d * float32(s), -(float16(b[2:]) * float32(low))
	case Q6_K:
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
