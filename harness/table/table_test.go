package table

import (
	"slices"
	"testing"
	"time"

	"loadstone/harness/stats"
)

func TestAlign(t *testing.T) {
	got := Align([][]string{{"unit", "µs", ""}, {"a", "12.5", "worse"}, {"", "", ""}}, 0, 2)
	if want := []string{"unit    µs", "a     12.5  worse", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 123: "0.123 µs", 1500: "1.50 µs", 999_400: "999 µs", 999_600: "1.00 ms",
		999_999_999: "1.00 s",
		12_345_678:  "12.3 ms", 1_234_567_890: "1.23 s", stats.Never: "never", -1: "–",
		100 * time.Second: "100 s", 1234 * time.Second: "1234 s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Three(0.9996): "1.00", Three(1234): "1234", Percent(0): "0 %", Percent(0.0003): "< 0.1 %",
		Percent(0.9999): "100 %",
		Rate(99.96):     "100.0", Rate(123.4): "123", Bytes(1536): "1.5 KiB", Bytes(12): "12 B",
		Plural(1, "run"): "1 run",
		Plural(0, "run"): "0 runs", List([]string{"a", "b", "c"}): "a, b and c",
		Clip("grüße", 4): "grü…", OneLine(" a\n b"): "a b",
		OneLine("a\x1b[31mb\x1b[0m\u009b2J\x07\x7f c\r\nd\u2028e"): "a[31mb[0m2J c d e",
		OneLine("a\x9bb\u202ec"):                                   "a\ufffdbc",
		Plain("a\r\nb\tc\rd\x00"):                                  "a\nb\tc\nd",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
