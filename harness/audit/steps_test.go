package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client/clienttest"
	"loadstone/harness/proc"
	"loadstone/harness/record"
)

// audited is the audit of a server that has the given bug.
func audited(t *testing.T, a Audit, bug string) (findings map[Check]Finding, err error) {
	c, _ := clienttest.Serve(t, &clienttest.Liar{Bug: bug})
	a.Agents, a.Turns, a.Words, a.MaxTokens, a.Aborts, a.Seed = 3, 2, 20, 8, 10, 7
	all, err := a.Run(t.Context(), c)
	findings = map[Check]Finding{}
	for _, f := range all {
		_, twice := findings[f.Name]
		assert.Assert(t, !twice, "%s has two findings", f.Name)
		findings[f.Name] = f
	}
	return findings, err
}

// The steps come in their order, each with what is done in it. A server that cannot be restarted is
// not, and the check is left open.
func TestSteps(t *testing.T) {
	for _, restart := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var names []StepName
			a := Audit{OnStep: func(s Step) {
				names = append(names, s.Name)
				assert.Assert(t, s.About != "")
			}}
			want := []StepName{StepAlone, StepAgain, StepTogether, StepCancel}
			if restart {
				a.Restart = func(context.Context) error { return nil }
				want = append(want, StepRestart)
			}
			findings, err := audited(t, a, "")
			assert.NilError(t, err)
			assert.DeepEqual(t, names, want)
			verdict := Unknown
			if restart {
				verdict = Passed
			}
			assert.Equal(t, findings[Restart].Verdict, verdict)
		})
	}
}

// A bug is found by the checks that it breaks and by no other. An answer that is mixed up with
// another agent's is not the one given alone; where it contains that agent's secret, it is also a
// leak.
func TestBugIsFoundByItsChecksAlone(t *testing.T) {
	for bug, want := range map[string][]Check{
		"":                                  nil,
		"another agent's secret":            {Identity, Leaks},
		"another agent's answer":            {Identity},
		"the batch decides":                 {Identity},
		"a frame twice under load":          {Identity, Tokens},
		"another answer each time":          {Repeatable, Identity, Restart},
		"another answer after a restart":    {Restart},
		"another's memory":                  {Cache},
		"too much cached":                   {Cache, Tokens},
		"usage of nothing":                  {Cache, Tokens},
		"usage of too few":                  {Cache, Tokens},
		"every frame twice":                 {Tokens},
		"counters that forget":              {Counters},
		"a goroutine stays with each abort": {Recovery},
		"aborted requests run on":           {Recovery},
		"a block is lost with each abort":   {Recovery},
		"a block is lost with each request": {Recovery},
		"slow ever after an abort":          {Solo},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &clienttest.Liar{Bug: bug}
			c, _ := clienttest.Serve(t, server)
			a := Audit{Agents: 4, Turns: 3, Words: 20, MaxTokens: 8, Aborts: 40, Seed: 7,
				Restart: func(context.Context) error { server.Restart(); return nil }}
			findings, err := a.Run(t.Context(), c)
			assert.NilError(t, err, bug)
			var broken []Check
			for _, f := range findings {
				if f.Verdict == Broken {
					broken = append(broken, f.Name)
				}
			}
			assert.DeepEqual(t, broken, want)
		})
	}
}

// What the operating system says of the server's process is part of what it must give back.
func TestProcessMustRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := 10
		looks := 0
		findings, err := audited(t, Audit{Process: func() (proc.Usage, error) {
			if looks++; looks > 1 { // the first look is from before the requests that are cancelled
				files = 40
			}
			return proc.Usage{RSS: 100 << 20, Files: files}, nil
		}}, "")
		assert.NilError(t, err)
		f := findings[Recovery]
		assert.Equal(t, f.Verdict, Broken)
		const want = "after the last request: 40 open files, 10 before"
		assert.Assert(t, strings.HasSuffix(f.About, want), f.About)
	})
	synctest.Test(t, func(t *testing.T) {
		findings, err := audited(t, Audit{Process: func() (proc.Usage, error) {
			return proc.Usage{RSS: 100 << 20, Files: -1}, nil
		}}, "")
		assert.NilError(t, err)
		f := findings[Recovery]
		assert.Equal(t, f.Verdict, Passed)
		assert.Assert(t, strings.HasSuffix(f.About, "10 goroutines, 100 MiB of memory"), f.About)
	})
}

// A server that says less is checked less, and the findings say so.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clienttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}]}`)
		}))
		a := Audit{Agents: 2, Turns: 1, Words: 5, MaxTokens: 4, Aborts: 2}
		findings, err := a.Run(t.Context(), c)
		assert.NilError(t, err)
		verdicts := map[Check]Judgement{}
		for _, f := range findings {
			verdicts[f.Name] = f.Verdict
		}
		assert.DeepEqual(t, verdicts, map[Check]Judgement{
			Repeatable: Passed, Answered: Passed, Identity: Passed, Solo: Passed, Leaks: Passed,
			Times: Passed, Count: Passed,
			Counters: Unknown, Recovery: Unknown, Restart: Unknown, Hits: Unknown, Cache: Unknown, Tokens: Unknown,
		})
	})
}

// An audit that cannot be carried out says why, with what it found until then.
func TestAuditCannotBeCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := audited(t, Audit{Restart: func(context.Context) error {
			return errors.New("no such program")
		}}, "")
		assert.Error(t, err, "restart: no such program")
	})
	synctest.Test(t, func(t *testing.T) {
		findings, err := audited(t, Audit{}, "a character in two frames")
		assert.ErrorContains(t, err, "the server does not answer even alone: failed: ")
		assert.Equal(t, findings[Answered].Verdict, Broken)
		assert.Equal(t, len(findings), 1)
	})
	synctest.Test(t, func(t *testing.T) {
		c, kill := clienttest.Serve(t, &clienttest.Liar{})
		kill()
		_, err := Audit{Agents: 1, Turns: 1, Words: 5, MaxTokens: 4, Aborts: 1}.Run(t.Context(), c)
		assert.ErrorContains(t, err, "the server does not answer even alone: refused: ")
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := clienttest.Serve(t, &clienttest.Liar{})
		a := Audit{Agents: 2, Turns: 2, Words: 5, MaxTokens: 4, Aborts: 1, OnStep: func(s Step) {
			if s.Name == StepTogether {
				cancel()
			}
		}}
		findings, err := a.Run(ctx, c)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, len(findings), 1) // repeatable
	})
}

// The client's own account is a check as well: a request without a record, or one that never ended.
func TestCount(t *testing.T) {
	answered := record.Unsent(record.Place{})
	answered.Outcome = record.OK
	answered.FirstByte, answered.FirstContent = 0, 0
	x := &auditor{records: []record.Record{answered}}
	before := record.Ledger{Begun: 5, Ended: 5}
	for _, tc := range []struct {
		after record.Ledger
		want  string
	}{
		{record.Ledger{Begun: 6, Ended: 6}, ""},
		{record.Ledger{Begun: 7, Ended: 7}, "2 requests were begun, and there are records of 1"},
		{record.Ledger{Begun: 6, Ended: 5}, "1 requests were begun and 0 have ended"},
		{record.Ledger{Begun: 6, Ended: 6, Seconds: 2}, "Little's law: "},
	} {
		x.findings = nil
		x.judgeRecords(record.Balance(x.records, before, tc.after))
		f := x.findings[len(x.findings)-1]
		assert.Equal(t, f.Name, Count)
		if tc.want == "" {
			assert.Equal(t, f.Verdict, Passed)
		} else {
			assert.Equal(t, f.Verdict, Broken)
			assert.Assert(t, strings.Contains(f.About, tc.want), f.About)
		}
	}
}
