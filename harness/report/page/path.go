package page

import (
	"math"
	"strconv"
	"strings"
)

// px rounds to a tenth of a pixel: anything finer is invisible and only makes the file larger.
func px(v float64) float64 { return math.Round(v*10) / 10 }

// writePoint adds a command of a path, M or L, to a point.
func writePoint(b *strings.Builder, op byte, x, y float64) {
	b.WriteByte(op)
	b.WriteString(strconv.FormatFloat(x, 'f', -1, 64))
	b.WriteByte(' ')
	b.WriteString(strconv.FormatFloat(y, 'f', -1, 64))
}

// writeDot writes a line of no length, which the page's style gives a round or square cap: one path
// draws all dots.
func writeDot(b *strings.Builder, x, y float64) {
	writePoint(b, 'M', x, y)
	b.WriteString("h0")
}
