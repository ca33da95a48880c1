package terminal

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal; what a program writes to tty can be read from master.
func terminal(t *testing.T, columns int) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	resize(t, tty, columns)
	return master, tty
}

func resize(t *testing.T, tty *os.File, columns int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ,
		&unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

// A real terminal is asked for its size at every drawing; one that calls itself dumb gets plain
// lines.
func TestProgressOnARealTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	master, tty := terminal(t, 150)
	p := NewProgress(tty, 2)
	s := &screen{width: 150}
	// read reads what was drawn, which may come in pieces, up to a mark behind it.
	read := func() {
		t.Helper()
		const mark = "\x1e"
		if _, err := tty.WriteString(mark); err != nil {
			t.Fatal(err)
		}
		var all []byte
		for piece := make([]byte, 4<<10); !bytes.HasSuffix(all, []byte(mark)); {
			n, err := master.Read(piece)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, piece[:n]...)
		}
		s.Write(bytes.TrimSuffix(all, []byte(mark)))
	}
	p.Show(after(2*time.Second, 5, 100, 0))
	read()
	if line := string(s.rows[0]); !strings.HasPrefix(line, "━━━━━──") ||
		!strings.Contains(line, "51.0 req/s  10 in flight  0 errors") {
		t.Errorf("drawn is %q", line)
	}
	resize(t, tty, 50)
	s.resize(50)
	p.Show(after(3*time.Second, 6, 120, 0))
	read()
	if line := string(s.rows[0]); len(s.rows) != 1 || len(line) >= 50 ||
		!strings.Contains(line, "6/20") {
		t.Errorf("after it was made narrower: %q", s.rows)
	}

	t.Setenv("TERM", "dumb")
	if p := NewProgress(tty, 2); p.width != nil {
		t.Error("a dumb terminal is redrawn")
	}
}
