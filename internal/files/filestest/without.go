package filestest

import "loadstone/internal/files"

// Without is a file system on which a sync does nothing, as with a store that forgets it.
type Without struct {
	files.System
	Left Op // Sync or SyncDir
}

func (w Without) SyncDir(dir string) error {
	if w.Left == SyncDir {
		return nil
	}
	return w.System.SyncDir(dir)
}

func (w Without) Create(dir, pattern string) (files.File, error) {
	f, err := w.System.Create(dir, pattern)
	if err == nil && w.Left == Sync {
		f = unsyncedFile{f}
	}
	return f, err
}

// Unsynced is a file system on which no sync does anything, so that a benchmark does not measure
// the disk.
func Unsynced(sys files.System) files.System {
	return Without{System: Without{System: sys, Left: Sync}, Left: SyncDir}
}

type unsyncedFile struct{ files.File }

func (unsyncedFile) Sync() error { return nil }
