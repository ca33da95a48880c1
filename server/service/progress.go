package service

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// progress is how far a load is: the loader says, and the daemon shows it, unless it is over within a second. On a
// terminal it is a bar, elsewhere a line every few seconds.
type progress struct {
	done, total atomic.Int64 // bytes of weights

	w        io.Writer
	terminal bool
	model    string
	start    time.Time
	next     time.Time // when something is to be shown again
	shown    bool
}

func newProgress(w io.Writer, model string) *progress {
	p := &progress{w: w, model: model, start: time.Now()}
	p.next = p.start.Add(time.Second)
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// read is told how much of the weights has been read.
func (p *progress) read(done, total int64) {
	p.total.Store(total)
	p.done.Store(done)
}

// show writes where the load is if it is time to.
func (p *progress) show(now time.Time) {
	if now.Before(p.next) {
		return
	}
	p.shown = true
	done, total := p.done.Load(), p.total.Load()
	if !p.terminal {
		p.next = now.Add(5 * time.Second)
		if total == 0 {
			fmt.Fprintf(p.w, "loading %s\n", p.model)
		} else {
			fmt.Fprintf(p.w, "loading %s: %d %%, %.0f of %.0f MB\n", p.model, 100*done/total, float64(done)/1e6, float64(total)/1e6)
		}
		return
	}
	p.next = now.Add(100 * time.Millisecond)
	const width = 30
	full, share := 0, int64(0)
	if total > 0 {
		full, share = int(width*done/total), 100*done/total
	}
	fmt.Fprintf(p.w, "\r\x1b[2Kloading %s %s%s %3d %%  %.0f of %.0f MB", p.model, strings.Repeat("━", full), strings.Repeat("─", width-full),
		share, float64(done)/1e6, float64(total)/1e6)
}

// end takes the bar away: what comes next says how long it took.
func (p *progress) end() {
	if p.shown && p.terminal {
		fmt.Fprint(p.w, "\r\x1b[2K")
	}
}
