package responses

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
	"loadstone/internal/seal"
)

var pairs = flag.Bool("pairs", false, "have every pair of disk calls fail, not only one pair in 64")

// A trial runs an episode of a store on a file system of which certain calls fail, and knows what
// clients were told.
type trial struct {
	filestest.Faults
	sim   *filestest.Sim
	plant filestest.Op // a sync that does nothing; "": none
	keys  [][]byte     // of the second start
	store *Store

	made     int             // responses put so far
	put      map[string]bool // what was put: true where it was said to be stored
	may      map[string]states
	secret   string // an encrypted_content that was given out
	problems []string
}

// states are those in which a response may be after a loss of power.
type states struct{ there, gone bool }

const sweepDir = "data/responses"

// sweepLimits let the oldest of an owner's responses go.
var sweepLimits = Limits{Responses: 3}

func (tr *trial) fail(format string, args ...any) {
	tr.problems = append(tr.problems, fmt.Sprintf(format, args...))
}

// boot begins a process on the file system.
func (tr *trial) boot() files.System {
	tr.Dead = false
	sys := tr.sim.System()
	if tr.plant != "" {
		sys = filestest.Without{System: sys, Left: tr.plant}
	}
	return &filestest.Tap{System: sys, Before: tr.Before}
}

// open opens the store, as a start of the server does; a start that fails is tried again.
func (tr *trial) open(keys [][]byte) bool {
	sys := tr.boot()
	for range 3 {
		s, err := OpenStore(sys, sweepDir, sweepLimits, keys...)
		if tr.store = s; err == nil {
			return true
		}
	}
	return false
}

func owner(id string) string { return []string{"bob", "ann"}[id[len(id)-1]%2] } // A is ann's

// response returns the response with an id, which shows in all of it.
func response(id, agent string) *Stored {
	text := json.RawMessage(`{"id":"` + id + `","output":["` + strings.Repeat(id, 20) + `"]}`)
	return &Stored{ID: id, Agent: agent, Input: []json.RawMessage{text}, Response: text}
}

// stores puts a response, of an agent or of none, and returns its id.
func (tr *trial) stores(agent string, sync bool) string {
	// The ids end in A to Z; their owner follows from that.
	id := responsePrefix + strings.Repeat("A", 25) + string(rune('A'+tr.made))
	tr.made++
	time.Sleep(time.Millisecond) // the limits ask which is the oldest
	err := tr.store.Of(owner(id)).Put(response(id, agent), sync)
	said := err == nil && !tr.Dead
	tr.put[id] = said
	tr.may[id] = states{there: true, gone: !said || !sync}
	tr.get(id)
	return id
}

// get reads a response. It is what was put, or the reason that it is not is a fault.
func (tr *trial) get(id string) {
	got, err := tr.store.Of(owner(id)).Get(id)
	switch want := response(id, ""); {
	case err == nil && (got.Owner != owner(id) || !bytes.Equal(got.Response, want.Response) ||
		!bytes.Equal(got.Input[0], want.Input[0])):
		tr.fail("%s is served otherwise than it was put", id)
	case tr.Dead:
	case err == nil && !tr.may[id].there:
		tr.fail("%s is there", id)
	case errors.Is(err, ErrNotFound) && tr.put[id] && !tr.may[id].gone:
		tr.fail("%s is not there", id)
	case err != nil && !errors.Is(err, ErrNotFound) && len(tr.At) == 0:
		tr.fail("%s: %v", id, err)
	}
	if other, err := tr.store.Of("mallory").Get(id); err == nil {
		tr.fail("%s is given to another: %v", id, other)
	}
}

// deleted notes that responses were to be deleted.
func (tr *trial) deleted(err error, ids ...string) {
	for _, id := range ids {
		switch {
		case errors.Is(err, ErrNotFound):
		case err == nil && !tr.Dead:
			tr.may[id] = states{gone: true}
		default: // the client was told that it may be there
			tr.may[id] = states{tr.may[id].there, true}
		}
	}
}

// trims notes that the oldest of an owner may go, and may come back: only limits want that.
func (tr *trial) trims(ids ...string) {
	for _, id := range ids {
		tr.may[id] = states{tr.may[id].there, true}
	}
}

// episode is what a server does with responses in its life: two starts, the second with a key if
// there is one.
func (tr *trial) episode() {
	if !tr.open(nil) {
		return
	}
	a := tr.stores("", true)                       // ann's
	b := tr.stores("x", true)                      // bob's
	tr.stores("", false)                           // ann's
	d := tr.stores("x", true)                      // bob's
	e := tr.stores("", true)                       // ann's
	tr.deleted(tr.store.Of(owner(e)).Delete(e), e) //
	tr.deleted(tr.store.Of("bob").Forget("x"), b, d)
	if content := tr.store.Of("ann").seal([]byte("thought")); !tr.Dead {
		tr.secret = content
	}

	if !tr.open(tr.keys) {
		return
	}
	if tr.secret != "" && len(tr.keys) == 0 { // with a key, what was sealed without it is another's
		tr.unseal()
	}
	tr.get(a)
	for range 4 { // two each: ann's oldest go
		tr.stores("", true)
		tr.trims(a, responsePrefix+strings.Repeat("A", 25)+"C")
	}
	for id := range tr.may {
		tr.get(id)
	}
}

// unseal opens the reasoning that was given out.
func (tr *trial) unseal() {
	if text, ok, err := tr.store.Of("ann").unseal("p", tr.secret); (text != "thought" || !ok) && !tr.Dead {
		tr.fail("reasoning that was given out cannot be opened: %q, %v, %v", text, ok, err)
	}
}

// check looks at a store that has started after what happened.
func (tr *trial) check() {
	tr.At = nil
	if !tr.open(tr.keys) {
		tr.fail("the store does not open")
		return
	}
	for _, id := range slices.Sorted(maps.Keys(tr.may)) {
		tr.get(id)
	}
	if tr.secret != "" && len(tr.keys) == 0 {
		tr.unseal()
	}
	tr.checkFiles()
	tr.stores("", true)
}

// checkFiles compares the index with the directory.
func (tr *trial) checkFiles() {
	var bytes int64
	sys := tr.sim.System()
	for _, folder := range tr.sim.Names(sweepDir) {
		infos, _ := sys.Infos(sweepDir + "/" + folder)
		for _, f := range infos {
			if bytes += f.Size(); !strings.HasSuffix(f.Name(), ".json") {
				tr.fail("%s is left", f.Name())
			}
		}
	}
	if bytes != tr.store.bytes {
		tr.fail("the index has %d bytes, the directory %d", tr.store.bytes, bytes)
	}
}

// try runs an episode with faults, loses the power, and looks.
func try(plant filestest.Op, faults map[int]filestest.Fault, seed uint64, keys [][]byte) *trial {
	tr := &trial{sim: filestest.NewSim(), plant: plant, keys: keys, put: map[string]bool{},
		may: map[string]states{}}
	tr.At = faults
	tr.episode()
	tr.sim.Crash(filestest.Survivors(seed))
	tr.check()
	tr.At = faults // for the report
	return tr
}

// sweepSeeds is how many losses of power each fault is tried with.
const sweepSeeds = 3

func quiet(t *testing.T) {
	logs := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(logs) })
}

// TestSweep has each call of the disk in an episode fail in each way, and pairs of them, and then
// the power go. What a client was told is stored is there, what it was told is deleted is not, no
// half file is served, and the store works.
func TestSweep(t *testing.T) {
	quiet(t)
	for name, keys := range map[string][][]byte{
		"plain": nil, "sealed": {bytes.Repeat([]byte{1}, seal.KeyBytes)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sweep(t, keys) })
		})
	}
}

func sweep(t *testing.T, keys [][]byte) {
	var sound *trial
	for seed := range uint64(sweepSeeds) {
		sound = try("", nil, seed, keys)
		report(t, sound)
	}
	single, double := 0, 0
	for n := 1; n <= sound.Calls; n++ {
		for i, first := range filestest.AllFaults {
			for seed := range uint64(sweepSeeds) {
				single++
				report(t, try("", map[int]filestest.Fault{n: first}, seed, keys))
			}
			if first == filestest.PowerLoss {
				continue
			}
			for m := n + 1; m <= sound.Calls; m++ {
				if !*pairs && (n*31+m*7+i)%64 != 0 {
					continue
				}
				second := filestest.AllFaults[(n+m+i)%len(filestest.AllFaults)]
				double++
				report(t, try("", map[int]filestest.Fault{n: first, m: second}, uint64(double%sweepSeeds), keys))
			}
		}
	}
	t.Logf("%d calls of the disk; %d trials with one fault, %d with two", sound.Calls, single, double)
}

// A store that leaves out a sync is found by a loss of power at the end of an episode without any
// other fault.
func TestSweepFinds(t *testing.T) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		for _, plant := range []filestest.Op{filestest.Sync, filestest.SyncDir} {
			found := ""
			for seed := range uint64(sweepSeeds) {
				if tr := try(plant, nil, seed, nil); len(tr.problems) > 0 {
					found = tr.problems[0]
				}
			}
			if t.Logf("without %s: %s", plant, found); found == "" {
				t.Errorf("a store without %s is not found", plant)
			}
		}
	})
}

// report fails the test with what is wrong with a trial.
func report(t *testing.T, tr *trial) {
	t.Helper()
	if len(tr.problems) > 0 {
		t.Fatalf("%s: %s", tr.Faults.String(), strings.Join(tr.problems, "; "))
	}
}

// FuzzStored reads any bytes as the file of a response: it is the owner's with that id, or not
// found.
func FuzzStored(f *testing.F) {
	id := responsePrefix + strings.Repeat("A", 26)
	r := response(id, "x")
	r.Owner = "ann"
	whole, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte(`"ann"`), []byte(`"bob"`), 1))
	f.Add([]byte(`{"id":"` + id + `","owner":"ann","previous":"` + id + `","input":[null,7,{}],"response":7}`))
	f.Add([]byte("loadstone-seal-1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		slog.SetDefault(slog.New(slog.DiscardHandler))
		sys := filestest.NewSim().System()
		dir := sweepDir + "/" + folderOf("ann", "x")
		err := files.MakeDir(sys, dir)
		if err == nil {
			err = files.Replace(sys, dir+"/"+id+".json", "*.tmp", func(f files.File) error {
				_, err := f.Write(body)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(sys, sweepDir, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Of("ann").Get(id)
		if err == nil && (got.ID != id || got.Owner != "ann") {
			t.Errorf("it is of %q: %s", got.Owner, got.ID)
		}
		if err == nil {
			got.output()
			got.InputItems("", "", 20)
			c := conversation{store: s.Of("ann")}
			c.stored(strings.Replace(id, "resp_", "msg_", 1) + "_0")
			c.stored(strings.Replace(id, "resp_", "msg_", 1) + "_in0")
		}
		s.Of("ann").Conversation(id)
		if _, err := s.Of("bob").Get(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("another's: %v", err)
		}
	})
}
