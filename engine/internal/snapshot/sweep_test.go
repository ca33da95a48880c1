package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files/filestest"
	"loadstone/internal/seal"
)

var pairs = flag.Bool("pairs", false, "have every pair of disk calls fail in every way, not only "+
	"one pair in 128")

// A trial runs an episode of a store on a file system of which certain calls fail, and knows what
// the store has promised.
type trial struct {
	filestest.Faults
	sim   *filestest.Sim
	tap   *filestest.Tap
	keys  []*seal.Key
	store *Store

	plant filestest.Op // a sync that the store is made to leave out; "": none

	// may has for each agent the turns that may be on disk after a loss of power: a memory's number
	// of tokens, or none. pinned and durable have the marks that must be there; where a call has
	// failed, either is right and the agent is left out.
	may             map[string]map[int]bool
	pinned, durable map[string]bool
	exported        []byte
	problems        []string
}

const none = -1

// sweepSeeds is how many losses of power each single fault is tried with.
const sweepSeeds = 4

const sweepDir = "data/agents"

func newTrial(
	plant filestest.Op, faults map[int]filestest.Fault, keys []*seal.Key,
) *trial {
	tr := &trial{
		Faults: filestest.Faults{At: faults},
		plant:  plant, sim: filestest.NewSim(), keys: keys,
		may: map[string]map[int]bool{}, pinned: map[string]bool{}, durable: map[string]bool{},
	}
	tr.tap = &filestest.Tap{Before: tr.Before}
	tr.boot()
	return tr
}

// boot begins a process on the file system.
func (tr *trial) boot() {
	tr.tap.System, tr.Dead = tr.sim.System(), false
	if tr.plant != "" {
		tr.tap.System = filestest.Without{System: tr.tap.System, Left: tr.plant}
	}
}

func (tr *trial) fail(format string, args ...any) {
	tr.problems = append(tr.problems, fmt.Sprintf(format, args...))
}

// open opens the store, as a start of the server does; a start that fails is tried again.
func (tr *trial) open(quota int64) bool {
	for range 3 {
		s, err := OpenStore(tr.tap, sweepDir, small, quota, 0, tr.keys...)
		if tr.store = s; err == nil {
			return true
		}
	}
	return false
}

// turns returns what may be on disk of an agent.
func (tr *trial) turns(agent string) map[int]bool {
	if tr.may[agent] == nil {
		tr.may[agent] = map[int]bool{none: true}
	}
	return tr.may[agent]
}

// change notes that a call changes an agent's memory to a turn, and whether it has said so.
func (tr *trial) change(agent string, turn int, err error) {
	if err == nil && !tr.Dead {
		tr.may[agent] = map[int]bool{turn: true}
		return
	}
	tr.turns(agent)[turn] = true
}

func (tr *trial) save(agent string, turn int) {
	tr.change(agent, turn, tr.store.save(complete(small.of(agent, turn),
		func(int) byte { return byte(turn) })))
}

func (tr *trial) remove(agent string) {
	_, err := tr.store.Remove(named(agent), func(take func()) error { take(); return nil })
	tr.change(agent, none, err)
	tr.note(tr.pinned, agent, false, err)
	tr.note(tr.durable, agent, false, err)
}

// note notes that a call sets a mark, and whether it has said so.
func (tr *trial) note(marks map[string]bool, agent string, set bool, err error) {
	if errors.Is(err, ErrNoMemory) {
		return
	}
	if marks[agent] = set; err != nil || tr.Dead {
		delete(marks, agent)
	}
}

func (tr *trial) pin(agent string, pinned bool) {
	tr.note(tr.pinned, agent, pinned, tr.store.Pin(named(agent), pinned))
}

func (tr *trial) setDurable(agent string, durable bool) {
	tr.note(tr.durable, agent, durable, tr.store.SetDurable(named(agent), durable))
}

// rot changes a bit of an agent's file and reads the file, which sets it aside.
func (tr *trial) rot(agent string) {
	if tr.Dead || !tr.sim.Flip(filepath.Join(sweepDir, FileName(named(agent))), 1<<12) {
		return
	}
	tr.turns(agent)[none] = true
	if turn, err := tr.read(agent); err == nil && turn != none {
		tr.fail("a rotten memory of %s was read", agent)
	}
	if tr.store.Size(); tr.may[agent] != nil {
		tr.may[agent] = map[int]bool{none: true}
	}
}

// read returns the turn that an agent's memory is at.
func (tr *trial) read(agent string) (int, error) {
	if _, ok := tr.store.Find(named(agent)); !ok {
		return none, nil
	}
	m, err := tr.store.Open(named(agent))
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	defer m.Close()
	turn := m.header.Tokens
	for i := range m.sums {
		b, err := m.Chunk(i, make([]byte, m.header.ChunkBytes(i)))
		if err != nil {
			tr.store.Quarantine(m, named(agent), err)
			return none, err
		}
		for _, c := range b {
			if c != byte(turn) {
				return none, fmt.Errorf("turn %d has bytes of turn %d", turn, c)
			}
		}
	}
	return turn, nil
}

func (tr *trial) export(agent string) {
	var b bytes.Buffer
	if turn, _ := tr.read(agent); turn == none || tr.store.Export(named(agent), "bob", &b) != nil {
		return
	}
	tr.exported = b.Bytes()
}

// importExported takes in what was exported, for another principal: an export that succeeded must
// be importable even after a loss of power.
func (tr *trial) importExported() {
	if tr.exported == nil || len(tr.keys) > 0 { // an export from before the key is refused
		return
	}
	_, err := tr.store.Import("bob", bytes.NewReader(tr.exported), alone,
		func(_ kv.Agent, take func() error) error { return take() })
	if errors.Is(err, ErrForged) {
		tr.fail("an export is refused: %v", err)
	}
}

// episode is what a server does with memories in its life: two starts, the second of them with
// keys if there are any, and with a quota that lets one agent's memory go.
func (tr *trial) episode() {
	keys := tr.keys
	tr.keys = nil
	if !tr.open(1 << 20) {
		return
	}
	tr.save("ann", 3)
	tr.save("bob", 4)
	tr.change("new", 0, tr.store.Create(named("new"), false))
	tr.save("ann", 9) // in place of the one before
	tr.pin("bob", true)
	tr.setDurable("ann", true)
	tr.export("ann")
	tr.save("gone", 5)
	tr.remove("gone")
	tr.store.Touch(named("ann"))
	tr.save("rot", 6)
	tr.rot("rot")
	tr.store.Close()

	if tr.keys = keys; !tr.open(1 << 20) {
		return
	}
	tr.importExported()
	tr.save("bob", 11)
	tr.remove("new")
	tr.setDurable("ann", false)
	tr.pin("bob", false)
	tr.pin("ann", true)
	tr.store.quota = 1 // all but the pinned go
	tr.store.sweep(0, kv.Agent{})
	for agent := range tr.may {
		if !tr.pinned[agent] {
			tr.turns(agent)[none] = true
		}
	}
	tr.store.Close()
}

// check looks at a store that has started after what happened.
func (tr *trial) check() {
	tr.At = nil
	if !tr.open(1 << 20) {
		tr.fail("the store does not open")
		return
	}
	defer tr.store.Close()
	for _, agent := range slices.Sorted(maps.Keys(tr.may)) {
		turn, err := tr.read(agent)
		may := tr.may[agent]
		if tr.Full && !tr.pinned[agent] { // to make room
			may[none] = true
		}
		if !may[turn] || err != nil && !may[none] {
			tr.fail("%s is at turn %d (%v), may be at %v", agent, turn, err,
				slices.Sorted(maps.Keys(may)))
		}
		if x, ok := tr.store.Find(named(agent)); ok && tr.pinned[agent] && !x.Pinned {
			tr.fail("%s is not pinned", agent)
		}
	}
	for agent, want := range tr.durable {
		if got := tr.store.Durable(named(agent)); got != want {
			tr.fail("%s is durable: %v", agent, got)
		}
	}
	tr.importExported()
	tr.checkFiles()
	tr.save("zoe", 7)
	if turn, err := tr.read("zoe"); turn != 7 {
		tr.fail("a memory that is saved afterwards is at turn %d: %v", turn, err)
	}
}

// checkFiles compares the index with the directory.
func (tr *trial) checkFiles() {
	infos, err := tr.sim.System().Infos(sweepDir)
	if err != nil {
		tr.fail("%v", err)
	}
	var n int
	var bytes int64
	for _, f := range infos {
		switch {
		case strings.HasSuffix(f.Name(), ".tmp"):
			tr.fail("%s is left", f.Name())
		case strings.HasSuffix(f.Name(), ".memory"):
			n, bytes = n+1, bytes+f.Size()
		}
	}
	if files, size := tr.store.Size(); files != n || size != bytes {
		tr.fail("the index has %d files of %d bytes, the directory %d of %d", files, size, n, bytes)
	}
}

// try runs an episode with faults, loses the power, and looks. It returns the trial.
func try(plant filestest.Op, faults map[int]filestest.Fault, seed uint64, keys []*seal.Key) *trial {
	tr := newTrial(plant, faults, keys)
	tr.episode()
	tr.sim.Crash(filestest.Survivors(seed))
	tr.boot()
	tr.check()
	return tr
}

// TestSweep has each call of the disk in an episode fail in each way, and pairs of them, and then
// the power go. The memory that was promised is there, what was deleted is not, and the store
// works.
func TestSweep(t *testing.T) {
	quiet(t)
	for name, keys := range map[string][]*seal.Key{"plain": nil, "sealed": {key(t, 1)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sweep(t, keys) })
		})
	}
}

func sweep(t *testing.T, keys []*seal.Key) {
	sound := try("", nil, 0, keys)
	report(t, sound, nil)
	kinds := filestest.AllFaults
	trials := 0
	for n := 1; n <= sound.Calls; n++ {
		for _, kind := range kinds {
			for seed := range uint64(sweepSeeds) {
				trials++
				faults := map[int]filestest.Fault{n: kind}
				report(t, try("", faults, seed, keys), faults)
			}
		}
	}
	single := trials
	for n := 1; n <= sound.Calls; n++ {
		for m := n + 1; m <= sound.Calls+20; m++ { // a fault may make the episode longer
			for i, first := range kinds[:3] {
				for j, second := range kinds {
					if !*pairs && (n*31+m*7+i*4+j)%128 != 0 {
						continue
					}
					trials++
					faults := map[int]filestest.Fault{n: first, m: second}
					report(t, try("", faults, uint64(trials%4), keys), faults)
				}
			}
		}
	}
	t.Logf("%d calls of the disk; %d trials with one fault, %d with two", sound.Calls, single,
		trials-single)
}

// A store that leaves out a sync is found by a loss of power at the end of an episode without any
// other fault.
func TestSweepFinds(t *testing.T) {
	for _, plant := range []filestest.Op{filestest.Sync, filestest.SyncDir} {
		found := -1
		for seed := range uint64(sweepSeeds) {
			if tr := try(plant, nil, seed, nil); len(tr.problems) > 0 && found < 0 {
				found = int(seed)
				t.Logf("without %s, seed %d: %s", plant, seed, tr.problems[0])
			}
		}
		if found < 0 {
			t.Errorf("a store without %s is not found", plant)
		}
	}
}

// report fails the test with what is wrong with a trial.
func report(t *testing.T, tr *trial, faults map[int]filestest.Fault) {
	t.Helper()
	if len(tr.problems) == 0 {
		return
	}
	tr.At = faults
	t.Fatalf("%s: %s", tr.Faults.String(), strings.Join(tr.problems, "; "))
}
