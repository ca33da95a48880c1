package ref

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"loadstone/engine/checkpoint"
)

// A KVFormat is a way to store KV. The cache stores one head's key or value of one token, a vector
// of D elements, by itself: the bytes of a vector depend on no other vector, so quantised caches
// are as exact as others in any batch and after any restart.
//
//	f32  4 bytes an element
//	f16  2 bytes an element, IEEE 754 binary16; a number beyond its range becomes the largest
//	     finite one
//	q8   groups of 64 elements, of which the last of a vector may be shorter: a scale and a bias,
//	     both binary16, then codes of 8 bits; an element is bias + scale code. It takes 1.0625
//	     bytes an element where groups are whole
//	q4   the same with codes of 4 bits: the first half of a group lies in the low halves of the
//	     bytes, the second in the high halves. It takes 0.5625 bytes an element. The vector is
//	     rotated before it is stored, and attention reads it rotated (see rotation.go)
//
// Numbers of 2 bytes are little-endian. A float32 has the machine's byte order, so that attention
// reads it where it lies.
type KVFormat struct {
	Name string // as New takes it and as KVFormat of a model returns it
	Bits int    // bits of one element, without its share of a group's scale and bias
}

// kvFormats is the one table of formats, from the most exact to the smallest.
var kvFormats = []KVFormat{{"f32", 32}, {"f16", 16}, {"q8", 8}, {"q4", 4}}

// KVFormats returns every format that New takes, from the most exact to the smallest.
func KVFormats() []KVFormat { return slices.Clone(kvFormats) }

// groupSize is the number of elements that share a scale and a bias.
const groupSize = 64

func parseFormat(name string) (KVFormat, error) {
	var names []string
	for _, f := range kvFormats {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return KVFormat{}, fmt.Errorf("unknown KV format %q; there are %s",
		name, strings.Join(names, ", "))
}

// size is the number of bytes that a vector of n elements takes.
func (f KVFormat) size(n int) int {
	if f.Bits >= 16 {
		return n * f.Bits / 8
	}
	whole, rest := n/groupSize, n%groupSize
	size := whole * (4 + groupSize*f.Bits/8)
	if rest > 0 {
		size += 4 + (rest*f.Bits+7)/8
	}
	return size
}

// encode writes the vector x to dst, whose length is f.size(len(x)).
func (f KVFormat) encode(dst []byte, x []float32) {
	switch f.Bits {
	case 32:
		copy(floats(dst), x)
	case 16:
		for i, v := range x {
			binary.LittleEndian.PutUint16(dst[2*i:], half(v))
		}
	default:
		if f.rotates() {
			x = slices.Clone(x)
			for i, v := range x {
				x[i] = finite(v)
			}
			rotate(x)
		}
		for len(x) > 0 {
			n := min(groupSize, len(x))
			size := f.size(n)
			f.quantise(dst[:size], x[:n])
			dst, x = dst[size:], x[n:]
		}
	}
}

// quantise writes one group. It chooses the codes for the scale and the bias as they are after
// rounding.
func (f KVFormat) quantise(dst []byte, x []float32) {
	low, high := x[0], x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	low, high = finite(low), finite(high)
	levels := float32(int(1)<<f.Bits - 1)
	s, b := half((high-low)/levels), half(low)
	binary.LittleEndian.PutUint16(dst, s)
	binary.LittleEndian.PutUint16(dst[2:], b)
	codes := dst[4:]
	clear(codes)
	scale, bias := checkpoint.HalfToFloat(s), checkpoint.HalfToFloat(b)
	if scale == 0 {
		return
	}
	inv, middle := 1/scale, (len(x)+1)/2
	for i, v := range x {
		code := byte(min(max(float32((v-bias)*inv)+0.5, 0), levels))
		if f.Bits == 8 {
			codes[i] = code
		} else {
			codes[i%middle] |= code << (i / middle * 4)
		}
	}
}

// decode reads a vector of len(x) elements from src. A vector that was stored rotated stays
// rotated.
func (f KVFormat) decode(x []float32, src []byte) {
	switch f.Bits {
	case 32:
		copy(x, floats(src))
	case 16:
		for i := range x {
			h := binary.LittleEndian.Uint16(src[2*i:])
			if h&0x7c00 == 0x7c00 {
				x[i] = checkpoint.HalfToFloat(h)
				continue
			}
			// This is exact for subnormals as well, and four times as fast as with a branch for
			// them.
			v := math.Float32frombits(uint32(h&0x7fff)<<13) * 0x1p112
			x[i] = math.Float32frombits(uint32(h&0x8000)<<16 | math.Float32bits(v))
		}
	default:
		for len(x) > 0 {
			n := min(groupSize, len(x))
			size := f.size(n)
			f.dequantise(x[:n], src[:size])
			x, src = x[n:], src[size:]
		}
	}
}

// dequantise reads one group.
func (f KVFormat) dequantise(x []float32, src []byte) {
	scale := checkpoint.HalfToFloat(binary.LittleEndian.Uint16(src))
	bias := checkpoint.HalfToFloat(binary.LittleEndian.Uint16(src[2:]))
	codes := src[4:]
	if f.Bits == 8 {
		for i, c := range codes[:len(x)] {
			x[i] = float32(scale*float32(c)) + bias
		}
		return
	}
	var table [16]float32
	for c := range table {
		table[c] = float32(scale*float32(c)) + bias
	}
	middle := (len(x) + 1) / 2
	for i, c := range codes[:middle] {
		x[i] = table[c&15]
	}
	for i, c := range codes[:len(x)-middle] {
		x[middle+i] = table[c>>4]
	}
}

// half returns the nearest finite binary16. NaN stays NaN.
func half(v float32) uint16 { return checkpoint.FloatToHalf(finite(v)) }

// finite clamps v to the range of binary16.
func finite(v float32) float32 { return min(max(v, -65504), 65504) }
