package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is the format in which a tensor's elements are stored. The numbers are ggml's.
type Type uint32

const (
	F32    Type = 0
	F16    Type = 1
	Q4_0   Type = 2
	Q4_1   Type = 3
	Q5_0   Type = 6
	Q5_1   Type = 7
	Q8_0   Type = 8
	Q2_K   Type = 10
	Q3_K   Type = 11
	Q4_K   Type = 12
	Q5_K   Type = 13
	Q6_K   Type = 14
	IQ4_NL Type = 20
	IQ4_XS Type = 23
	BF16   Type = 30
	TQ1_0  Type = 34
	TQ2_0  Type = 35
	MXFP4  Type = 39
)

// layout describes one block of a type: so many elements are stored together in so many bytes.
type layout struct {
	typ             Type
	name            string
	elements, bytes int
	dequantize      func(dst []float32, block []byte)
	affineBits      int // of an element in MLX's affine form; 0: an import widens it to float32
}

var layouts = [...]layout{
	{F32, "F32", 1, 4, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
	}, 0},
	{F16, "F16", 1, 2, func(dst []float32, b []byte) { dst[0] = float16(b) }, 0},
	{BF16, "BF16", 1, 2, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}, 0},
	{Q4_0, "Q4_0", 32, 2 + 16, dequantizeQ4_0, 4},
	{Q4_1, "Q4_1", 32, 2 + 2 + 16, dequantizeQ4_1, 4},
	{Q5_0, "Q5_0", 32, 2 + 4 + 16, dequantizeQ5_0, 5},
	{Q5_1, "Q5_1", 32, 2 + 2 + 4 + 16, dequantizeQ5_1, 5},
	{Q8_0, "Q8_0", 32, 2 + 32, dequantizeQ8_0, 8},
	{Q2_K, "Q2_K", 256, 16 + 64 + 2 + 2, dequantizeQ2_K, 8},
	{Q3_K, "Q3_K", 256, 32 + 64 + 12 + 2, dequantizeQ3_K, 8},
	{Q4_K, "Q4_K", 256, 2 + 2 + 12 + 128, dequantizeQ4_K, 4},
	{Q5_K, "Q5_K", 256, 2 + 2 + 12 + 32 + 128, dequantizeQ5_K, 5},
	{Q6_K, "Q6_K", 256, 128 + 64 + 16 + 2, dequantizeQ6_K, 8},
	{IQ4_NL, "IQ4_NL", 32, 2 + 16, dequantizeIQ4_NL, 8},
	{IQ4_XS, "IQ4_XS", 256, 2 + 2 + 4 + 128, dequantizeIQ4_XS, 8},
	{TQ1_0, "TQ1_0", 256, 48 + 4 + 2, dequantizeTQ1_0, 2},
	{TQ2_0, "TQ2_0", 256, 64 + 2, dequantizeTQ2_0, 2},
	{MXFP4, "MXFP4", 32, 1 + 16, dequantizeMXFP4, 5},
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

// dequantizeQ5_1 expands a scale, a minimum, the fifth bits of 32 numbers and their 32 nibbles.
func dequantizeQ5_1(dst []float32, b []byte) {
	d, m, high := float16(b), float16(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		dst[i] = float32(d*float32(uint32(q&15)|high>>i&1<<4)) + m
		dst[i+16] = float32(d*float32(uint32(q>>4)|high>>(i+16)&1<<4)) + m
	}
}

// dequantizeQ8_0 expands a scale and 32 signed bytes.
func dequantizeQ8_0(dst []float32, b []byte) {
	d := float16(b)
	for i, q := range b[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

// dequantizeQ2_K expands 16 pairs of a 4-bit scale and a 4-bit minimum, 256 numbers of two bits, a
// scale of scales and one of minima. Each half of 128 elements has 32 bytes of numbers, four times
// 32 elements by their place in the bytes.
func dequantizeQ2_K(dst []float32, b []byte) {
	d, dmin := float16(b[80:]), float16(b[82:])
	for i := range dst {
		q := b[16+i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
		s := b[i/16]
		dl, ml := d*float32(s&15), dmin*float32(s>>4)
		dst[i] = float32(dl*float32(q)) - ml
	}
}

// dequantizeQ3_K expands 256 high bits, 256 numbers of two bits in Q2_K's order, 16 scales of six
// bits in 12 bytes, from which 32 is subtracted, and their scale. From a number whose high bit is
// 0, 4 is subtracted.
func dequantizeQ3_K(dst []float32, b []byte) {
	high, low, scales, d := b[:32], b[32:96], b[96:108], float16(b[108:])
	for i := range dst {
		g := i / 16
		s := scales[g%8] >> (g / 8 * 4) & 15
		s |= scales[8+g%4] >> (g / 4 * 2) & 3 << 4
		q := int(low[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3)
		if high[i%32]>>(i/32)&1 == 0 {
			q -= 4
		}
		dst[i] = float32(d*float32(int(s)-32)) * float32(q)
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

// dequantizeQ5_K expands the same with 32 bytes of fifth bits before the nibbles: bit g of byte i
// is that of element i of group g.
func dequantizeQ5_K(dst []float32, b []byte) {
	d, dmin := float16(b), float16(b[2:])
	packed, high, nibbles := b[4:16], b[16:48], b[48:176]
	for g := range 8 {
		scale, low := unpackQ4_K(packed, g)
		ds, m := d*float32(scale), dmin*float32(low)
		for i, q := range nibbles[g/2*32 : g/2*32+32] {
			dst[g*32+i] = float32(ds*float32(q>>(g%2*4)&15|high[i]>>g&1<<4)) - m
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

// valuesIQ4 are the numbers that IQ4's nibbles stand for, and valuesMXFP4 those of MXFP4, doubled.
var (
	valuesIQ4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89,
		113}
	valuesMXFP4 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

// lookUp expands 32 nibbles, of which the low ones are the first half.
func lookUp(dst []float32, nibbles []byte, d float32, values *[16]int8) {
	for i, q := range nibbles[:16] {
		dst[i], dst[i+16] = d*float32(values[q&15]), d*float32(values[q>>4])
	}
}

// dequantizeIQ4_NL expands a scale and 32 nibbles.
func dequantizeIQ4_NL(dst []float32, b []byte) {
	lookUp(dst, b[2:18], float16(b), &valuesIQ4)
}

// dequantizeIQ4_XS expands a scale, the two high and the four low bits of eight scales, from which
// 32 is subtracted, and eight times 32 nibbles.
func dequantizeIQ4_XS(dst []float32, b []byte) {
	for g := range 8 {
		lookUp(dst[g*32:], b[8+g*16:], scaleIQ4_XS(b, g), &valuesIQ4)
	}
}

func scaleIQ4_XS(b []byte, g int) float32 {
	low := b[4+g/2] >> (g % 2 * 4) & 15
	high := byte(binary.LittleEndian.Uint16(b[2:]) >> (2 * g) & 3)
	return float16(b) * float32(int(low|high<<4)-32)
}

// dequantizeMXFP4 expands a scale, which is a power of two, and 32 nibbles.
func dequantizeMXFP4(dst []float32, b []byte) { lookUp(dst, b[1:17], scaleMXFP4(b), &valuesMXFP4) }

// scaleMXFP4 returns half of the power of two, because the values are doubled.
func scaleMXFP4(b []byte) float32 {
	if b[0] < 2 {
		return math.Float32frombits(0x00200000 << b[0])
	}
	return math.Float32frombits(uint32(b[0]-1) << 23)
}

// dequantizeTQ1_0 expands 52 bytes of five digits of base 3 each (the last four of four), as a
// fraction of 256, and a scale. From each digit 1 is subtracted.
func dequantizeTQ1_0(dst []float32, b []byte) {
	d := float16(b[52:])
	at := 0
	for _, part := range []struct{ first, bytes, digits int }{{0, 32, 5}, {32, 16, 5}, {48, 4, 4}} {
		power := byte(1)
		for range part.digits {
			for _, q := range b[part.first:][:part.bytes] {
				dst[at] = d * float32(int(uint16(q*power)*3>>8)-1)
				at++
			}
			power *= 3
		}
	}
}

// dequantizeTQ2_0 expands 256 numbers of two bits in Q2_K's order, and a scale. From each number 1
// is subtracted.
func dequantizeTQ2_0(dst []float32, b []byte) {
	d := float16(b[64:])
	for i := range dst {
		dst[i] = d * float32(int(b[i/128*32+i%32]>>(i%128/32*2)&3)-1)
	}
}
