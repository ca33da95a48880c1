// Package table sets tables for a reader at a console, and the numbers and words in them and in
// every other text that people read.
package table

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Align pads the cells of a table and puts two spaces between them. The columns whose indices are
// given are set to the left, all others to the right. No line ends in spaces.
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
