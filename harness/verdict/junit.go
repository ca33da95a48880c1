package verdict

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// These are the elements of JUnit's XML, in the form of Jenkins' schema, which GitLab reads as
// well.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		junitCounts
		Skipped   int         `xml:"skipped,attr"`
		Timestamp string      `xml:"timestamp,attr,omitempty"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Skipped *junitReason `xml:"skipped"`
		Failure *junitReason `xml:"failure"`
		Error   *junitReason `xml:"error"`
		Out     string       `xml:"system-out,omitempty"`
	}
	junitReason struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the verdict as JUnit's XML: a suite for each section, a test for each case, and
// a suite with one test for the verdict itself, which fails or is an error where no case says why.
// A case that cannot be told or was accepted is skipped, as is one that is bad where nothing fails
// for it.
func (v *Verdict) WriteJUnit(w io.Writer) error {
	all := junitSuites{junitCounts: junitCounts{Name: "loadstone " + v.Name, Time: seconds(v.Took)}}
	whole := junitSuite{junitCounts: junitCounts{Name: v.Name, Time: seconds(v.Took)},
		Timestamp: stamp(v.Time)}
	verdict := junitCase{Class: "loadstone." + v.Name, Name: "verdict", Time: seconds(v.Took),
		Out: v.Headline()}
	reason := &junitReason{Message: v.Why, Type: string(v.Outcome), Text: strings.Join(v.Notes, "\n")}
	switch {
	case v.Outcome == Passed:
	case v.Advisory:
		reason.Message = "advisory: " + v.Why
		verdict.Skipped = reason
	case v.Outcome == Undecided:
		verdict.Error = reason
	default:
		verdict.Failure = reason
	}
	whole.add(verdict)
	all.Suites = append(all.Suites, whole)
	for _, s := range v.Sections {
		suite := junitSuite{junitCounts: junitCounts{Name: s.Title, Time: "0.000"},
			Timestamp: stamp(v.Time)}
		for i := range s.Cases {
			suite.add(s.Cases[i].junit(v, s.Columns))
		}
		all.Suites = append(all.Suites, suite)
	}
	for _, s := range all.Suites {
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures,
			all.Errors+s.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// junit is a case as a test.
func (c *Case) junit(v *Verdict, columns []string) junitCase {
	t := junitCase{Class: "loadstone." + v.Name, Name: c.Name, Time: "0.000"}
	if c.Group != "" {
		t.Class += "." + c.Group
	}
	lines := c.named(columns, ": ")
	lines = append(lines, c.Details...)
	reason := &junitReason{Message: c.Text, Type: string(c.State), Text: strings.Join(lines, "\n")}
	switch {
	case c.State == Good:
		t.Out = strings.Join(lines, "\n")
	case c.State == Bad && v.Advisory:
		reason.Message = "advisory: " + c.Text
		t.Skipped = reason
	case c.State == Bad:
		t.Failure = reason
	default:
		t.Skipped = reason
	}
	return t
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// stamp is a time as JUnit has it, without a zone; "" unknown.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}
