// Package script has the text form of an episode: what a world is made of, and what happens in it.
//
// A script is lines. The first says the seed of everything that no line says, such as how a
// network cuts a stream into pieces. The second says how the server is set up. Each other line is
// an action: not before when, by whom, what, and how. What one client does, it does in order.
//
//	seed 17
//	world pool=160 batch=4 principals=ann,bob
//	0s ann/a1 turn api=chat stream=yes max=8 say=kettle.moon
//	1.2s op restart drain=2s
//
// Lines that begin with # are ignored.
package script

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Script is an episode.
type Script struct {
	Seed    uint64
	World   Args
	Actions []Action
}

// An Action is what a client does, or what happens to the server.
type Action struct {
	At   time.Duration // since the episode began; later if the client is not done before
	Who  string        // PRINCIPAL/AGENT, PRINCIPAL/-NAME for requests without an agent, or Operator
	Verb string
	Args Args
}

// Operator is who acts on the server, its disk and its model.
const Operator = "op"

// Args are settings of the form key=value, with no spaces.
type Args []string

// Get returns the value of a key, "" if there is none.
func (a Args) Get(key string) string {
	for _, s := range a {
		if k, v, _ := strings.Cut(s, "="); k == key {
			return v
		}
	}
	return ""
}

// Int returns the value of a key as a number, 0 if there is none.
func (a Args) Int(key string) int {
	n, _ := strconv.Atoi(a.Get(key)) // Parse has refused what is no number
	return n
}

// Duration returns the value of a key as a time, 0 if there is none.
func (a Args) Duration(key string) time.Duration {
	d, _ := time.ParseDuration(a.Get(key))
	return d
}

// Yes reports whether the value of a key is yes.
func (a Args) Yes(key string) bool { return a.Get(key) == "yes" }

func (a Action) String() string {
	s := a.At.String() + " " + a.Who + " " + a.Verb
	if len(a.Args) > 0 {
		s += " " + strings.Join(a.Args, " ")
	}
	return s
}

func (s Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nworld %s\n", s.Seed, strings.Join(s.World, " "))
	for _, a := range s.Actions {
		fmt.Fprintln(&b, a)
	}
	return b.String()
}

// Parse reads a script.
func Parse(r io.Reader) (Script, error) {
	var s Script
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.add(words); err != nil {
			return s, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s, lines.Err()
}

func (s *Script) add(words []string) (err error) {
	switch words[0] {
	case "seed":
		if len(words) != 2 {
			return fmt.Errorf("want: seed NUMBER")
		}
		s.Seed, err = strconv.ParseUint(words[1], 10, 64)
		return err
	case "world":
		s.World = words[1:]
		return s.World.check()
	}
	if len(words) < 3 {
		return fmt.Errorf("%q; want WHEN WHO WHAT and KEY=VALUE for each parameter",
			strings.Join(words, " "))
	}
	a := Action{Who: words[1], Verb: words[2], Args: words[3:]}
	if a.At, err = time.ParseDuration(words[0]); err != nil {
		return err
	}
	s.Actions = append(s.Actions, a)
	return a.Args.check()
}

func (a Args) check() error {
	for _, s := range a {
		if k, v, ok := strings.Cut(s, "="); !ok || k == "" || v == "" {
			return fmt.Errorf("%q; want KEY=VALUE", s)
		}
	}
	return nil
}
