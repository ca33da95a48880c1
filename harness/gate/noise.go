package gate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/perf/benchfmt"
)

// WriteNoise writes a noise floor of the sessions of earlier, which is one that WriteNoise wrote or
// a File without a Reader, and of one more: an A/A measurement, the same server measured twice in
// turns, of which base and head are the sides. Each result has the configuration keys side and
// session, the time at which its session began. The runs themselves are kept, not percentiles of
// them: how much noise is to be expected depends on how many runs a gate compares.
//
// An error is of the files, an [*UnlikeError] where the sessions are unlike, or a [*FailedError]
// where one of them is no measurement. It returns the sessions that the floor then has.
func WriteNoise(w io.Writer, earlier, base, head File) (Sessions, error) {
	sides := []input{{noiseSide, earlier}, {baseSide, base}, {headSide, head}}
	if earlier.Reader == nil {
		sides = sides[1:]
	}
	texts := map[string][]byte{}
	for i := range sides {
		body, err := io.ReadAll(sides[i].Reader)
		if err != nil {
			return Sessions{}, fmt.Errorf("%s: %w", sides[i].Name, err)
		}
		texts[sides[i].side], sides[i].Reader = body, bytes.NewReader(body)
	}
	p, err := read(sides, &Options{})
	if err == nil {
		err = p.checkNoise(base, head, earlier)
	}
	if err != nil {
		return Sessions{}, err
	}
	names := p.noiseSessions()
	name := p.sessionName(len(names))
	if slices.Contains(names, name) {
		return Sessions{}, fmt.Errorf("%s: the session of %s is in it already", earlier.Name, name)
	}
	all := sessionsOf(append(names, name))
	out := noiseWriter{w: w, out: benchfmt.NewWriter(w), units: map[benchfmt.UnitMetadataKey]bool{}}
	if _, err := fmt.Fprintf(w, "# A/A measurement: the same server measured twice, in turns; %s\n",
		all); err != nil {
		return all, err
	}
	if err := out.loads(p); err != nil {
		return all, err
	}
	for _, side := range sides {
		own := name
		if side.side == noiseSide {
			own = "" // each result has its own
		}
		if err := out.side(p.texts[side.side], side.side, own); err != nil {
			return all, err
		}
	}
	return all, nil
}

// checkNoise refuses files that no noise floor can be made of.
func (p *pool) checkNoise(base, head, earlier File) error {
	o := &Options{}
	err := errors.Join(p.must(baseSide, base.Name, o), p.must(headSide, head.Name, o))
	unlike := p.unlike(baseSide, headSide, nil)
	if earlier.Reader != nil {
		err = errors.Join(err, p.must(noiseBase, earlier.Name, o),
			p.must(noiseHead, earlier.Name, o))
		unlike = append(unlike, p.unlike(baseSide, noiseBase, nil)...)
	}
	switch {
	case err != nil:
		return err
	case len(p.failures) > 0:
		return &FailedError{p.failures}
	case len(unlike) > 0:
		return &UnlikeError{unlike}
	}
	return nil
}

// sessionName is that of the new session: when it began, or its number after so many others.
func (p *pool) sessionName(others int) string {
	if of := p.sessions[baseSide]; len(of) > 0 && !of[0].start.IsZero() {
		return of[0].start.UTC().Format(time.RFC3339)
	}
	return strconv.Itoa(others + 1)
}

// A noiseWriter writes the results of several files as one.
type noiseWriter struct {
	w     io.Writer
	out   *benchfmt.Writer
	units map[benchfmt.UnitMetadataKey]bool // that were written
}

// loads writes the identities of the loads, which are alike in all files.
func (n *noiseWriter) loads(p *pool) error {
	written := map[string]bool{}
	for _, side := range []string{noiseSide, baseSide} {
		t := p.texts[side]
		if t == nil {
			continue
		}
		for _, d := range t.lines {
			if d.session != nil || written[d.name] {
				continue
			}
			written[d.name] = true
			if _, err := fmt.Fprintf(n.w, "Load %s %s\n", d.name, d.asked.Text()); err != nil {
				return err
			}
		}
	}
	return nil
}

// side writes the results of a file with the side and the session that they are of, "" as they say
// themselves.
func (n *noiseWriter) side(t *text, side, session string) error {
	var in benchfmt.Reader
	in.Reset(bytes.NewReader(t.body), t.name)
	for in.Scan() {
		record := in.Result()
		switch r := record.(type) {
		case *benchfmt.UnitMetadata:
			if n.units[r.UnitMetadataKey] {
				continue
			}
			n.units[r.UnitMetadataKey] = true
		case *benchfmt.Result:
			r = r.Clone() // the reader goes on with its own
			if side != noiseSide {
				r.SetConfig(sideKey, side)
			}
			if own := r.GetConfig(sessionKey); session != "" || own == "" {
				r.SetConfig(sessionKey, cmp.Or(session, own, "1"))
			}
			for i := range r.Config {
				r.Config[i].File = true
			}
			record = r
		}
		if err := n.out.Write(record); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// bySession are the runs of both sides of an A/A measurement, by session.
func (s *samples) bySession() [][2][]float64 {
	var sessions [][2][]float64
	place := map[string]int{}
	for i, side := range []string{noiseBase, noiseHead} {
		for j, v := range s.values[side] {
			name := s.sessions[side][j]
			k, ok := place[name]
			if !ok {
				k = len(sessions)
				place[name], sessions = k, append(sessions, [2][]float64{})
			}
			sessions[k][i] = append(sessions[k][i], v)
		}
	}
	return sessions
}

// noise is the noise floor of a cell within a session: the 95th percentile of the change between
// two sides of n runs that are the same server, false where there are too few runs to tell.
//
// Each session has the runs of its two sides in the order of its rounds. The sides of a round are
// exchangeable, so each window of n rounds gives many such comparisons, with their labels swapped
// at random. Rounds stay whole, because the machine's drift between rounds is noise as well, which
// swapping all runs would leave out. What differs between sessions is not in it; see
// [betweenSessions].
func noise(sessions [][2][]float64, n int, points bool) (floor float64, ok bool) {
	const draws = 400
	var found []float64
	for _, s := range sessions {
		base, head := s[0], s[1]
		rounds := min(len(base), len(head))
		if rounds < 2 || n < 2 {
			continue
		}
		n := min(n, rounds) // fewer rounds than runs: too large a floor rather than too small a one
		windows := rounds - n + 1
		rng := rand.New(rand.NewPCG(1, uint64(rounds)))
		a, b, buf := make([]float64, n), make([]float64, n), make([]float64, n*n)
		for i := range draws / len(sessions) {
			from := i % windows
			for j := range n {
				a[j], b[j] = base[from+j], head[from+j]
				if rng.Uint64()&1 == 0 {
					a[j], b[j] = b[j], a[j]
				}
			}
			buf = changes(buf, a, b, points)
			found = append(found, math.Abs(middle(buf)))
		}
	}
	if len(found) == 0 {
		return 0, false
	}
	slices.Sort(found)
	return found[len(found)*95/100], true
}
