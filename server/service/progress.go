package service

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// progress is the state of a load. The loader reports it, and the process shows it, unless the load
// takes less than a second: on a terminal as a bar, elsewhere as a line every few seconds.
type progress struct {
	done, total atomic.Int64 // bytes of weights

	w        io.Writer
	terminal bool
	model    string
	start    time.Time
	next     time.Time // when to show it again
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

// read reports how many bytes of the weights have been read.
func (p *progress) read(done, total int64) {
	p.total.Store(total)
	p.done.Store(done)
}

// show writes the state of the load if it is time to.
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
			fmt.Fprintf(p.w, "loading %s: %d %%, %.0f of %.0f MB\n",
				p.model, 100*done/total, float64(done)/1e6, float64(total)/1e6)
		}
		return
	}
	p.next = now.Add(100 * time.Millisecond)
	const width = 30
	full, share := 0, int64(0)
	if total > 0 {
		full, share = int(width*done/total), 100*done/total
	}
	fmt.Fprintf(p.w, "\r\x1b[2Kloading %s %s%s %3d %%  %.0f of %.0f MB",
		p.model, strings.Repeat("━", full), strings.Repeat("─", width-full),
		share, float64(done)/1e6, float64(total)/1e6)
}

// end removes the bar. The line that follows says how long the load took.
func (p *progress) end() {
	if p.shown && p.terminal {
		fmt.Fprint(p.w, "\r\x1b[2K")
	}
}
