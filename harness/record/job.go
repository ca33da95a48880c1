package record

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/stats"
)

// A job is the work of one session: from when its first call was due to the end of its last answer,
// those of its sub-agents included. Only whole jobs count, of which the first call and the last are
// known; those that a load's end cut off are no jobs. A job of which a request was not answered has
// not been done: its times are Never.

// A jobKey tells whose job it is.
type jobKey struct {
	scenario string
	level    load.Level
	run, rep int
	agent    string
}

// Job returns the agent whose job the request is part of. Requests of sub-agents and parallel
// questions belong to the agent that started them.
func (p *Place) Job() string {
	agent, _, _ := strings.Cut(p.Agent, ":")
	return agent
}

// job collects the requests of a job.
type job struct {
	begins, ends bool
	failed       bool
	calls        int
	tokens       int // of prompts and answers
	busy         []stretch
	answered     []answer
}

// A stretch is a time in which some call of the job was in flight. The stretches of a job are
// sorted and do not overlap.
type stretch struct{ from, to time.Duration }

// An answer is an answer of the job, which may call tools.
type answer struct {
	at    time.Duration // end of the answer
	tools bool          // it calls tools
	last  bool          // it is the job's last answer
}

// add adds a request of the job.
func (j *job) add(r *Record) {
	j.begins, j.ends = j.begins || r.Begins, j.ends || r.Ends
	j.calls++
	j.busy = merged(j.busy, stretch{r.Due, max(r.End, r.Due)})
	switch r.Outcome {
	case OK:
		j.tokens += max(r.PromptTokens, 0) + max(r.OutputTokens, 0)
		j.answered = append(j.answered, answer{r.End, r.Calls != "", r.Ends})
	case Cancelled: // the load itself cancelled it
	default:
		j.failed = true
	}
}

// merge adds the requests of another part of the same job.
func (j *job) merge(o *job) {
	j.begins, j.ends, j.failed = j.begins || o.begins, j.ends || o.ends, j.failed || o.failed
	j.calls, j.tokens = j.calls+o.calls, j.tokens+o.tokens
	for _, s := range o.busy {
		j.busy = merged(j.busy, s)
	}
	j.answered = append(j.answered, o.answered...)
}

// merged adds a stretch to stretches.
func merged(all []stretch, s stretch) []stretch {
	i, _ := slices.BinarySearchFunc(all, s, func(a, b stretch) int {
		return cmp.Compare(a.to, b.from)
	})
	k := i
	for ; k < len(all) && all[k].from <= s.to; k++ {
		s.from, s.to = min(s.from, all[k].from), max(s.to, all[k].to)
	}
	return slices.Replace(all, i, k, s)
}

// whole reports whether the job's first and last call are known.
func (j *job) whole() bool { return j.begins && j.ends && len(j.busy) > 0 }

// times returns the length of the job, the time of it in which a call was in flight, and the time
// until its first tool call was complete: the end of the first answer that calls a tool. If no
// answer does, as with made-up words, the first answer that is not the last counts. tool is -1 for
// a job with one answer.
func (j *job) times() (all, calling, tool time.Duration) {
	if j.failed {
		return stats.Never, stats.Never, stats.Never
	}
	start := j.busy[0].from
	for _, s := range j.busy {
		calling += s.to - s.from
	}
	tools := slices.ContainsFunc(j.answered, func(a answer) bool { return a.tools })
	tool = -1
	for _, a := range j.answered {
		if (a.tools || !tools && !a.last) && (tool < 0 || a.at-start < tool) {
			tool = a.at - start
		}
	}
	return j.busy[len(j.busy)-1].to - start, calling, tool
}

// jobs collects the jobs of a tally. It only counts jobs of a single call: a long load may have
// millions.
type jobs struct {
	of     map[jobKey]*job
	single struct {
		n, failed, good, tokens int
		times                   stats.Durations
	}
}

// add adds a request. bound is the time within which a good job is done.
func (all *jobs) add(r *Record, bound time.Duration) {
	if r.Begins && r.Ends {
		all.addSingle(r, bound)
		return
	}
	if all.of == nil {
		all.of = map[jobKey]*job{}
	}
	k := jobKey{r.Scenario, r.Level, r.Run, r.Rep, r.Job()}
	if all.of[k] == nil {
		all.of[k] = &job{}
	}
	all.of[k].add(r)
}

func (all *jobs) addSingle(r *Record, bound time.Duration) {
	var j job
	j.add(r)
	took, _, _ := j.times()
	s := &all.single
	s.n++
	s.times.Add(took)
	if j.failed {
		s.failed++
		return
	}
	s.tokens += j.tokens
	if took < bound {
		s.good++
	}
}

func (all *jobs) merge(o *jobs) {
	if all.of == nil {
		all.of = map[jobKey]*job{}
	}
	for k, other := range o.of {
		if all.of[k] == nil {
			all.of[k] = &job{}
		}
		all.of[k].merge(other)
	}
	s := &all.single
	s.n, s.failed = s.n+o.single.n, s.failed+o.single.failed
	s.good, s.tokens = s.good+o.single.good, s.tokens+o.single.tokens
	s.times.Merge(&o.single.times)
}

// Jobs summarizes the jobs of some records. N is 0 if no job has more than one call: then the
// figures of requests say the same.
type Jobs struct {
	N      int // whole jobs
	Failed int // whole jobs that failed
	Cut    int // jobs that are not whole

	Time    stats.Dist // time of a job
	Calling stats.Dist // time without the pauses of tools and people
	Tool    stats.Dist // time until the first tool call was complete

	Calls, Tokens float64 // averages of the jobs that were done

	PerHour   float64 // jobs that were done
	GoodRatio float64 // jobs that were done within the objective, divided by N; -1 without one
}

// Done returns the number of jobs that were done.
func (s *Jobs) Done() int { return s.N - s.Failed }

// summary summarizes the jobs. elapsed is the time that their load ran, bound the time within which
// a good job is done.
func (all *jobs) summary(elapsed, bound time.Duration) Jobs {
	s := Jobs{N: all.single.n, Failed: all.single.failed, GoodRatio: -1}
	done := s.N - s.Failed
	calls, tokens, good := done, all.single.tokens, all.single.good
	var times, calling, tool stats.Durations
	times.Merge(&all.single.times)
	calling.Merge(&all.single.times)
	several := false
	for _, j := range all.of {
		if !j.whole() {
			s.Cut++
			continue
		}
		several = true
		s.N++
		took, called, first := j.times()
		times.Add(took)
		calling.Add(called)
		if first >= 0 {
			tool.Add(first)
		}
		if j.failed {
			s.Failed++
			continue
		}
		done, calls, tokens = done+1, calls+j.calls, tokens+j.tokens
		if took < bound {
			good++
		}
	}
	if !several {
		return Jobs{GoodRatio: -1}
	}
	s.Time, s.Calling, s.Tool = times.Dist(), calling.Dist(), tool.Dist()
	if done > 0 {
		s.Calls, s.Tokens = float64(calls)/float64(done), float64(tokens)/float64(done)
	}
	if elapsed > 0 {
		s.PerHour = float64(done) / elapsed.Hours()
	}
	if bound > 0 {
		s.GoodRatio = float64(good) / float64(s.N)
	}
	return s
}
