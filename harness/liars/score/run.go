package score

import (
	"context"
	"net"
	"sync"

	"loadstone/harness/client"
	"loadstone/harness/liars"
)

// Options say how the liars are run.
type Options struct {
	Scale    float64 // of the servers' times; 0 is 1
	Parallel int     // liars at once; they mostly wait. 0 is 8
	// OnJudged, unless nil, is called with each judgement as it is made, one at a time.
	OnJudged func(liars.Judgement)
}

// Run puts Loadstone before each liar, on loopback. It ends early where the context does.
func Run(ctx context.Context, all []*liars.Liar, o Options) (liars.Score, error) {
	if o.Scale <= 0 {
		o.Scale = 1
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	judged := make([]liars.Judgement, len(all))
	places := make(chan struct{}, o.Parallel)
	var running sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for i, l := range all {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			j, err := one(ctx, l, o.Scale)
			mu.Lock()
			defer mu.Unlock()
			if judged[i] = j; err != nil {
				failure = err
			} else if o.OnJudged != nil && ctx.Err() == nil {
				o.OnJudged(j)
			}
		})
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		failure = err
	}
	return liars.NewScore(judged), failure
}

// one judges a single liar.
func one(ctx context.Context, l *liars.Liar, scale float64) (liars.Judgement, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return liars.Judgement{}, err
	}
	s := l.Server(liars.Options{Scale: scale, Seed: 1})
	h, late := s.HTTP(listener)
	go h.Serve(late)
	defer h.Close()
	url := "http://" + listener.Addr().String()
	c := Loadstone(ctx, l, Target{Server: s, Scale: scale,
		Client: func(string) *client.Client { return client.New(url) }})
	return l.Judge(c, s.Truth()), nil
}
