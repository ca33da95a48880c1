package page

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/soak"
)

// soaked is the page of a soak of so many windows of half a minute.
func soaked(t *testing.T, windows int) string {
	t.Helper()
	log := soak.NewLog(30 * time.Second)
	for second := range 30 * windows {
		at := time.Duration(second) * time.Second
		log.Add(at, &record.Record{Outcome: record.OK, Due: at, Sent: at,
			FirstContent: at + 20*time.Millisecond, End: at + time.Second/2})
	}
	var page bytes.Buffer
	if err := WriteSoak(&page, fixed(), soak.New(log.Windows())); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// A series that was too short to be judged has no tick beside it, and nothing on the page says that
// there is no trend.
func TestSoakTooShort(t *testing.T) {
	for windows, short := range map[int]bool{5: true, 30: false} {
		page := soaked(t, windows)
		for text, want := range map[string]bool{
			`class="panel met"`:      !short,
			"no trend to the worse":  !short,
			"too short to tell":      short,
			"Too short to tell a":    short,
			`<p class="note">around`: short,
		} {
			if strings.Contains(page, text) != want {
				t.Errorf("%d windows: %q is on the page: %v, want %v", windows, text, !want, want)
			}
		}
	}
}
