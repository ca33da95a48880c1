package ref

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"loadstone/engine/checkpoint"
)

// A format is how the cache stores one head's key or value of one token, a vector of D elements, by itself: what is in a
// block does not depend on what else is, so quantised caches are as exact as others in any batch and after any restart.
//
//	f32  4 bytes an element
//	f16  2 bytes an element, IEEE 754 binary16; what is too large becomes the largest finite value
//	q8   groups of 64 elements, the last of a vector may be shorter: scale and bias, both binary16, then codes of 8 bits;
//	     an element is bias + scale code. 1.0625 bytes an element where groups are whole
//	q4   the same with codes of 4 bits, the first half of a group in the low and the second in the high halves of the
//	     bytes: 0.5625 bytes an element. What is stored is the vector rotated (see rotation.go), and read so
//
// Numbers of 2 bytes are little-endian, float32 is as the machine has it, so that attention reads it where it lies.
type format struct {
	name string
	bits int
}

var formats = []format{{"f32", 32}, {"f16", 16}, {"q8", 8}, {"q4", 4}}

const groupSize = 64

func parseFormat(name string) (format, error) {
	for _, f := range formats {
		if f.name == name {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("unknown KV format %q; there are f32, f16, q8 and q4", name)
}

// size is how many bytes a vector of n elements takes.
func (f format) size(n int) int {
	if f.bits >= 16 {
		return n * f.bits / 8
	}
	whole, rest := n/groupSize, n%groupSize
	size := whole * (4 + groupSize*f.bits/8)
	if rest > 0 {
		size += 4 + (rest*f.bits+7)/8
	}
	return size
}

// encode writes vector x to dst, which has its size.
func (f format) encode(dst []byte, x []float32) {
	switch f.bits {
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

// quantise writes one group. The codes are chosen for the scale and the bias as rounded.
func (f format) quantise(dst []byte, x []float32) {
	low, high := x[0], x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	low, high = finite(low), finite(high)
	levels := float32(int(1)<<f.bits - 1)
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
		if f.bits == 8 {
			codes[i] = code
		} else {
			codes[i%middle] |= code << (i / middle * 4)
		}
	}
}

// decode reads a vector of len(x) elements from src, as it is stored.
func (f format) decode(x []float32, src []byte) {
	switch f.bits {
	case 32:
		copy(x, floats(src))
	case 16:
		for i := range x {
			h := binary.LittleEndian.Uint16(src[2*i:])
			if h&0x7c00 == 0x7c00 {
				x[i] = checkpoint.HalfToFloat(h)
				continue
			}
			// Exact for subnormals as well, and without a branch for them four times faster.
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

func (f format) dequantise(x []float32, src []byte) {
	scale := checkpoint.HalfToFloat(binary.LittleEndian.Uint16(src))
	bias := checkpoint.HalfToFloat(binary.LittleEndian.Uint16(src[2:]))
	codes := src[4:]
	if f.bits == 8 {
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

// half rounds to the nearest finite binary16. NaN stays NaN.
func half(v float32) uint16 { return checkpoint.FloatToHalf(finite(v)) }

func finite(v float32) float32 { return min(max(v, -65504), 65504) }
