package checkpoint

import (
	"encoding/binary"
	"math"
)

func appendF32(out []float32, raw []byte) []float32 {
	for ; len(raw) >= 4; raw = raw[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return out
}

func appendBF16(out []float32, raw []byte) []float32 {
	for ; len(raw) >= 2; raw = raw[2:] {
		out = append(out, math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw))<<16))
	}
	return out
}

func appendF16(out []float32, raw []byte) []float32 {
	for ; len(raw) >= 2; raw = raw[2:] {
		out = append(out, HalfToFloat(binary.LittleEndian.Uint16(raw)))
	}
	return out
}

// HalfToFloat widens an IEEE 754 binary16; it is exact.
func HalfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac units of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// FloatToHalf rounds to the nearest binary16, ties to even; a number that is too large becomes an
// infinity.
func FloatToHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign, abs := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case abs > 0xff<<23: // NaN
		return sign | 0x7e00
	case abs >= 0x477ff000: // 65520 is half way from the largest finite value to the next power of two
		return sign | 0x7c00
	case abs < 113<<23: // below the smallest normal value, 2^-14
		// The sum with 1/2 has units of 2^-24 in its low bits.
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-126<<23)
	}
	abs += 0xfff + abs>>13&1
	return sign | uint16((abs-112<<23)>>13)
}

// floatToBrain rounds to the nearest bfloat16, ties to even.
func floatToBrain(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return uint16(b>>16) | 0x40 // the carry below could make an infinity of a NaN
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
