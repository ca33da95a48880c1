package harness

import (
	"fmt"

	"loadstone/harness/load"
	"loadstone/harness/proc"
)

// A FilesError says that a load has more requests in flight at once than this process may open
// files: every connection is one.
type FilesError struct {
	Load   string
	AtOnce int // requests
	Limit  int // of open files
	Others int // that the process needs beside the connections
}

func (e *FilesError) Error() string {
	return fmt.Sprintf(
		"load %s has %d requests in flight at once and needs %d open files, one for "+
			"each and %d others, but this process may open %d (ulimit -n); raise the limit, or ask for "+
			"less at once",
		e.Load,
		e.AtOnce,
		e.AtOnce+e.Others,
		e.Others,
		e.Limit,
	)
}

// spareFiles are those that a measurement may open beside its connections and those that are open
// already: files of results, a scrape of /metrics, the pipes of a server that is restarted.
const spareFiles = 16

// files refuses a plan that would run into the limit of open files.
func (plan Plan) files() error {
	limit, open := proc.FileLimit()
	if limit == 0 {
		return nil
	}
	for _, l := range plan.Loads {
		levels := plan.Levels
		if s := plan.Search; s != nil {
			levels = []load.Level{levelOf(s, s.High)}
		}
		for _, level := range levels {
			at := l.At(level)
			if n := at.AtOnce(); n+open+spareFiles > limit {
				return &FilesError{l.Name, n, limit, open + spareFiles}
			}
		}
	}
	return nil
}
