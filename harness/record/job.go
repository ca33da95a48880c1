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

// Job is the agent whose job the request is a part of: a sub-agent's, and one of several questions
// beside each other, are their agent's.
func (p *Place) Job() string {
	agent, _, _ := strings.Cut(p.Agent, ":")
	return agent
}

// job is what is known of one.
type job struct {
	begins, ends bool
	failed       bool
	calls        int
	tokens       int // of prompts and answers
	busy         []stretch
	answered     []answer
}

// A stretch is a time in which some call of the job was under way; a job's are apart and in order.
type stretch struct{ from, to time.Duration }

// An answer is what a tool call is looked for in.
type answer struct {
	at    time.Duration // its end
	tools bool          // it calls some
	last  bool          // nothing comes after it
}

// add takes a request of the job.
func (j *job) add(r *Record) {
	j.begins, j.ends = j.begins || r.Begins, j.ends || r.Ends
	j.calls++
	j.busy = merged(j.busy, stretch{r.Due, max(r.End, r.Due)})
	switch r.Outcome {
	case OK:
		j.tokens += max(r.PromptTokens, 0) + max(r.OutputTokens, 0)
		j.answered = append(j.answered, answer{r.End, r.Calls != "", r.Ends})
	case Cancelled: // by the load itself
	default:
		j.failed = true
	}
}

// merge takes the other requests of the same job.
func (j *job) merge(o *job) {
	j.begins, j.ends, j.failed = j.begins || o.begins, j.ends || o.ends, j.failed || o.failed
	j.calls, j.tokens = j.calls+o.calls, j.tokens+o.tokens
	for _, s := range o.busy {
		j.busy = merged(j.busy, s)
	}
	j.answered = append(j.answered, o.answered...)
}

// merged are the stretches with another one.
func merged(all []stretch, s stretch) []stretch {
	i, _ := slices.BinarySearchFunc(all, s, func(a, b stretch) int { return cmp.Compare(a.to, b.from) })
	k := i
	for ; k < len(all) && all[k].from <= s.to; k++ {
		s.from, s.to = min(s.from, all[k].from), max(s.to, all[k].to)
	}
	return slices.Replace(all, i, k, s)
}

// whole tells whether all of the job is known.
func (j *job) whole() bool { return j.begins && j.ends && len(j.busy) > 0 }

// times are how long the job took, how long of that a call was under way, and when its first tool
// call was complete: the end of the first answer that calls a tool, or, where no answer of the job
// does, as where made-up words stand for what tools say, of the first answer that is not the last.
// A job of a single answer has no tool call, which is -1.
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

// jobs are those of a tally. Those of a single call are not kept: a long load may have millions.
type jobs struct {
	of     map[jobKey]*job
	single struct {
		n, failed, good, tokens int
		times                   stats.Durations
	}
}

// add takes a request. bound is what a good job must hold.
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

// Jobs is what the jobs of some records come to. Its N is 0 where there is none of more than one
// call: of single calls requests say all.
type Jobs struct {
	N      int // whole ones
	Failed int // of them
	Cut    int // jobs that are not whole

	Time    stats.Dist // of a job
	Calling stats.Dist // without the time in which none of its calls was under way: tools, people
	Tool    stats.Dist // until its first tool call was complete

	Calls, Tokens float64 // of a job that was done, on average

	PerHour   float64 // jobs that were done
	GoodRatio float64 // those done within the objective / N; -1: there is none
}

// Done is how many jobs were done.
func (s *Jobs) Done() int { return s.N - s.Failed }

// summary describes the jobs; elapsed is how long their load ran, bound what a good job must hold.
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
