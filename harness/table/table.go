// Package table sets tables, and the figures in them, for a reader at a console.
package table

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Align pads the cells of a table and puts two spaces between them: the columns named to the left, all others to the right. No
// line ends in spaces.
func Align(rows [][]string, left ...int) []string {
	widths := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for j, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if slices.Contains(left, i) {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		lines[j] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// Three prints three significant digits without an exponent.
func Three(f float64) string {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(f))))
	s := strconv.FormatFloat(f, 'f', max(digits, 0), 64)
	if digits == 3 && len(strings.TrimLeft(s, "0.")) > 3 { // 0.9996 -> 1.000
		s = s[:len(s)-1]
	}
	return s
}
