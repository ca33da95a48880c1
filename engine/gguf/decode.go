package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// decoder reads little-endian values from the beginning of a file. It keeps the first error and
// returns zeros from then on, so a caller checks err once after a group of values.
type decoder struct {
	r    *bufio.Reader
	off  int64  // of the next byte
	size int64  // of the whole file
	what string // the key or tensor being read, for errors
	err  error
	buf  [8]byte
}

func newDecoder(r io.ReaderAt, size int64) *decoder {
	return &decoder{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16),
		size: size, what: "header"}
}

func (d *decoder) left() int64 { return d.size - d.off }

// fail keeps an error with the place in the file, unless there is one already.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d, %s: %s", d.off, d.what, fmt.Sprintf(format, args...))
	}
}

// read returns the next n <= 8 bytes.
func (d *decoder) read(n int) []byte {
	b := d.buf[:n]
	clear(b)
	if d.err != nil {
		return b
	}
	if int64(n) > d.left() {
		d.fail("the file ends here, in the middle of a value")
		return b
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail("%v", err)
		clear(b)
		return b
	}
	d.off += int64(n)
	return b
}

func (d *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(d.read(4)) }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.read(8)) }

// count reads the number of things that follow, each of which takes at least size bytes. A number
// for which the file has no room is an error, so every allocation is bounded by a small multiple of
// the file's size.
func (d *decoder) count(things string, size int64) int {
	at := d.off
	n := d.uint64()
	if d.err == nil && n > uint64(d.left()/size) {
		d.off = at
		d.fail("%d %s do not fit in the %d bytes that are left", n, things, d.size-at)
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count("bytes of text", 1)
	if d.err != nil || n == 0 {
		return ""
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail("%v", err)
		return ""
	}
	d.off += int64(n)
	return string(b)
}

// valueType is the type tag of a metadata value.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// maxNesting bounds arrays of arrays. Real files have none.
const maxNesting = 4

// value reads one metadata value: a Go integer or float of the stored width, a bool, a string, or a
// slice of these; an array of arrays is an []any.
func (d *decoder) value(t valueType, depth int) any {
	switch t {
	case typeUint8:
		return d.read(1)[0]
	case typeInt8:
		return int8(d.read(1)[0])
	case typeUint16:
		return binary.LittleEndian.Uint16(d.read(2))
	case typeInt16:
		return int16(binary.LittleEndian.Uint16(d.read(2)))
	case typeUint32:
		return d.uint32()
	case typeInt32:
		return int32(d.uint32())
	case typeFloat32:
		return math.Float32frombits(d.uint32())
	case typeBool:
		return d.bool()
	case typeString:
		return d.string()
	case typeArray:
		return d.array(depth)
	case typeUint64:
		return d.uint64()
	case typeInt64:
		return int64(d.uint64())
	case typeFloat64:
		return math.Float64frombits(d.uint64())
	}
	d.fail("value type %d is unknown", t)
	return nil
}

func (d *decoder) bool() bool {
	b := d.read(1)[0]
	if b > 1 {
		d.fail("a bool is %d, neither 0 nor 1", b)
	}
	return b == 1
}

// array reads an array, which stands depth arrays deep.
func (d *decoder) array(depth int) any {
	if depth == maxNesting {
		d.fail("arrays are nested more than %d deep", maxNesting)
		return nil
	}
	switch t := valueType(d.uint32()); t {
	case typeUint8:
		return elements[uint8](d, t, 1)
	case typeInt8:
		return elements[int8](d, t, 1)
	case typeUint16:
		return elements[uint16](d, t, 2)
	case typeInt16:
		return elements[int16](d, t, 2)
	case typeUint32:
		return elements[uint32](d, t, 4)
	case typeInt32:
		return elements[int32](d, t, 4)
	case typeFloat32:
		return elements[float32](d, t, 4)
	case typeBool:
		return elements[bool](d, t, 1)
	case typeString:
		return elements[string](d, t, 8)
	case typeUint64:
		return elements[uint64](d, t, 8)
	case typeInt64:
		return elements[int64](d, t, 8)
	case typeFloat64:
		return elements[float64](d, t, 8)
	case typeArray:
		n := d.count("arrays", 12)
		var list []any
		for i := 0; i < n && d.err == nil; i++ {
			list = append(list, d.array(depth+1))
		}
		return list
	default:
		d.fail("array element type %d is unknown", t)
		return nil
	}
}

// elements reads a count and as many values of type T, each of which takes at least size bytes in
// the file.
func elements[T any](d *decoder, t valueType, size int64) []T {
	n := d.count("array elements", size)
	list := make([]T, 0, n)
	for i := 0; i < n && d.err == nil; i++ {
		v := d.value(t, 0)
		if d.err == nil {
			list = append(list, v.(T))
		}
	}
	return list
}
