package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is the format in which a tensor's elements are stored. The numbers are ggml's.
type Type uint32

const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q8_0 Type = 8
	Q4_K Type = 12
	Q6_K Type = 14
	BF16 Type = 30
)

// layout describes one block of a type: so many elements are stored together in so many bytes.
type layout struct {
	typ             Type
	name            string
	elements, bytes int
	dequantize      func(dst []float32, block []byte)
}

var layouts = [...]layout{
	{F32, "F32", 1, 4, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
	}},
	{F16, "F16", 1, 2, func(dst []float32, b []byte) { dst[0] = float16(b) }},
	{BF16, "BF16", 1, 2, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}},
	{Q4_0, "Q4_0", 32, 2 + 16, dequantizeQ4_0},
	{Q4_1, "Q4_1", 32, 2 + 2 + 16, dequantizeQ4_1},
	{Q5_0, "Q5_0", 32, 2 + 4 + 16, dequantizeQ5_0},
	{Q8_0, "Q8_0", 32, 2 + 32, dequantizeQ8_0},
	{Q4_K, "Q4_K", 256, 2 + 2 + 12 + 128, dequantizeQ4_K},
	{Q6_K, "Q6_K", 256, 128 + 64 + 16 + 2, dequantizeQ6_K},
}

// layout returns the layout of a type, the zero value for a type that is not supported.
func (t Type) layout() layout {
	for _, l := range layouts {
		if l.typ == t {
			return l
		}
	}
	return layout{}
}

func (t Type) String() string {
	if l := t.layout(); l.bytes != 0 {
		return l.name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

func typeNames() []string {
	var names []string
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return names
}

// bytes is the number of bytes of n elements, which are whole blocks.
func (t Type) bytes(n int) int {
	l := t.layout()
	return n / l.elements * l.bytes
}

// dequantize expands whole blocks. len(src) is t.bytes(len(dst)).
func (t Type) dequantize(dst []float32, src []byte) {
	l := t.layout()
	for len(src) > 0 {
		l.dequantize(dst[:l.elements:l.elements], src[:l.bytes:l.bytes])
		dst, src = dst[l.elements:], src[l.bytes:]
	}
}

// float16 converts an IEEE 754 binary16.
func float16(b []byte) float32 {
	h := uint32(binary.LittleEndian.Uint16(b))
	sign, exp, frac := h>>15<<31, h>>10&0x1f, h&0x3ff
	switch exp {
	case 0: // zero or subnormal: frac * 2^-24, which float32 holds exactly
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// The functions below convert products to float32 before they add them. Otherwise Go may fuse the
// two operations on some machines, and the last bit would differ from ggml's and from one machine
// to another.
//
// The layouts are those of ggml: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.

// dequantizeQ4_0 expands a scale and 32 nibbles, from which 8 is subtracted. The low nibbles are
// the first half.
func dequantizeQ4_0(dst []float32, b []byte) {
	d := float16(b)
	for i, q := range b[2:18] {
		dst[i] = d * float32(int(q&15)-8)
		dst[i+16] = d * float32(int(q>>4)-8)
	}
}

// dequantizeQ4_1 expands a scale, a minimum and 32 nibbles.
func dequantizeQ4_1(dst []float32, b []byte) {
	d, m := float16(b), float16(b[2:])
	for i, q := range b[4:20] {
		dst[i] = float32(d*float32(q&15)) + m
		dst[i+16] = float32(d*float32(q>>4)) + m
	}
}

// dequantizeQ5_0 expands a scale, the fifth bits of 32 numbers and their 32 nibbles. From each
// number 16 is subtracted.
func dequantizeQ5_0(dst []float32, b []byte) {
	d, high := float16(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		dst[i] = d * float32(int(q&15)|int(high>>i&1)<<4-16)
		dst[i+16] = d * float32(int(q>>4)|int(high>>(i+16)&1)<<4-16)
	}
}

// dequantizeQ8_0 expands a scale and 32 signed bytes.
func dequantizeQ8_0(dst []float32, b []byte) {
	d := float16(b)
	for i, q := range b[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

// dequantizeQ4_K expands a scale of scales, a scale of minima, eight pairs of a 6-bit scale and a
// 6-bit minimum in 12 bytes, and 256 nibbles. Groups 2k and 2k+1 are the low and the high nibbles
// of the same 32 bytes.
func dequantizeQ4_K(dst []float32, b []byte) {
	d, dmin := float16(b), float16(b[2:])
	packed, nibbles := b[4:16], b[16:144]
	for g := range 8 {
		scale, low := unpackQ4_K(packed, g)
		ds, m := d*float32(scale), dmin*float32(low)
		for i, q := range nibbles[g/2*32 : g/2*32+32] {
			dst[g*32+i] = float32(ds*float32(q>>(g%2*4)&15)) - m
		}
	}
}

// unpackQ4_K returns the scale and the minimum of group g. Those of the first four groups are the
// low six bits of bytes 0-3 and 4-7. Those of the other groups have four bits in bytes 8-11 and two
// in the top of bytes 0-3 and 4-7.
func unpackQ4_K(p []byte, g int) (scale, low byte) {
	if g < 4 {
		return p[g] & 63, p[g+4] & 63
	}
	return p[g+4]&15 | p[g-4]>>6<<4, p[g+4]>>4 | p[g]>>6<<4
}

// dequantizeQ6_K expands 128 bytes of low nibbles, 64 bytes of two high bits each, 16 signed scales
// and their scale. From each number 32 is subtracted. Each half of 128 elements has 64 bytes of
// nibbles and 32 of high bits.
func dequantizeQ6_K(dst []float32, b []byte) {
	scales, d := b[192:208], float16(b[208:])
	for half := range 2 {
		low, high := b[half*64:half*64+64], b[128+half*32:128+half*32+32]
		for i := range 128 {
			l := low[i%64] >> (i / 64 * 4) & 15
			h := high[i%32] >> (i / 32 * 2) & 3
			e := half*128 + i
			dst[e] = float32(d*float32(int8(scales[e/16]))) * float32(int(l|h<<4)-32)
		}
	}
}
