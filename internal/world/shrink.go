package world

import (
	"context"
	"slices"

	"loadstone/internal/world/script"
)

// Shrink returns the smallest script that it finds in so many tries which fails by the same
// invariant: without actions, and then without settings, that it does not need.
func (g *Guest) Shrink(
	ctx context.Context, s script.Script, invariant string, tries int,
) script.Script {
	fails := func(s script.Script) bool {
		if tries--; tries < 0 {
			return false
		}
		r, err := g.Run(ctx, s)
		return err == nil && r.Invariant == invariant
	}
	for size := max(1, len(s.Actions)/2); ; size /= 2 {
		for at := 0; at < len(s.Actions); {
			less := s
			less.Actions = slices.Delete(slices.Clone(s.Actions), at, min(at+size, len(s.Actions)))
			if fails(less) {
				s = less
			} else {
				at += size
			}
		}
		if size <= 1 {
			break
		}
	}
	s.World = shrinkArgs(s.World, func(a script.Args) bool {
		less := s
		less.World = a
		return fails(less)
	})
	for i := range s.Actions {
		s.Actions[i].Args = shrinkArgs(s.Actions[i].Args, func(a script.Args) bool {
			less := s
			less.Actions = slices.Clone(s.Actions)
			less.Actions[i].Args = a
			return fails(less)
		})
	}
	return s
}

func shrinkArgs(a script.Args, fails func(script.Args) bool) script.Args {
	for at := 0; at < len(a); {
		if less := slices.Delete(slices.Clone(a), at, at+1); fails(less) {
			a = less
		} else {
			at++
		}
	}
	return a
}
