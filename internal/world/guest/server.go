package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
	"loadstone/internal/world/script"
	"loadstone/server"
)

// Settings say how the server of a world is set up.
type settings struct {
	names                                    []string // of principals; one without a key is ""
	pool, block                              int      // tokens
	batch, queue, stepTokens, perAgent       int
	rate, agentRate, inFlight                int
	drafts, seal                             bool
	sharing                                  engine.Sharing
	save, within, durableWait, stepTime, ttl time.Duration
	lag, diskLag                             time.Duration
	quota                                    int64
}

func newSettings(a script.Args) *settings {
	s := &settings{
		names:       strings.Split(cmp.Or(a.Get("principals"), "ann"), ","),
		pool:        cmp.Or(a.Int("pool"), 400),
		block:       cmp.Or(a.Int("block"), 4),
		batch:       a.Int("batch"),
		queue:       a.Int("queue"),
		stepTokens:  cmp.Or(a.Int("step-tokens"), 32),
		perAgent:    a.Int("per-agent"),
		rate:        a.Int("rate"),
		agentRate:   a.Int("agent-rate"),
		inFlight:    a.Int("in-flight"),
		drafts:      a.Get("drafts") != "no",
		seal:        a.Yes("seal"),
		save:        a.Duration("save"),
		within:      a.Duration("within"),
		durableWait: a.Duration("durable-wait"),
		stepTime:    cmp.Or(a.Duration("step"), time.Millisecond),
		ttl:         a.Duration("ttl"),
		lag:         a.Duration("lag"),
		diskLag:     a.Duration("disk-lag"),
		quota:       int64(a.Int("quota")),
	}
	if a.Get("keys") == "no" {
		s.names = []string{""}
	}
	if a.Get("sharing") == "none" {
		s.sharing = engine.ShareNone
	}
	return s
}

// forgetful reports whether a memory may be deleted that nobody has pinned.
func (s *settings) forgetful() bool { return s.quota > 0 || s.ttl > 0 }

// An instance is a server from its start to its end.
type instance struct {
	listener *listener
	http     *http.Server
	server   *server.Server
	engine   *engine.Engine
	model    *stepper
}

const memories = "/memories"

// maxBody is more than any body has that a client means.
const maxBody = 64 << 10

// start starts a server. One that cannot start, because its disk or its memory fails, is started
// again, as whatever supervises it would do.
func (w *world) start() {
	w.change.Lock()
	defer w.change.Unlock()
	for try := 1; ; try++ {
		err := w.tryStart()
		w.starts++
		if err == nil {
			return
		}
		w.log("server", "did not start: %v", err)
		if try > 30 {
			w.fail("start", "the server did not start in %d attempts: %v", try, err)
		}
		time.Sleep(time.Second)
	}
}

func (w *world) tryStart() error {
	quiet := slog.New(slog.DiscardHandler)
	slog.SetDefault(quiet)
	disk := &filestest.Tap{System: w.sim.System(), Before: w.disk}
	stored, err := server.OpenResponsesOn(disk, memories+"/responses", server.ResponseLimits{},
		w.sealKeys()...)
	if err != nil {
		return err
	}
	i := &instance{listener: w.network.listen()}
	i.server = server.New(server.Config{
		Model:       "world",
		Responses:   stored,
		Keys:        w.keys(),
		Rate:        w.rate,
		AgentRate:   w.agentRate,
		DurableWait: w.durableWait,
		MaxBody:     maxBody,
		AccessLog: slog.New(slog.NewTextHandler(logLines{w}, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey {
					return slog.Attr{}
				}
				return a
			}})),
		Log: slog.New(slog.NewTextHandler(logLines{w}, nil)),
	})
	i.http = &http.Server{
		Handler:           i.server,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(quiet.Handler(), slog.LevelWarn),
	}
	go i.http.Serve(i.listener)
	if err := w.open(i, disk); err != nil {
		i.http.Close()
		return err
	}
	w.running, w.ending = i, false
	return nil
}

// open starts the engine and gives it to the server.
func (w *world) open(i *instance, disk files.System) (err error) {
	m := &stepper{Model: newModel(), world: w}
	i.model = m
	if w.allocFault {
		w.allocFault, m.alloc = false, errors.New("out of memory")
		w.faults++
	}
	global, window := m.KVBytesPerToken()
	cfg := engine.Config{
		Model:       m,
		KVBytes:     int64(w.pool * (global + window)),
		BlockTokens: w.block,
		MaxBatch:    w.batch,
		MaxQueue:    w.queue,
		StepTokens:  w.stepTokens,
		MaxPerAgent: w.perAgent,
		NoDrafts:    !w.drafts,
		Sharing:     w.sharing,
		Dir:         memories,
		Fingerprint: "world",
		DiskBytes:   w.quota,
		TTL:         w.ttl,
		SaveAfter:   w.save,
		SaveWithin:  w.within,
		SealKeys:    w.sealKeys(),
		Files:       disk,
	}
	if i.engine, err = engine.New(cfg); err != nil {
		return errors.Join(err, m.Close())
	}
	i.server.Ready(i.engine, letters{})
	return nil
}

// sealKeys returns the keys that files are sealed with, nil for none.
func (w *world) sealKeys() [][]byte {
	if !w.seal {
		return nil
	}
	key := sha256.Sum256([]byte("a key"))
	return [][]byte{key[:]}
}

// logLines is the server's own log.
type logLines struct{ w *world }

func (l logLines) Write(b []byte) (int, error) {
	if line := string(b); strings.Contains(line, "level=ERROR") {
		if _, id, ok := strings.Cut(line, " request="); ok {
			id, _, _ = strings.Cut(strings.TrimSpace(id), " ")
			l.w.logged[id] = true
		}
	}
	l.w.log("server", "%s", strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// stop ends the server as a signal does: see service.Run.
func (w *world) stop(drain time.Duration) {
	w.change.Lock()
	defer w.change.Unlock()
	i := w.running
	w.ending = true
	w.stops++
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	asked := time.Now()
	cut := i.server.Drain(ctx)
	w.log("op", "drained: %v", cut)
	// A step cannot be interrupted, and every memory is written before the engine ends.
	if took := time.Since(asked); took > drain+hangTime+w.slowest() {
		w.fail("drain", "a drain of %v took %v", drain, took)
	}
	left := drain - time.Since(asked)
	if cut != nil {
		left = time.Second
	}
	ctx, cancel = context.WithTimeout(context.Background(), left)
	defer cancel()
	if err := i.http.Shutdown(ctx); err != nil {
		w.log("op", "shutdown: %v", err)
	}
	if st := i.engine.Stats(); st.Running != 0 || st.Queued != 0 {
		w.fail("drain", "%d requests run and %d wait after a drain", st.Running, st.Queued)
	}
	w.conserved(i)
	i.http.Close()
	must(i.engine.Close())
	w.stops++
	w.running = nil
	w.network.close()
}

// slowest is how long the disk may take for everything that a server saves at its end.
func (w *world) slowest() time.Duration { return 400*w.diskLag + 20*slowCall + time.Minute }

// power takes the power away. What the machine has sent is lost, and what its disk has not synced.
// The goroutines of the dead server are ended in the background; they reach nothing any more.
func (w *world) power() {
	w.change.Lock()
	i := w.running
	w.stops++
	w.crashes++
	w.network.close()
	i.listener.cut()
	w.sim.Crash(rand.New(rand.NewPCG(uint64(w.dice.Int64N(1<<62)), 1)))
	w.running = nil
	w.ghosts.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		i.http.Close()
		i.server.Drain(ctx)
		i.engine.Close()
	})
	w.change.Unlock()
	for _, p := range w.names {
		w.principals[p].crash()
	}
}

// operate does what the script has happen to the server.
func (w *world) operate(a script.Action) {
	switch a.Verb {
	case "restart":
		w.restart(a.Args.Duration("drain"))
	case "power":
		w.outage()
	case "keys":
		w.changeKey(a.Args.Get("who"), a.Args.Get("do"))
	case "disk":
		w.diskFaults = append(w.diskFaults, newDiskFault(a.Args))
	case "step":
		w.stepFault = &stepFault{a.Args.Get("do"), a.Args.Int("after")}
	case "alloc":
		w.allocFault = true
		w.restart(time.Minute)
	case "rot":
		w.rot(a.Args.Int("bit"))
	default:
		w.fail("script", "unknown verb %q", a.Verb)
	}
}

// outage takes the power away and gives it back.
func (w *world) outage() {
	w.turning.Lock()
	defer w.turning.Unlock()
	w.power()
	w.start()
}

func (w *world) restart(drain time.Duration) {
	w.turning.Lock()
	defer w.turning.Unlock()
	errors := w.diskErrors
	w.stop(drain)
	for _, p := range w.names {
		w.principals[p].restart(errors == w.diskErrors, w.forgetful())
	}
	w.start()
}

// keys returns the keys that the server takes.
func (w *world) keys() (keys []server.Key) {
	for _, name := range w.names {
		p := w.principals[name]
		if name == "" || p.revoked {
			continue
		}
		share := server.Share{Share: engine.Share{InFlight: w.inFlight}}
		keys = append(keys, server.Key{Principal: name, Secret: p.key, Share: share})
	}
	if w.names[0] != "" {
		// A server that demands keys must have one, though all others are revoked.
		keys = append(keys, server.Key{Principal: "nobody", Secret: "nobody's"})
	}
	return keys
}

// changeKey gives a principal another key, or none.
func (w *world) changeKey(who, do string) {
	p := w.principals[who]
	if p == nil || who == "" {
		return
	}
	w.keyChanges++
	// Who is not told goes on with the key that was revoked.
	if p.revoked = do == "revoke"; !p.revoked {
		p.keys++
		p.key = fmt.Sprintf("%s's %d", who, p.keys)
	}
	w.change.Lock()
	defer w.change.Unlock()
	if w.running != nil {
		must(w.running.server.SetKeys(w.keys(), nil))
	}
	w.keyChanges++
}
